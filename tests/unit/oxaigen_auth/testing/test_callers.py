"""`as_user`, `as_anonymous` and `as_unavailable` decide who calls an app."""

from __future__ import annotations

import gc
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from threading import Barrier
from typing import TYPE_CHECKING, Any
from weakref import ref

import anyio
import httpx
import pytest
from attrs import evolve
from fastapi import Depends, FastAPI, Request, Security, WebSocket, WebSocketDisconnect
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Route

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    User,
    WorkspacePermission,
    get_current_user,
    install_exception_handlers,
    require_any_permission,
    require_permission,
    require_role,
    watch_user,
)
from oxaigen_auth.testing import FakeProxy, as_anonymous, as_unavailable, as_user
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen
from tests.support.apps import GOOD, TestClient, WebSocketDenialResponse, get, make_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

ADA: dict[str, Any] = {"user_name": "ada", "permissions": ["audit"]}
PATHS = ("/me", "/maybe", "/audit")


@pytest.fixture
def app() -> FastAPI:
    app = make_app()
    app.add_middleware(OxaigenAuthMiddleware)
    return app


@pytest.fixture(autouse=True)
def proxy() -> Iterator[FakeProxy]:
    """The proxy of the default client, which no test here may ask in a block."""
    with FakeProxy().installed() as proxy:
        yield proxy


def answers(app: ASGIApp) -> list[tuple[int, Any]]:
    responses = [TestClient(app).get(path) for path in PATHS]
    return [(it.status_code, it.json()) for it in responses]


def status(app: ASGIApp, path: str = "/me") -> int:
    return TestClient(app).get(path).status_code


def name(app: ASGIApp, path: str = "/me") -> Any:
    return TestClient(app).get(path).json()["user"]


# What a caller sees.


def test_the_user_is_that_of_every_dependency_and_of_the_state(
    app: FastAPI, proxy: FakeProxy
) -> None:
    with as_user(app, **ADA) as user:
        assert answers(app) == [(200, {"user": "ada"})] * 3
        state = TestClient(app).get("/state").json()
    assert state == {"user": "ada", "auth_error": None}
    assert (user.user_name, user.has_permission("audit")) == ("ada", True)
    assert proxy.count() == 0


def test_a_missing_permission_is_refused_as_in_production(app: FastAPI, proxy: FakeProxy) -> None:
    proxy.add_user("token", permissions=["other"])
    real = TestClient(app).get("/audit", headers={"Authorization": "Bearer token"})
    with as_user(app, permissions=["other"]):
        response = TestClient(app).get("/audit")
    assert (response.status_code, response.json()) == (403, real.json())
    assert response.headers["WWW-Authenticate"] == real.headers["WWW-Authenticate"]


def test_nobody_is_signed_in_whatever_token_the_request_has(app: FastAPI, proxy: FakeProxy) -> None:
    with as_anonymous(app):
        client = TestClient(app, headers=GOOD)
        me = client.get("/me")
        assert (me.status_code, me.json()) == (401, {"detail": "Not authenticated"})
        assert me.headers["WWW-Authenticate"] == "Bearer"
        assert client.get("/maybe").json() == {"user": None}
        assert client.get("/state").json() == {"user": None, "auth_error": None}
    assert proxy.count() == 0


def test_an_outage_of_the_proxy_is_502(app: FastAPI) -> None:
    with as_unavailable(app):
        assert answers(app) == [(502, {"detail": "Auth service unavailable"})] * 3
        state = TestClient(app).get("/state").json()
    assert state == {"user": None, "auth_error": "Auth service unavailable"}


def test_websockets_have_the_user(app: FastAPI) -> None:
    client = TestClient(app)
    for block, expected in ((as_user(app, **ADA), "ada"), (as_anonymous(app), None)):
        with block, client.websocket_connect("/ws/maybe") as websocket:
            assert websocket.receive_json() == {"user": expected}
    with as_user(app), pytest.raises(WebSocketDisconnect):
        client.websocket_connect("/ws/audit").__enter__()


@pytest.mark.anyio
async def test_asgi_transport_has_the_user(app: FastAPI) -> None:
    with as_user(app, **ADA):
        assert (await get(app, "/audit")).json() == {"user": "ada"}


@pytest.mark.anyio
async def test_a_server_in_this_process_has_the_user(app: FastAPI) -> None:
    async def ask(url: str) -> Any:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{url}/me")).json()

    with as_user(app, user_name="ada"):
        async with serving(app, listen()) as url:
            with as_user(app, user_name="bob"):
                assert await ask(url) == {"user": "bob"}
            assert await ask(url) == {"user": "ada"}


def test_a_lifespan_may_begin_before_the_block_or_in_it(app: FastAPI) -> None:
    with TestClient(app) as client, as_user(app, **ADA):
        assert client.get("/me").json() == {"user": "ada"}
    with as_user(app, **ADA), TestClient(app) as client:
        assert client.get("/me").json() == {"user": "ada"}
    assert status(app) == 401


def test_an_app_without_fastapi_has_the_user() -> None:
    async def whoami(request: Request) -> JSONResponse:
        return JSONResponse({"user": request.state.user.user_name})

    app = Starlette(routes=[Route("/me", whoami)])
    app.add_middleware(OxaigenAuthMiddleware)
    with as_user(app, user_name="ada"):
        assert name(app) == "ada"


def test_a_mounted_app_has_the_user_of_the_app_around_it_or_of_its_own_block() -> None:
    outer, inner = make_app(), make_app()
    outer.mount("/inner", inner)
    for app in (outer, inner):
        app.add_middleware(OxaigenAuthMiddleware)
    with as_user(outer, **ADA):
        assert [name(outer, path) for path in ("/inner/audit", "/inner/state")] == ["ada"] * 2
    with as_user(inner, **ADA):
        assert [name(outer, path) for path in ("/inner/me", "/inner/state")] == ["ada"] * 2
        assert status(outer) == 401


def test_a_middleware_around_the_app_may_be_given_and_does_not_hide_the_user() -> None:
    app = make_app()
    wrapped = CORSMiddleware(OxaigenAuthMiddleware(app), allow_origins=["*"])
    with as_user(wrapped, **ADA):
        assert answers(wrapped) == [(200, {"user": "ada"})] * 3
        assert name(wrapped, "/state") == "ada"
    assert status(wrapped) == 401


@pytest.mark.parametrize("block", [as_user, as_anonymous, as_unavailable])
def test_a_middleware_around_the_app_that_asked_the_proxy_is_an_error(
    block: Any, proxy: FakeProxy
) -> None:
    headers = {"Authorization": "Bearer token"}
    app, outer = make_app(), make_app()
    outer.add_middleware(OxaigenAuthMiddleware)
    outer.mount("/inner", app)
    wrapped = OxaigenAuthMiddleware(app)
    for given, called, path in (
        (wrapped, wrapped, "/me"),
        (app, wrapped, "/me"),
        (app, outer, "/inner/me"),
    ):
        with block(given), pytest.raises(TypeError, match=r"write app.add_middleware\(Oxaigen"):
            TestClient(called).get(path, headers=headers)
    asked = proxy.count()
    with as_user(outer, user_name="ada"), block(app):
        response = TestClient(outer).get("/inner/me", headers=headers)
        assert response.status_code == status(app)
    assert proxy.count() == asked


def test_a_test_client_may_be_given(app: FastAPI) -> None:
    client = TestClient(app)
    with as_user(client, **ADA):
        assert client.get("/me").json() == {"user": "ada"}


def test_other_middleware_sees_the_user() -> None:
    seen: list[str | None] = []

    async def note(request: Request, call_next: Callable[..., Any]) -> Any:
        response = await call_next(request)
        seen.append(request.state.user.user_name)
        return response

    app = make_app()
    app.add_middleware(OxaigenAuthMiddleware)
    app.add_middleware(BaseHTTPMiddleware, dispatch=note)
    with as_user(app, **ADA):
        assert name(app) == "ada"
    assert seen == ["ada"]


def test_an_override_applies_as_documented(app: FastAPI) -> None:
    app.dependency_overrides[get_current_user] = lambda: User(user_name="override")
    with as_user(app, **ADA):
        assert [name(app, path) for path in PATHS] == ["override", "ada", "override"]


def test_the_client_of_the_identity_accepts_no_token_and_uses_no_network() -> None:
    app = FastAPI()

    @app.get("/")
    async def ask(connection: Request) -> str:
        identity: Any = connection.scope["oxaigen_auth.identity"]
        return str(await identity.client.test_permission("token", "audit"))

    install_exception_handlers(app)
    with as_user(app, permissions=["audit"]):
        assert status(app, "/") == 401


def test_a_route_that_misuses_a_dependency_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.get("/")
    async def audit(user: User = Security(get_current_user, scopes=["audit"])) -> None: ...

    with as_user(app), pytest.raises(Exception, match="scopes"):
        status(app, "/")
    assert "require_permission" in caplog.text


# Blocks.


def test_the_inner_block_applies(app: FastAPI) -> None:
    with as_user(app, user_name="ada"):
        with as_anonymous(app):
            assert status(app) == 401
            with as_user(app, user_name="bob"):
                assert name(app) == "bob"
            assert status(app) == 401
        assert name(app) == "ada"
    assert status(app) == 401


def test_blocks_may_end_in_any_order(app: FastAPI) -> None:
    ada, bob = ExitStack(), ExitStack()
    ada.enter_context(as_user(app, user_name="ada"))
    bob.enter_context(as_user(app, user_name="bob"))
    ada.close()
    assert name(app) == "bob"
    bob.close()
    assert status(app) == 401


def test_a_block_leaves_the_app_as_it_was() -> None:
    app = make_app()
    with pytest.raises(LookupError), as_user(app, user_name="ada"):
        raise LookupError
    assert app.middleware_stack is None
    app.add_middleware(OxaigenAuthMiddleware)
    install_exception_handlers(app)
    assert status(app) == 401
    stack = app.middleware_stack
    with as_user(app):
        assert status(app) == 200
    assert app.middleware_stack is stack


def test_a_middleware_that_is_put_around_the_app_in_a_block_stays(app: FastAPI) -> None:
    with as_user(app, user_name="ada"):
        assert app.middleware_stack is not None
        app.middleware_stack = CORSMiddleware(app.middleware_stack)
    assert isinstance(app.middleware_stack, CORSMiddleware)
    assert status(app) == 401
    with as_user(app, user_name="bob"):
        assert name(app) == "bob"


def test_nothing_keeps_a_user_whose_block_has_ended(app: FastAPI) -> None:
    with as_user(app) as user:
        ended = ref(user)
    del user
    gc.collect()
    assert ended() is None


def test_an_open_websocket_keeps_its_user(app: FastAPI) -> None:
    client = TestClient(app)
    with as_user(app, user_name="ada"), client.websocket_connect("/ws/me") as websocket:
        with as_user(app, user_name="bob"):
            assert websocket.receive_json() == {"user": "ada"}


def test_threads_have_users_of_their_own(app: FastAPI) -> None:
    together = Barrier(2)

    def sign_in_and_ask(user_name: str) -> list[str]:
        with as_user(app, user_name=user_name), TestClient(app) as client:
            together.wait()
            found = [client.get("/me").json()["user"] for _ in range(5)]
            together.wait()
            return found

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(sign_in_and_ask, ["ada", "bob"])) == [["ada"] * 5, ["bob"] * 5]


@pytest.mark.anyio
async def test_tasks_have_users_of_their_own(app: FastAPI) -> None:
    found: dict[str, Any] = {}

    async def sign_in_and_ask(user_name: str) -> None:
        with as_user(app, user_name=user_name):
            await anyio.wait_all_tasks_blocked()
            found[user_name] = (await get(app, "/me")).json()["user"]
            await anyio.wait_all_tasks_blocked()

    with as_user(app, user_name="eve"):
        async with anyio.create_task_group() as group:
            group.start_soon(sign_in_and_ask, "ada")
            group.start_soon(sign_in_and_ask, "bob")
    assert found == {"ada": "ada", "bob": "bob"}


def test_a_thread_without_a_block_has_the_user_of_the_newest_one(app: FastAPI) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # the thread begins before the block
        with as_user(app, user_name="ada"), as_user(app, user_name="bob"):
            assert pool.submit(name, app).result() == "bob"


def test_a_server_that_was_started_in_a_block_has_the_user_of_one_inside(app: FastAPI) -> None:
    with as_user(app, user_name="ada"), ThreadPoolExecutor(1) as pool:
        server = copy_context()
        with as_user(app, user_name="bob"):
            assert pool.submit(server.run, name, app).result() == "bob"


# The user.


def test_the_default_user_has_a_name_and_no_permission() -> None:
    with as_user(FastAPI()) as user:
        assert (user.user_name, user.email) == ("test-user", "test-user@example.com")
        assert (user.workspace_permissions, user.workspace_roles) == ([], [])


def test_a_user_may_be_given_with_changes(app: FastAPI) -> None:
    ada = User(user_name="ada", workspace_permissions=[WorkspacePermission(name="audit")])
    with as_user(app, ada) as user:
        assert user == ada
        assert name(app, "/audit") == "ada"
    with as_user(app, ada, permissions=[], roles=["owner"], extra={"plan": "pro"}) as user:
        assert user == evolve(
            ada, workspace_permissions=[], workspace_roles=user.workspace_roles, extra=user.extra
        )
        assert (user.has_role("owner"), user.extra) == (True, {"plan": "pro"})
        assert status(app, "/audit") == 403


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frist_name": "Ada"}, "unknown field 'frist_name'; did you mean first_name"),
        ({"permission": ["audit"]}, "'permission'; did you mean permissions"),
        ({"plan": "pro"}, "write extra={'plan': …}"),
        ({"permissions": "audit"}, 'write permissions=["audit"]'),
        ({"roles": 1}, 'write roles=["name"]'),
        ({"roles": [1]}, "WorkspaceRole.name must be str or None, not int"),
        ({"id": "1"}, "User.id must be int or None, not str"),
    ],
)
def test_a_wrong_field_is_an_error_that_says_what_to_write(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        as_user(FastAPI(), **options).__enter__()


@pytest.mark.parametrize("user", ["audit", User, ["audit"]])
def test_what_is_no_user_is_an_error_that_says_what_to_write(user: Any) -> None:
    with pytest.raises(TypeError, match=r'permissions=\["audit"\]'):
        as_user(FastAPI(), user).__enter__()


def test_a_bad_permission_name_is_an_error_as_in_production() -> None:
    with pytest.raises(ValueError, match="not a permission name") as ours:
        as_user(FastAPI(), permissions=["a b"]).__enter__()
    with pytest.raises(ValueError, match="not a permission name") as productions:
        require_permission("a b")
    assert str(ours.value) == str(productions.value)


def test_a_user_who_is_not_authenticated_is_refused() -> None:
    with pytest.raises(ValueError, match=r"write as_anonymous\(app\)"):
        as_user(FastAPI(), is_authenticated=False).__enter__()


@pytest.mark.parametrize("block", [as_user, as_anonymous, as_unavailable])
@pytest.mark.parametrize("app", ["app", Depends(), HTTPConnection, lambda: None, None])
def test_what_is_no_app_is_an_error_that_says_what_to_write(block: Any, app: Any) -> None:
    message = re.escape(f"write {block.__name__}(app), with the app that your test calls")
    with pytest.raises(TypeError, match=message):
        block(app).__enter__()


def test_a_middleware_around_itself_is_no_app() -> None:
    loop = CORSMiddleware(FastAPI())
    loop.app = loop
    with pytest.raises(TypeError, match="not CORSMiddleware"):
        as_user(loop).__enter__()


@pytest.mark.anyio
async def test_several_permissions_and_roles_are_those_of_the_block() -> None:
    app = FastAPI()
    for path, dependency in (
        ("/all", require_permission("audit", "export")),
        ("/any", require_any_permission("audit", "export")),
        ("/role", require_role("owner")),
    ):
        app.get(path, dependencies=[Depends(dependency)])(lambda: None)

    async def statuses() -> list[int]:
        return [(await get(app, path)).status_code for path in ("/all", "/any", "/role")]

    with as_user(app, permissions=["audit", "export"], roles=["owner"]):
        assert await statuses() == [200, 200, 200]
    with as_user(app, permissions=["audit"], roles=["guest"]):
        assert await statuses() == [403, 200, 403]
    with as_user(app):
        assert await statuses() == [403, 403, 403]
    with as_anonymous(app):
        assert await statuses() == [401, 401, 401]
    with as_unavailable(app):
        assert await statuses() == [502, 502, 502]


def test_a_watched_websocket_has_the_user_of_the_block() -> None:
    app = FastAPI()

    @app.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        async with watch_user(websocket, "chat") as user:
            await websocket.accept()
            await websocket.send_text(str(user.user_name))
            await websocket.receive_text()

    client = TestClient(app)
    with as_user(app, user_name="ada", permissions=["chat"]):
        with client.websocket_connect("/chat") as websocket:
            assert websocket.receive_text() == "ada"
            websocket.send_text("bye")
    with as_user(app), pytest.raises(WebSocketDenialResponse) as refused:
        client.websocket_connect("/chat").__enter__()
    assert refused.value.status_code == 403
    with as_unavailable(app), pytest.raises(WebSocketDenialResponse) as refused:
        client.websocket_connect("/chat").__enter__()
    assert refused.value.status_code == 502


def test_a_token_offered_as_a_sub_protocol_is_hidden_in_a_block_too() -> None:
    app = FastAPI()

    @app.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept(websocket.scope["subprotocols"][0])
        await websocket.close()

    offered = ["base64url.bearer.authorization.oxaigen.YQ", "chat"]
    with as_user(app), TestClient(app).websocket_connect("/chat", subprotocols=offered) as opened:
        assert opened.accepted_subprotocol == "chat"
