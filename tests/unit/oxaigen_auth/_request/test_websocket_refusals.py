"""How the dependencies refuse a WebSocket that no HTTP response can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.websockets import WebSocketDisconnect

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    get_current_user,
    get_current_user_optional,
    require_permission,
)
from tests.support.apps import (
    GOOD,
    TestClient,
    WebSocketDenialResponse,
    make_app,
    serving_elsewhere,
)
from tests.support.fake_proxy import DENIED, DOWN, REVOKED, FakeProxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message

DEPENDENCIES: dict[str, Any] = {
    "/late/me": get_current_user,
    "/late/maybe": get_current_user_optional,
    "/late/audit": require_permission("audit"),
}

each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
with_and_without_middleware = pytest.mark.parametrize("middleware", [True, False])

REFUSALS = [
    ("/late/me", FakeProxy(REVOKED), {}, 1008, "Not authenticated"),
    ("/late/me", FakeProxy(REVOKED), GOOD, 1008, "Token revoked"),
    ("/late/me", FakeProxy(DOWN), GOOD, 1013, "Auth service unavailable"),
    ("/late/maybe", FakeProxy(DOWN), GOOD, 1013, "Auth service unavailable"),
    ("/late/audit", FakeProxy(permission=DENIED), GOOD, 1008, "Missing permission: audit"),
    ("/late/audit", FakeProxy(permission=DOWN), GOOD, 1013, "Auth service unavailable"),
]


def app_asking_late(*, middleware: bool) -> FastAPI:
    app = make_app()
    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)

    @app.websocket("/late/{name}")
    async def late(websocket: WebSocket) -> None:
        await websocket.accept()
        await DEPENDENCIES[websocket.url.path](websocket)

    return app


def with_status_handlers(app: FastAPI) -> FastAPI:
    """Let an app answer the statuses of refusals itself, as apps do to send users to a login."""

    async def to_login(_: HTTPConnection, __: Exception) -> RedirectResponse:
        return RedirectResponse("/login", 303)

    for status in (401, 403, 502):
        app.add_exception_handler(status, to_login)
    return app


with_and_without_status_handlers = pytest.mark.parametrize(
    "prepare", [lambda app: app, with_status_handlers]
)


@with_and_without_status_handlers
@with_and_without_middleware
@each_backend
@pytest.mark.parametrize(("path", "proxy", "headers", "code", "reason"), REFUSALS)
def test_an_open_websocket_is_closed_with_a_code(  # noqa: PLR0913, PLR0917 (a table)
    path: str,
    proxy: FakeProxy,
    headers: Any,
    code: int,
    reason: str,
    backend: Any,
    middleware: bool,  # noqa: FBT001
    prepare: Callable[[FastAPI], FastAPI],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving_elsewhere(proxy) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        app = prepare(app_asking_late(middleware=middleware))
        client = TestClient(app, backend=backend)
        with client.websocket_connect(path, headers=headers) as websocket:
            with pytest.raises(WebSocketDisconnect) as closed:
                websocket.receive_text()
    assert (closed.value.code, closed.value.reason) == (code, reason)


@each_backend
def test_a_handshake_is_answered_by_the_app_s_handler_for_the_status(backend: Any) -> None:
    app = with_status_handlers(app_asking_late(middleware=True))
    with pytest.raises(WebSocketDenialResponse) as denied:
        TestClient(app, backend=backend).websocket_connect("/ws/me").__enter__()
    response: Any = denied.value
    assert response.status_code == 303


@each_backend
def test_an_address_with_too_many_rejected_tokens_may_try_again_later(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MAX_REJECTED_PER_MINUTE", "1")
    codes: list[int] = []
    with serving_elsewhere(FakeProxy(REVOKED)) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        app = app_asking_late(middleware=False)
        with TestClient(app, backend=backend, client=("10.0.0.1", 1)) as client:
            for token in ("one", "two", "three"):
                headers = {"authorization": f"Bearer {token}"}
                with client.websocket_connect("/late/me", headers=headers) as websocket:
                    with pytest.raises(WebSocketDisconnect) as closed:
                        websocket.receive_text()
                    codes.append(closed.value.code)
    assert codes == [1008, 1008, 1013]


@pytest.mark.anyio
@with_and_without_middleware
@with_and_without_status_handlers
@pytest.mark.parametrize("path", ["/ws/me", "/ws/audit"])
async def test_a_server_without_denial_responses_closes_the_handshake(
    path: str,
    middleware: bool,  # noqa: FBT001
    prepare: Callable[[FastAPI], FastAPI],
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "headers": [],
        "query_string": b"",
        "subprotocols": [],
    }
    await prepare(app_asking_late(middleware=middleware))(scope, AsyncMock(), send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "Not authenticated"}]


@each_backend
def test_an_app_can_catch_the_refusal_as_an_http_exception(backend: Any) -> None:
    app = FastAPI()

    @app.websocket("/")
    async def route(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await get_current_user(websocket)
        except HTTPException as error:
            reason = getattr(error, "auth_reason", None)
            await websocket.send_json([error.status_code, error.detail, error.headers, reason])
            await websocket.close(4401)

    with TestClient(app, backend=backend).websocket_connect("/") as websocket:
        assert websocket.receive_json() == [
            1008,
            "Not authenticated",
            {"WWW-Authenticate": "Bearer"},
            "missing_token",
        ]
        with pytest.raises(WebSocketDisconnect) as closed:
            websocket.receive_text()
    assert closed.value.code == 4401
