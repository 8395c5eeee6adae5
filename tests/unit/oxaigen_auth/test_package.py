from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import oxaigen
import oxaigen_auth
from oxaigen_auth import ProxyAuthClient, dev, extract_bearer_token
from oxaigen_auth.dev.mock_server import create_mock_app

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(oxaigen_auth.__file__).parent

# What each module may import, as floors: a module imports from floors below its own.
FLOORS = [
    {
        "_hints.calls",
        "_upstream.failures",
        "_syntax.hosts",
        "_upstream.json_body",
        "_syntax.jwt",
        "_models.pydantic",
        "stats",
        "_syntax.tokens",
        "_hints.variables",
        "_version",
        "src",
        "_core.cache",
        "_core.task_groups",
        "_core.recent_set",
        "_core.sizes",
    },
    {"_request.refused_hosts", "_hints.settings", "_models.checked_init", "errors"},
    {"models"},
    {"settings"},
    {
        "_validation.verdict",
        "_core.background",
        "_core.circuit_breaker",
        "_core.fingerprint",
        "_core.fair_queue",
        "_core.generations",
        "_upstream.transport_pool",
        "_core.rate_limit",
        "_upstream.profile",
    },
    {"_upstream.response", "_request.app_check", "_core.singleflight", "_upstream.resolver"},
    {"_request.csrf", "_upstream.proxy", "_request.credentials"},
    {"_validation.loop_state", "_validation.verdict_store"},
    {"_validation.lookup"},
    {"_validation.validator"},
    {"client"},
    {"_request.identity"},
    {"_request.http_errors"},
    {"exception_handlers"},
    {"dependencies", "middleware", "testing"},
]
HTTP_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2"}


def modules() -> dict[str, Path]:
    """Every module of the package by its name below it, apart from the packages' own files."""
    paths = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in ROOT.rglob("*.py")}
    return {name: path for name, path in paths.items() if not name.endswith("__init__")}


def imports_of(path: Path) -> set[str]:
    """All names that a file imports, wherever in it: of modules, and of what is in them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} has a relative import"
            assert node.module
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def floor_of(name: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if name in floor)


def upward(name: str, imported: set[str]) -> set[str]:
    """Return those of the package's modules that a module imports and may not."""
    ours = {it.removeprefix("oxaigen_auth.") for it in imported} & set().union(*FLOORS)
    return {it for it in ours if floor_of(it) >= floor_of(name)}


checked = sorted(name for name in modules() if not name.startswith("dev."))


@pytest.mark.parametrize("name", checked)
def test_a_module_imports_from_the_floors_below_it_only(name: str) -> None:
    imported = imports_of(modules()[name])
    assert upward(name, imported) == set()
    assert "oxaigen_auth" not in imported - {"oxaigen_auth"}


def test_an_arrow_upwards_would_be_seen() -> None:
    assert upward("_upstream.proxy", {"oxaigen_auth.client", "oxaigen_auth.client.X"}) == {"client"}
    assert upward("dependencies", {"oxaigen_auth.middleware"}) == {"middleware"}
    assert upward("client", {"oxaigen_auth._upstream.proxy", "anyio"}) == set()


@pytest.mark.parametrize("name", checked)
def test_only_the_proxy_module_knows_the_http_library(name: str) -> None:
    roots = {imported.partition(".")[0] for imported in imports_of(modules()[name])}
    assert bool(roots & HTTP_LIBRARIES) == (name == "_upstream.proxy")


@pytest.mark.parametrize(
    "name", ["errors", "models", "settings", "_validation.verdict", "_core.singleflight"]
)
def test_the_lower_floors_know_no_web_framework(name: str) -> None:
    roots = {imported.partition(".")[0] for imported in imports_of(modules()[name])}
    assert not roots & {"fastapi", "starlette"}


def test_the_package_exports_what_is_documented_and_nothing_else() -> None:
    assert set(oxaigen_auth.__all__) == {
        "OxaigenAuthConfigurationError",
        "OxaigenAuthError",
        "OxaigenAuthMiddleware",
        "OxaigenAuthPermissionDeniedError",
        "OxaigenAuthSettings",
        "OxaigenAuthUnauthenticatedError",
        "OxaigenAuthUpstreamError",
        "ProxyAuthClient",
        "User",
        "UserWorkspace",
        "WorkspacePermission",
        "WorkspaceRole",
        "aclose_client",
        "derive_proxy_base_url",
        "extract_bearer_token",
        "get_current_user",
        "get_current_user_optional",
        "install_exception_handlers",
        "require_permission",
    }
    assert list(oxaigen_auth.__all__) == sorted(set(oxaigen_auth.__all__))


@pytest.mark.parametrize(
    ("call", "by_position"),
    [
        (ProxyAuthClient, ["proxy_base_url"]),
        (ProxyAuthClient.get_me, ["self", "bearer_token"]),
        (ProxyAuthClient.test_permission, ["self", "bearer_token", "permission_name"]),
        (extract_bearer_token, ["connection"]),
    ],
)
def test_options_are_given_by_name(call: Callable[..., Any], by_position: list[str]) -> None:
    parameters = signature(call).parameters.values()
    assert [it.name for it in parameters if it.kind is not it.KEYWORD_ONLY] == by_position


def test_the_short_name_gives_the_same_objects() -> None:
    assert vars(oxaigen)["__all__"] == oxaigen_auth.__all__
    for name in oxaigen_auth.__all__:
        assert getattr(oxaigen, name) is getattr(oxaigen_auth, name)


@pytest.mark.parametrize(
    "name", ["", ".authentication", ".authentication.client", ".util.exception"]
)
def test_pitfall_39_a_module_of_the_published_package_says_where_its_names_are(name: str) -> None:
    with pytest.raises(ImportError, match="import from oxaigen_auth, which has all public names"):
        importlib.import_module(f"oxaigen_auth.src{name}")


def test_the_mock_is_found_where_the_published_package_has_it_and_imported_no_sooner() -> None:
    code = "import sys, oxaigen_auth.dev; sys.exit('oxaigen_auth_mock' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (our own code)
    assert dev.create_mock_app is create_mock_app
    assert not hasattr(dev, "other")


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
    assert not loaded & {"trio", "hypercorn", "oxaigen_auth_mock", "uvicorn"}


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


PUBLIC = [
    module.name
    for module in pkgutil.iter_modules(oxaigen_auth.__path__, "oxaigen_auth.")
    if not module.name.partition(".")[2].startswith("_") and module.name != "oxaigen_auth.src"
]


@pytest.mark.parametrize("name", [*PUBLIC, "oxaigen_auth"])
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert outcome.failed == 0


def test_there_are_examples_to_run() -> None:
    finder = doctest.DocTestFinder()
    found = [finder.find(importlib.import_module(name)) for name in PUBLIC]
    assert sum(len(test.examples) for tests in found for test in tests) >= 5
