"""Requests that cost no lookup: excluded paths, preflights, and routes that ask by themselves."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Depends, FastAPI, Request, Security
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from oxaigen_auth import (
    OxaigenAuthConfigurationError,
    OxaigenAuthMiddleware,
    User,
    current_user,
    get_current_user,
    lifespan,
)
from oxaigen_auth._default_client import default_client
from tests.support.apps import GOOD, TestClient, get
from tests.support.fake_proxy import BROKEN, DOWN, REVOKED, FakeProxy
from tests.support.raw_server import RawServer, serving
from tests.support.tokens import OTHER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio

NOTHING = {"user": None, "error": None, "reason": None}
ADA = {"user": "ada", "error": None, "reason": None}


async def state(request: Request) -> JSONResponse:
    it = request.state
    user = it.user and it.user.user_name
    return JSONResponse({"user": user, "error": it.auth_error, "reason": it.auth_reason})


def app_of(proxy: FakeProxy, **options: Any) -> FastAPI:
    """Return an app that shows its state at every path, and one protected path."""
    app = FastAPI()
    app.add_middleware(OxaigenAuthMiddleware, client=proxy.client("http://proxy.test"), **options)

    @app.get("/health/protected")
    async def protected(user: User = Depends(get_current_user)) -> Any:
        return user.user_name

    app.add_route("/{path:path}", state)
    return app


@pytest.mark.parametrize(
    ("exclude", "path"),
    [
        (("/health",), "/health"),
        (["/health", "/static/*"], "/static/a/b.css"),
        (("/static/*",), "/static/"),
        (("/*",), "/"),
        (("/*",), "/anything"),
        (("/static*",), "/statics"),
    ],
)
async def test_an_excluded_path_costs_no_lookup_and_has_no_user(exclude: Any, path: str) -> None:
    proxy = FakeProxy()
    response = await get(app_of(proxy, exclude=exclude), path, GOOD)
    assert response.json() == NOTHING
    assert proxy.calls == []


@pytest.mark.parametrize("path", ["/healthy", "/health/", "/static", "/x/static/a", "/HEALTH"])
async def test_other_paths_are_not_excluded(path: str) -> None:
    app = app_of(FakeProxy(), exclude=("/health", "/static/*"))
    assert (await get(app, path, GOOD)).json() == ADA


async def test_excluding_a_path_disables_no_dependency() -> None:
    proxy = FakeProxy()
    app = app_of(proxy, exclude=("/*",))
    assert (await get(app, "/health/protected")).status_code == 401
    assert (await get(app, "/health/protected", GOOD)).json() == "ada"
    proxy.user = REVOKED
    other = {"authorization": f"Bearer {OTHER}"}
    assert (await get(app, "/health/protected", other)).status_code == 401


async def test_paths_of_a_mounted_app_are_its_own() -> None:
    proxy = FakeProxy()
    outer = FastAPI()
    outer.mount("/api", app_of(proxy, exclude=("/health",)))
    assert (await get(outer, "/api/health", GOOD)).json() == NOTHING
    assert (await get(outer, "/api/other", GOOD)).json() == ADA


async def test_the_root_path_of_the_server_is_not_part_of_the_path() -> None:
    app = app_of(FakeProxy(), exclude=("/health",))
    for root in ("/api", "/api/"):
        transport = ASGITransport(app, root_path=root)
        async with AsyncClient(transport=transport, base_url="http://app.test") as client:
            assert (await client.get("/api/health", headers=GOOD)).json() == NOTHING
            assert (await client.get("/health", headers=GOOD)).json() == NOTHING
            assert (await client.get("/apihealth", headers=GOOD)).json() == ADA


async def test_an_excluded_path_of_an_inner_app_changes_nothing_outside() -> None:
    inner = app_of(FakeProxy(), exclude=("/*",))
    outer = FastAPI()
    outer.mount("/inner", inner)

    @outer.middleware("http")
    async def show(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-user"] = str(request.state.user.user_name)
        return response

    proxy = FakeProxy()
    outer.add_middleware(OxaigenAuthMiddleware, client=proxy.client("http://outer.test"))
    response = await get(outer, "/inner/x", GOOD)
    assert response.json() == NOTHING
    assert response.headers["x-user"] == "ada"


@pytest.mark.parametrize("cors", [True, False])
async def test_a_preflight_costs_no_lookup(cors: bool) -> None:  # noqa: FBT001
    proxy = FakeProxy()
    app = app_of(proxy)
    app.add_api_route("/x", state, methods=["OPTIONS"])
    if cors:  # inside ours, so that ours sees the preflight
        app.user_middleware.append(Middleware(CORSMiddleware, allow_origins=["*"]))
    headers = {**GOOD, "origin": "https://a.test", "access-control-request-method": "GET"}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://app.test") as client:
        assert (await client.options("/x", headers=headers)).status_code in {200, 405}
        assert proxy.calls == []
        await client.options("/x", headers=GOOD)  # not a preflight
    assert len(proxy.calls) == 1


@pytest.mark.parametrize(
    ("exclude", "error", "message"),
    [
        ("/health", TypeError, r"exclude is a string; write exclude=\('/health',\)"),
        ((b"/health",), TypeError, "exclude contains b'/health', which is not a string"),
        (("health",), ValueError, "exclude contains 'health'; write /path, or /prefix/"),
        (("",), ValueError, "exclude contains ''"),
        (("/*/health",), ValueError, r"exclude contains '/\*/health'"),
    ],
)
def test_an_exclusion_that_would_have_no_effect_is_an_error(
    exclude: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        OxaigenAuthMiddleware(FastAPI(), exclude=exclude)


# current_user(request).


@pytest.fixture
def override(monkeypatch: pytest.MonkeyPatch) -> Callable[[RawServer], None]:
    return lambda server: monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)


async def who(request: Request) -> JSONResponse:
    user = await current_user(request) if "ask" in request.query_params else None
    return JSONResponse(user and user.user_name)


async def test_a_route_that_asks_only_sometimes_waits_only_then() -> None:
    proxy = FakeProxy(DOWN)
    app = app_of(proxy, exclude=("/*",))
    app.router.routes.insert(0, Route("/who", who))
    assert (await get(app, "/who", GOOD)).json() is None
    assert proxy.calls == []
    assert (await get(app, "/who?ask", GOOD)).status_code == 502
    assert (await get(app, "/who?ask")).json() is None
    proxy.user = FakeProxy().user
    assert (await get(app, "/who?ask", GOOD)).json() == "ada"
    proxy.user = REVOKED
    assert (await get(app, "/who?ask", {"authorization": f"Bearer {OTHER}"})).json() is None


async def test_behind_the_middleware_a_route_reuses_its_verdict() -> None:
    proxy = FakeProxy()
    app = app_of(proxy)
    app.router.routes.insert(0, Route("/who", who))
    assert (await get(app, "/who?ask", GOOD)).json() == "ada"
    assert len(proxy.calls) == 1


async def test_starlette_without_middleware_can_ask(override: Any) -> None:
    app = Starlette(routes=[Route("/who", who)])
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        assert (await get(app, "/who?ask", GOOD)).json() == "ada"
        proxy.user = BROKEN
        other = {"authorization": f"Bearer {OTHER}"}
        assert (await get(app, "/who?ask", other)).status_code == 502


# The lifespan without the middleware.


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_lifespan_runs_lookups_in_the_background_and_closes_them(
    backend: Any,
) -> None:
    seen: list[bool] = []

    @asynccontextmanager
    async def around(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            state = default_client().validator.loops.current()
            seen.append(state is not None and state.users == 1)
            yield
        seen.append(default_client().validator.loops.current() is None)

    app = FastAPI(lifespan=around)
    with TestClient(app, backend=backend):
        assert seen == [True]
    assert seen == [True, True]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_faulty_route_prevents_the_start(backend: Any) -> None:
    app = FastAPI(lifespan=lifespan)

    @app.get("/me")
    async def me(_: User = Security(get_current_user, scopes=["audit"])) -> None: ...

    with pytest.raises(OxaigenAuthConfigurationError, match="nothing checks the scopes 'audit'"):
        TestClient(app, backend=backend).__enter__()


def test_an_invalid_setting_prevents_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MAX_CONNECTIONS", "many")
    with pytest.raises(OxaigenAuthConfigurationError, match="MAX_CONNECTIONS"):
        TestClient(FastAPI(lifespan=lifespan)).__enter__()
