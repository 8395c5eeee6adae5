"""The fixtures and the marker of the pytest plugin, which is loaded in the runs of these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from fastapi import FastAPI

from oxaigen_auth import OxaigenAuthMiddleware, ProxyAuthClient
from oxaigen_auth._default_client import default_client
from tests.support.apps import TestClient, get, make_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from oxaigen_auth.testing import FakeProxy, SignIn
    from oxaigen_auth_mock import RunningMock

TOKEN = "adas-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DEV = {"Authorization": "Bearer mock-dev-token"}


@pytest.fixture
def app() -> FastAPI:
    app = make_app()
    app.add_middleware(OxaigenAuthMiddleware)
    return app


# oxaigen_user and the marker


def test_a_user_is_signed_in_until_the_test_ends(app: FastAPI, oxaigen_user: SignIn) -> None:
    client = TestClient(app)
    user = oxaigen_user(app, permissions=["audit"], user_name="ada")
    assert client.get("/audit").json() == {"user": user.user_name} == {"user": "ada"}
    oxaigen_user(app, user_name="bob")
    assert client.get("/me").json() == {"user": "bob"}
    assert client.get("/audit").status_code == 403


@pytest.fixture(scope="module")
def shared() -> FastAPI:
    return make_app()


@pytest.mark.parametrize("_", [1, 2])
def test_a_user_is_signed_out_when_a_test_ends(
    shared: FastAPI, oxaigen_user: SignIn, _: int
) -> None:
    assert TestClient(shared).get("/me").status_code == 401
    oxaigen_user(shared)
    assert TestClient(shared).get("/me").status_code == 200


@pytest.mark.oxaigen(permissions=["audit"], user_name="ada")
class TestMarked:
    def test_the_marker_signs_in_to_the_app(self, app: FastAPI) -> None:
        assert TestClient(app).get("/audit").json() == {"user": "ada"}

    @pytest.mark.oxaigen(roles=["owner"])
    def test_the_closest_marker_counts(self, app: FastAPI) -> None:
        assert TestClient(app).get("/audit").status_code == 403

    @pytest.mark.anyio
    async def test_the_marker_works_in_async_tests(self, app: FastAPI) -> None:
        assert (await get(app, "/audit")).json() == {"user": "ada"}


@pytest.mark.oxaigen
@pytest.mark.usefixtures("app")
def test_the_marker_may_have_no_arguments(request: pytest.FixtureRequest) -> None:
    app: FastAPI = request.getfixturevalue("app")
    assert TestClient(app).get("/me").json() == {"user": "test-user"}


@pytest.mark.oxaigen("audit")
@pytest.mark.xfail(raises=TypeError, reason="permissions are a keyword")
def test_wrong_arguments_of_the_marker_are_an_error() -> None: ...


class TestWithoutApp:
    @pytest.fixture
    def app(self, missing: None) -> None: ...

    @pytest.mark.oxaigen
    @pytest.mark.xfail(raises=pytest.FixtureLookupError, reason="the app needs another fixture")
    def test_an_error_in_the_fixture_of_the_app_is_raised_as_it_is(self) -> None: ...


# oxaigen_proxy


def test_the_default_client_asks_the_fake(app: FastAPI, oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.add_user(TOKEN, user_name="ada", permissions=["audit"])
    with TestClient(app, headers=BEARER) as client:
        assert client.get("/audit").json() == {"user": "ada"}
        oxaigen_proxy.fail()
        assert client.get("/me", headers={"Authorization": "Bearer other"}).status_code == 502
    assert oxaigen_proxy.count(endpoint="test-app-permission") == 1


@pytest.mark.anyio
async def test_the_fake_works_in_async_tests(app: FastAPI, oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.add_user(TOKEN, user_name="ada")
    oxaigen_proxy.delay = 0.01
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(get, app, "/me", BEARER)
    assert oxaigen_proxy.count() == 1


# oxaigen_mock


def test_the_default_client_asks_the_mock(app: FastAPI, oxaigen_mock: RunningMock) -> None:
    with TestClient(app, headers=DEV) as client:
        assert client.get("/me").json() == {"user": "devuser"}
    assert [call.status for call in oxaigen_mock.calls()] == [200]


@pytest.mark.anyio
async def test_the_mock_works_in_async_tests(oxaigen_mock: RunningMock) -> None:
    async with ProxyAuthClient() as client:
        assert (await client.get_me("mock-dev-token")).user_name == "devuser"
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{oxaigen_mock.url}/health")).status_code == 200


@pytest.fixture
def _production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_ENVIRONMENT", "production")


@pytest.mark.usefixtures("_production")
def test_the_mock_is_accepted_wherever_the_tests_run(
    app: FastAPI, oxaigen_mock: RunningMock
) -> None:
    del oxaigen_mock
    assert TestClient(app, headers=DEV).get("/me").status_code == 200


@pytest.fixture
def _shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_SHARED_STORE", f"sqlite:///{tmp_path}/auth.db")


@pytest.mark.usefixtures("_shared")
def test_what_the_mock_accepts_is_not_in_the_store_of_the_environment(
    app: FastAPI, oxaigen_mock: RunningMock, tmp_path: Path
) -> None:
    del oxaigen_mock
    assert TestClient(app, headers=DEV).get("/me").status_code == 200
    assert not list(tmp_path.iterdir())


# oxaigen_fresh


@pytest.fixture
def clients() -> Iterator[list[ProxyAuthClient]]:
    """The default clients before and in a test; that after `oxaigen_fresh` is another one."""
    clients = [default_client()]
    yield clients
    assert default_client() not in clients


def test_settings_and_the_default_client_are_new(
    clients: list[ProxyAuthClient], oxaigen_fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del oxaigen_fresh
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "7")
    assert default_client() not in clients
    assert default_client().settings.cache_ttl_seconds == 7
    clients.append(default_client())
