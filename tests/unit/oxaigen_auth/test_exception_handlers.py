"""The SDK's errors that a route raises: the answers of the dependencies, not a server error."""

from __future__ import annotations

from copy import deepcopy
from traceback import format_exception
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, HTTPException, Request, WebSocket
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.websockets import WebSocketDisconnect

from oxaigen_auth import (
    OxaigenAuthConfigurationError,
    OxaigenAuthError,
    OxaigenAuthMiddleware,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
    derive_proxy_base_url,
    extract_bearer_token,
    install_exception_handlers,
)
from oxaigen_auth.errors import OxaigenAuthUntrustedHostError
from tests.support.apps import TestClient, WebSocketDenialResponse, get
from tests.support.fake_proxy import FakeProxy
from tests.support.raw_server import answer, serving
from tests.support.tokens import TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import httpx
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

INVALID = 'Bearer error="invalid_token"'
MISSING = 'Bearer error="insufficient_scope", scope="audit"'


def by_middleware(app: Starlette) -> None:
    app.add_middleware(OxaigenAuthMiddleware)


def by_nothing(_: Starlette) -> None: ...


def by_middleware_inside_another(app: Starlette) -> None:
    app.add_middleware(OxaigenAuthMiddleware)
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)


def by_middleware_around_another(app: Starlette) -> None:
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    app.add_middleware(OxaigenAuthMiddleware)


async def pass_on(request: Request, call_next: Any) -> Any:
    return await call_next(request)


WAYS = [
    by_middleware,
    by_middleware_inside_another,
    by_middleware_around_another,
    install_exception_handlers,
]
each_way = pytest.mark.parametrize("way", WAYS)


def app_raising(error: Exception, way: Callable[[Starlette], None]) -> FastAPI:
    app = FastAPI()
    way(app)

    @app.get("/")
    async def route() -> None:
        raise deepcopy(error)  # a traceback of its own

    @app.websocket("/before")
    async def before(_: WebSocket) -> None:
        raise deepcopy(error)

    @app.websocket("/after")
    async def after(websocket: WebSocket) -> None:
        await websocket.accept()
        raise deepcopy(error)

    return app


def answered(response: httpx.Response) -> tuple[object, ...]:
    headers = response.headers
    detail = response.json()["detail"]
    return response.status_code, detail, headers.get("www-authenticate"), headers.get("retry-after")


ERRORS = [
    (OxaigenAuthUnauthenticatedError("Expired"), (401, "Expired", INVALID, None)),
    (OxaigenAuthPermissionDeniedError("Not here"), (403, "Not here", None, None)),
    (OxaigenAuthPermissionDeniedError("No", "audit"), (403, "No", MISSING, None)),
    (OxaigenAuthPermissionDeniedError("No", 'a"\r\nb'), (403, "No", None, None)),
    (OxaigenAuthUpstreamError("at 10.0.0.1"), (502, "Auth service unavailable", None, None)),
    (OxaigenAuthUpstreamError("x", 7), (502, "Auth service unavailable", None, "7")),
    (
        OxaigenAuthUntrustedHostError("Invalid host header"),
        (400, "Invalid host header", None, None),
    ),
    (
        ExceptionGroup(
            "both",
            [
                OxaigenAuthUnauthenticatedError("Expired"),
                ExceptionGroup("", [OxaigenAuthUnauthenticatedError("Expired")]),
            ],
        ),
        (401, "Expired", INVALID, None),
    ),
]


@each_way
@pytest.mark.parametrize(("error", "expected"), ERRORS)
async def test_what_a_route_raises_is_answered_as_by_a_dependency(
    way: Any, error: Exception, expected: object
) -> None:
    assert answered(await get(app_raising(error, way), "/")) == expected


OTHERS = [
    OxaigenAuthConfigurationError("The URL of the auth proxy is unknown"),
    OxaigenAuthError("of a later version"),
    ExceptionGroup("", [OxaigenAuthUnauthenticatedError("a"), ValueError("b")]),
    ExceptionGroup("", [ValueError("b"), OxaigenAuthUnauthenticatedError("a")]),
    ExceptionGroup("", [OxaigenAuthUnauthenticatedError("a"), OxaigenAuthUpstreamError("b")]),
    RuntimeError("a bug of the app"),
]


@each_way
@pytest.mark.parametrize("error", OTHERS)
async def test_other_exceptions_stay_server_errors(way: Any, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        await get(app_raising(error, way), "/")
    assert str(caught.value) == str(error)
    assert TestClient(app_raising(error, way), raise_server_exceptions=False).get("/").is_error


@each_way
async def test_errors_of_client_calls_in_a_route_are_answered(
    way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = FastAPI()
    way(app)

    @app.get("/me")
    async def me(request: Request) -> Any:
        token = extract_bearer_token(request)
        assert token
        async with ProxyAuthClient(server.url) as client:
            return (await client.get_me(token)).user_name

    @app.get("/where")
    async def where(request: Request) -> str:
        return derive_proxy_base_url(request)

    monkeypatch.setenv("OXAIGEN_AUTH_ALLOWED_HOSTS", "other.example.com")
    async with serving(FakeProxy(answer(401))) as server:
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert answered(await get(app, "/me", bearer))[:2] == (401, "Invalid token")
        malformed = await get(app, "/me", {"authorization": "Bearer a b"})
        assert answered(malformed)[:2] == (401, "Invalid token")
    assert answered(await get(app, "/where"))[:2] == (400, "Invalid host header")


@each_way
@pytest.mark.parametrize(("error", "expected"), ERRORS)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_websocket_is_denied_or_closed(
    way: Any, error: Exception, expected: Any, backend: Any
) -> None:
    client = TestClient(app_raising(error, way), backend=backend)
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/before"):
        ...
    response: Any = denied.value
    assert answered(response) == expected
    with client.websocket_connect("/after") as websocket:
        with pytest.raises(WebSocketDisconnect) as closed:
            websocket.receive_text()
    assert closed.value.code == (1013 if expected[0] == 502 else 1008)
    assert closed.value.reason == expected[1]


async def talk(app: ASGIApp, scope: Scope, *, events: list[Message]) -> None:
    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        events.append(message)

    await app({"type": "websocket", "path": "/before", "headers": [], **scope}, receive, send)


@each_way
async def test_a_server_that_cannot_deny_a_websocket_closes_it(way: Any) -> None:
    if way is by_middleware_around_another:
        way = by_middleware
    events: list[Message] = []
    app = app_raising(OxaigenAuthUnauthenticatedError("é" * 100), way)
    await talk(app, {"query_string": b"", "subprotocols": []}, events=events)
    assert events == [{"type": "websocket.close", "code": 1008, "reason": "é" * 61}]


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # Starlette before 1.0
@each_way
async def test_a_response_that_has_started_is_not_answered_again(way: Any) -> None:
    events: list[Message] = []

    async def half() -> AsyncGenerator[str]:
        yield "half"
        raise OxaigenAuthUnauthenticatedError("Expired")

    app = FastAPI()

    @app.get("/")
    async def begin() -> StreamingResponse:
        return StreamingResponse(half())

    @app.websocket("/before")
    async def close(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        raise OxaigenAuthUnauthenticatedError("Expired")

    way(app)
    either = (OxaigenAuthUnauthenticatedError, RuntimeError, ExceptionGroup)
    with pytest.raises(either) as caught:
        await get(app, "/")
    assert "Expired" in "".join(format_exception(caught.value))
    del caught
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await talk(app, {"query_string": b"", "subprotocols": []}, events=events)
    assert [it["type"] for it in events] == ["websocket.accept", "websocket.close"]


@each_way
@pytest.mark.parametrize("handled", [OxaigenAuthUnauthenticatedError, OxaigenAuthError])
@pytest.mark.parametrize("first", [True, False])
async def test_a_handler_of_the_app_takes_precedence(
    way: Any,
    handled: Any,
    first: bool,  # noqa: FBT001
) -> None:
    def mine(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"mine": str(error)}, 418)

    def both(app: Starlette) -> None:
        steps = [lambda: app.add_exception_handler(handled, mine), lambda: way(app)]
        for step in steps if first else reversed(steps):
            step()

    response = await get(app_raising(OxaigenAuthUnauthenticatedError("Expired"), both), "/")
    assert (response.status_code, response.json()) == (418, {"mine": "Expired"})


async def as_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"title": error.detail}, error.status_code, error.headers)


def as_problem_in_a_thread(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"title": error.detail}, error.status_code, error.headers)


class Problem:
    async def __call__(self, _: Request, error: Exception) -> JSONResponse:
        return await as_problem(_, error)


@each_way
@pytest.mark.parametrize("key", [HTTPException, 401])
@pytest.mark.parametrize("handler", [as_problem, as_problem_in_a_thread, Problem()])
async def test_the_response_has_the_form_of_the_apps_other_errors(
    way: Any, key: Any, handler: Any
) -> None:
    app = app_raising(OxaigenAuthUnauthenticatedError("Expired"), way)
    app.add_exception_handler(key, handler)
    response = await get(app, "/")
    assert (response.status_code, response.json()) == (401, {"title": "Expired"})
    assert response.headers["www-authenticate"] == INVALID


@each_way
def test_a_handler_of_the_app_may_close_the_websocket_itself(way: Any) -> None:
    async def close(websocket: WebSocket, _: Exception) -> None:
        await websocket.close(4001)

    app = app_raising(OxaigenAuthUnauthenticatedError("Expired"), way)
    app.add_exception_handler(HTTPException, close)
    with pytest.raises(WebSocketDisconnect) as closed:
        TestClient(app).websocket_connect("/before").__enter__()
    assert closed.value.code == 4001


@each_way
async def test_an_app_without_fastapi_gets_the_same_answers(way: Any) -> None:
    async def route(_: Request) -> Any:
        raise OxaigenAuthUpstreamError("x", 3)

    app = Starlette(routes=[Route("/", route)])
    way(app)
    assert answered(await get(app, "/")) == (502, "Auth service unavailable", None, "3")


async def test_an_app_of_another_framework_gets_the_same_answers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
        raise OxaigenAuthUnauthenticatedError("Expired")

    response = await get(OxaigenAuthMiddleware(app), "/")
    assert answered(response) == (401, "Expired", INVALID, None)


async def test_a_mounted_app_needs_handlers_of_its_own() -> None:
    error = OxaigenAuthUnauthenticatedError("Expired")
    for way, status in ((install_exception_handlers, 401), (by_middleware, 401), (by_nothing, 500)):
        outer = FastAPI()
        by_middleware(outer)
        outer.mount("/inner", app_raising(error, way))
        client = TestClient(outer, raise_server_exceptions=False)
        assert client.get("/inner/").status_code == status


async def test_handlers_that_are_installed_too_late_are_refused() -> None:
    app = FastAPI()
    await get(app, "/")
    with pytest.raises(RuntimeError, match="has started"):
        install_exception_handlers(app)
