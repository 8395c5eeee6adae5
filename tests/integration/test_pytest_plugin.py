"""Runs of pytest with the plugin of the package, as a user's project has them."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

APP = """
from typing import Annotated
from fastapi import Depends, FastAPI
from oxaigen_auth import OxaigenAuthMiddleware, User, get_current_user, require_permission

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware)

@app.get("/audit")
async def audit(user: Annotated[User, Depends(require_permission("audit"))]) -> str:
    return user.user_name or ""
"""
ASYNC_TESTS = """
import httpx, pytest
from my_app import app as my_app
IMPORTS

def client_of(app):
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://app.example.com",
        headers={"Authorization": "Bearer mock-dev-token"},
    )

MARK
async def test_fixtures(app, oxaigen_user, oxaigen_proxy):
    oxaigen_proxy.add_user("mock-dev-token", permissions=["audit"], user_name="eve")
    async with client_of(app) as client:
        assert (await client.get("/audit")).json() == "eve"
        oxaigen_user(app, permissions=["audit"], user_name="ada")
        assert (await client.get("/audit")).json() == "ada"

MARK
async def test_mock(app, oxaigen_mock):
    async with client_of(app) as client:
        assert (await client.get("/audit")).json() == "devuser"
    assert [call.status for call in oxaigen_mock.calls()] == [200, 200]

MARK
@pytest.mark.oxaigen(permissions=["audit"], user_name="ada")
async def test_marker(app):
    async with client_of(app) as client:
        assert (await client.get("/audit")).json() == "ada"

FIXTURE
async def app():
    return my_app
"""
MISUSED = """
import pytest

@pytest.mark.oxaigen(permissions=["audit"])
def test_it():
    pass
"""
UNUSED = """
import sys

def test_it():
    assert "oxaigen_auth_pytest" in sys.modules
    assert not [name for name in sys.modules if name.split(".")[0] in ("oxaigen_auth", "fastapi")]
"""


def run(folder: Path, *options: str, **files: str) -> str:
    """Run pytest on files, which are named without their suffix, with warnings as errors."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    plugins = ["-p", "no:looptime_plugin", "-p", "no:schemathesis", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "--strict-markers", *plugins]
    done = subprocess.run(  # noqa: S603 (our own code)
        [*command, "-o", "pythonpath=.", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.stdout + done.stderr


def async_tests(imports: str, mark: str, fixture: str) -> str:
    tests = ASYNC_TESTS.replace("IMPORTS", imports).replace("MARK", mark)
    return tests.replace("FIXTURE", fixture)


@pytest.mark.parametrize(
    ("mode", "mark", "fixture"),
    [
        ("strict", "@pytest.mark.asyncio", "@pytest_asyncio.fixture"),
        ("auto", "", "@pytest.fixture"),
    ],
)
def test_pytest_asyncio_runs_tests_that_use_the_plugin(
    tmp_path: Path, mode: str, mark: str, fixture: str
) -> None:
    tests = async_tests("import pytest_asyncio", mark, fixture)
    options = f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function"
    output = run(tmp_path, "-o", *options, my_app=APP, test_it=tests)
    assert re.search(r"^3 passed", output, re.MULTILINE), output


def test_the_plugin_of_anyio_runs_tests_that_use_this_one(tmp_path: Path) -> None:
    tests = async_tests("", "@pytest.mark.anyio", "@pytest.fixture")
    output = run(tmp_path, "-p", "no:asyncio", my_app=APP, test_it=tests)
    assert re.search(r"^6 passed", output, re.MULTILINE), output


def test_the_marker_without_a_fixture_of_the_app_says_what_to_write(tmp_path: Path) -> None:
    output = run(tmp_path, "-p", "no:asyncio", test_it=MISUSED)
    assert "needs a fixture that returns the app; write" in output
    assert "def app():" in output
    assert "oxaigen_auth_pytest.py" not in output, "the reader needs no traceback"


@pytest.mark.oxaigen
@pytest.mark.xfail(raises=pytest.fail.Exception, reason="this file has no fixture `app`")
def test_the_marker_needs_a_fixture_of_the_app() -> None: ...


def test_a_run_that_uses_nothing_of_the_plugin_does_not_import_the_package(tmp_path: Path) -> None:
    output = run(tmp_path, "-p", "no:asyncio", test_it=UNUSED)
    assert "1 passed" in output


def test_the_marker_and_the_fixtures_are_listed(tmp_path: Path) -> None:
    assert "@pytest.mark.oxaigen(" in run(tmp_path, "-p", "no:asyncio", "--markers")
    listed = run(tmp_path, "-p", "no:asyncio", "--fixtures", test_it=UNUSED)
    assert {"oxaigen_user", "oxaigen_proxy", "oxaigen_mock", "oxaigen_fresh"} <= set(
        re.findall(r"^oxaigen_\w+", listed, re.MULTILINE)
    )
