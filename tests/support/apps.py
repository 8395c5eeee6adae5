"""An app with each kind of dependency, and ways to call it."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
from anyio.from_thread import start_blocking_portal
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.requests import HTTPConnection

from oxaigen_auth import (
    User,
    get_current_user,
    get_current_user_optional,
    require_permission,
)
from tests.support.raw_server import RawServer, serving
from tests.support.tokens import TOKEN

with warnings.catch_warnings():
    # It warns without httpx2, and some runs of the tests do not install that.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient, WebSocketDenialResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import ASGIApp

__all__ = ["TestClient", "WebSocketDenialResponse"]  # re-exported for the tests

GOOD = {"authorization": f"Bearer {TOKEN}"}
COOKIE = {"cookie": f"OxaigenPlatformAuthAccessToken={TOKEN}"}


def make_app(**options: Any) -> FastAPI:
    """Return an app with a route, and a WebSocket route, for each kind of dependency."""
    app = FastAPI(**options)

    async def me(user: User = Depends(get_current_user)) -> Any:
        return {"user": user.user_name}

    async def maybe(user: User | None = Depends(get_current_user_optional)) -> Any:
        return {"user": user and user.user_name}

    async def audit(user: User = Depends(require_permission("audit"))) -> Any:
        return {"user": user.user_name}

    async def state(request: Request) -> Any:
        user, error = request.state.user, request.state.auth_error
        return {"user": user and user.user_name, "auth_error": error}

    for route in (me, maybe, audit, state):
        app.get(f"/{route.__name__}")(route)
    for path, dependency in (
        ("/ws/me", get_current_user),
        ("/ws/maybe", get_current_user_optional),
        ("/ws/audit", require_permission("audit")),
    ):
        app.websocket(path)(_websocket_endpoint(dependency))
    return app


def _websocket_endpoint(dependency: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
    async def endpoint(websocket: WebSocket, user: Any = Depends(dependency)) -> None:
        await websocket.accept()
        await websocket.send_json({"user": user and user.user_name})
        await websocket.close()

    return endpoint


def connection(*headers: tuple[str, str | bytes], kind: str = "http") -> HTTPConnection:
    """Return a connection with these headers, and nothing else in its scope."""
    raw = [(k.encode(), v if isinstance(v, bytes) else v.encode("latin-1")) for k, v in headers]
    scope: dict[str, Any] = {"type": kind, "headers": raw}
    return HTTPConnection(scope)


async def get(app: ASGIApp, path: str, headers: Any = None) -> httpx.Response:
    """Send one request to the app, in this process; exceptions of the app are raised here."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example.com") as client:
        return await client.get(path, headers=headers)


@contextmanager
def serving_elsewhere(respond: Callable[[bytes], Awaitable[bytes | None]]) -> Iterator[RawServer]:
    """Serve in a thread with an event loop of its own, for apps that a `TestClient` runs."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(respond)) as server,
    ):
        yield server
