from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest

import oxaigen
import oxaigen_auth
from oxaigen_auth import BlockingProxyAuthClient, ProxyAuthClient, dev, extract_bearer_token
from oxaigen_auth.dev.mock_server import create_mock_app

if TYPE_CHECKING:
    from collections.abc import Callable


def test_names_that_are_imported_at_first_use_are_listed_and_others_are_unknown() -> None:
    assert {"BlockingProxyAuthClient", "watch_user"} <= set(dir(oxaigen_auth))
    with pytest.raises(AttributeError, match="has no attribute 'unknown'"):
        oxaigen_auth.unknown  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_exports_what_is_documented_and_nothing_else() -> None:
    assert set(oxaigen_auth.__all__) == {
        "AuthClient",
        "BlockingProxyAuthClient",
        "ClientStats",
        "CurrentUser",
        "OptionalUser",
        "OxaigenAuthConfigurationError",
        "OxaigenAuthError",
        "OxaigenAuthHTTPError",
        "OxaigenAuthMiddleware",
        "OxaigenAuthPermissionDeniedError",
        "OxaigenAuthSettings",
        "OxaigenAuthUnauthenticatedError",
        "OxaigenAuthUntrustedHostError",
        "OxaigenAuthUpstreamError",
        "ProxyAuthClient",
        "User",
        "UserWorkspace",
        "WorkspacePermission",
        "WorkspaceRole",
        "aclose_client",
        "current_user",
        "derive_proxy_base_url",
        "extract_bearer_token",
        "get_auth_client",
        "get_current_user",
        "get_current_user_as",
        "get_current_user_optional",
        "install_exception_handlers",
        "lifespan",
        "install_openapi",
        "require_any_permission",
        "require_any_role",
        "require_permission",
        "require_role",
        "watch_user",
    }
    assert list(oxaigen_auth.__all__) == sorted(set(oxaigen_auth.__all__))


@pytest.mark.parametrize(
    ("call", "by_position"),
    [
        (ProxyAuthClient, ["proxy_base_url"]),
        (BlockingProxyAuthClient, ["proxy_base_url"]),
        (ProxyAuthClient.get_me, ["self", "bearer_token"]),
        (ProxyAuthClient.test_permission, ["self", "bearer_token", "permission_name"]),
        (extract_bearer_token, ["connection"]),
    ],
)
def test_options_are_keyword_only(call: Callable[..., Any], by_position: list[str]) -> None:
    parameters = signature(call).parameters.values()
    assert [it.name for it in parameters if it.kind is not it.KEYWORD_ONLY] == by_position


def test_the_short_package_name_exports_the_same_objects() -> None:
    assert vars(oxaigen)["__all__"] == oxaigen_auth.__all__
    for name in oxaigen_auth.__all__:
        assert getattr(oxaigen, name) is getattr(oxaigen_auth, name)


@pytest.mark.parametrize("package", ["oxaigen", "oxaigen_auth"])
def test_all_public_names_are_listed_imported_by_a_star_and_others_are_errors(package: str) -> None:
    code = (
        f"import sys, oxaigen_auth, {package}\n"
        f"assert set({package}.__all__) <= set(dir({package}))\n"
        "lazy = {'oxaigen_auth.blocking', 'oxaigen_auth.websockets'}\n"
        "assert not lazy & sys.modules.keys()\n"
        f"from {package} import *\n"
        "assert BlockingProxyAuthClient is oxaigen_auth.BlockingProxyAuthClient\n"
        f"{package}.Other"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603 (our own code)
    last = run.stderr.splitlines()[-1]
    assert last == f"AttributeError: module {package!r} has no attribute 'Other'"


@pytest.mark.parametrize(
    "name", ["", ".authentication", ".authentication.client", ".util.exception"]
)
def test_pitfall_39_a_module_of_the_published_package_says_where_its_names_are(name: str) -> None:
    with pytest.raises(ImportError, match="import from oxaigen_auth, which has all public names"):
        importlib.import_module(f"oxaigen_auth.src{name}")


def test_the_mock_has_the_published_path_and_is_imported_on_use() -> None:
    code = "import sys, oxaigen_auth.dev; sys.exit('oxaigen_auth_mock' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (our own code)
    assert dev.create_mock_app is create_mock_app
    assert not hasattr(dev, "other")


def test_the_helpers_for_tests_are_imported_on_use() -> None:
    code = "import sys, oxaigen_auth; sys.exit('oxaigen_auth.testing' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (our own code)


@pytest.mark.parametrize("without", [[], ["httpx2"]])
def test_importing_the_package_loads_no_server_no_trio_and_no_mock(without: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({without}))\n"
        "import oxaigen\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, check=True, capture_output=True, text=True)  # noqa: S603 (our own code)
    loaded = set(result.stdout.split())
    assert "oxaigen_auth" in loaded
    assert not loaded & {"trio", "hypercorn", "oxaigen_auth_mock", "pydantic_settings", "uvicorn"}


WITHOUT_METADATA = """
from importlib import metadata

found = metadata.Distribution.from_name

def from_name(name):
    if "oxaigen" in name:
        raise metadata.PackageNotFoundError(name)
    return found(name)

metadata.Distribution.from_name = from_name
import oxaigen, oxaigen_auth.dev.mock_server, oxaigen_auth_load.cli
from oxaigen_auth_load.report.document import tool
print(oxaigen_auth.__version__, tool("trio")["oxaigen_auth"])
"""


def test_pitfall_56_no_module_needs_the_dist_info_folder() -> None:
    run = [sys.executable, "-c", WITHOUT_METADATA]
    result = subprocess.run(run, check=True, capture_output=True, text=True)  # noqa: S603 (our own code)
    assert result.stdout.split() == [oxaigen_auth.__version__] * 2


def test_the_version_is_the_one_that_was_installed() -> None:
    assert oxaigen_auth.__version__ == version("oxaigen-auth")


def test_a_missing_http_library_is_reported_when_the_package_is_imported() -> None:
    code = "import sys; sys.modules |= {'httpx': None, 'httpx2': None}; import oxaigen_auth"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603
    assert "ModuleNotFoundError: import of httpx halted" in run.stderr
    assert run.returncode
