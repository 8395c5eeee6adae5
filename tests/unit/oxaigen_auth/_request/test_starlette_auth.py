from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    SimpleUser,
    requires,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute

from oxaigen_auth import OxaigenAuthMiddleware, OxaigenAuthSettings, User
from tests.support.apps import GOOD, TestClient, get
from tests.support.fake_proxy import BASE, DOWN, FakeProxy, profile

pytestmark = pytest.mark.anyio

ADA = {"id": 7, "user_name": "ada", "workspace_permissions": [{"name": "audit"}, {"id": 1}]}


async def show(request: Request) -> JSONResponse:
    user = request.user
    names = [user.is_authenticated, user.display_name]
    return JSONResponse([*names, request.auth.scopes])


@requires("authenticated")
async def signed_in(request: Request) -> JSONResponse:
    return JSONResponse(request.user.identity)


@requires(["authenticated", "audit"], status_code=404)
def audit(request: Request) -> JSONResponse:
    return JSONResponse(request.user.identity)


@requires("audit")
async def socket(websocket: Any) -> None:
    await websocket.accept()
    await websocket.send_json(websocket.user.user_name)
    await websocket.close()


def middleware(proxy: FakeProxy) -> Middleware:
    client = proxy.client(BASE, settings=OxaigenAuthSettings())
    return Middleware(OxaigenAuthMiddleware, client=client)


def make_app(*around: Middleware) -> Starlette:
    routes = [
        Route("/", show),
        Route("/me", signed_in),
        Route("/audit", audit),
        Route("/write", requires("write")(show)),
        WebSocketRoute("/ws", socket),
    ]
    return Starlette(routes=routes, middleware=list(around))


async def test_requires_reads_the_permissions_of_the_profile() -> None:
    app = make_app(middleware(FakeProxy(profile(**ADA))))
    assert (await get(app, "/", GOOD)).json() == [True, "ada", ["authenticated", "audit"]]
    assert (await get(app, "/me", GOOD)).json() == "7"
    assert (await get(app, "/audit", GOOD)).json() == "7"
    assert (await get(app, "/write", GOOD)).status_code == 403


@pytest.mark.parametrize(("reply", "headers"), [(profile(), {}), (DOWN, GOOD)])
async def test_a_caller_without_a_user_is_unauthenticated(reply: bytes, headers: Any) -> None:
    app = make_app(middleware(FakeProxy(reply)))
    assert (await get(app, "/", headers)).json() == [False, "", []]
    assert (await get(app, "/me", headers)).status_code == 403
    assert (await get(app, "/audit", headers)).status_code == 404


def test_requires_works_on_websockets() -> None:
    app = make_app(middleware(FakeProxy(profile(**ADA))))
    with TestClient(app).websocket_connect("/ws", headers=GOOD) as websocket:
        assert websocket.receive_json() == "ada"


async def test_a_change_of_the_scopes_reaches_no_other_request() -> None:
    async def vandal(request: Request) -> JSONResponse:
        request.auth.scopes.append("write")
        return JSONResponse(request.auth.scopes)

    app = Starlette(routes=[Route("/", vandal)], middleware=[middleware(FakeProxy(profile(**ADA)))])
    for _ in range(2):
        assert (await get(app, "/", GOOD)).json() == ["authenticated", "audit"]
        assert (await get(app, "/")).json() == []


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> Any:  # noqa: ARG002
        return AuthCredentials(["authenticated", "own"]), SimpleUser("eve")


async def test_the_user_of_middleware_around_it_stays() -> None:
    around = Middleware(AuthenticationMiddleware, backend=Backend())
    app = make_app(around, middleware(FakeProxy(profile(**ADA))))
    assert (await get(app, "/", GOOD)).json() == [True, "eve", ["authenticated", "own"]]


async def test_middleware_behind_it_may_replace_the_user() -> None:
    within = Middleware(AuthenticationMiddleware, backend=Backend())
    app = make_app(middleware(FakeProxy(profile(**ADA))), within)
    assert (await get(app, "/", GOOD)).json() == [True, "eve", ["authenticated", "own"]]


async def test_a_mounted_app_shows_the_user_of_its_own_middleware() -> None:
    inner = make_app(middleware(FakeProxy(profile(user_name="inner"))))
    outer = Starlette(
        routes=[Mount("/inner", inner), Route("/", show)],
        middleware=[middleware(FakeProxy(profile(**ADA)))],
    )
    assert (await get(outer, "/inner/", GOOD)).json() == [True, "inner", ["authenticated"]]
    assert (await get(outer, "/", GOOD)).json() == [True, "ada", ["authenticated", "audit"]]


@pytest.mark.parametrize(
    ("user", "names"),
    [
        (User(id=0, user_name="ada", email="a@b.c"), ("0", "ada")),
        (User(user_name="ada"), ("ada", "ada")),
        (User(email="a@b.c"), ("", "a@b.c")),
        (User(), ("", "")),
    ],
)
def test_a_user_has_the_names_that_starlette_expects(user: User, names: tuple[str, str]) -> None:
    assert (user.identity, user.display_name) == names
