"""watch_user: identifies the caller of a WebSocket, again and again while it is open."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Annotated

from anyio import move_on_after
from fastapi import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from oxaigen_auth._core.background import CLOSE_TIMEOUT
from oxaigen_auth._hints.dependencies import EnteredInRoute
from oxaigen_auth._request.http_errors import user_of
from oxaigen_auth._request.identity import identify
from oxaigen_auth._request.user_watch import UserWatch
from oxaigen_auth._request.websocket_refusals import answerable, close_code_and_reason
from oxaigen_auth._syntax.tokens import check_permission_name
from oxaigen_auth.models import User


@asynccontextmanager
async def watch_user(
    websocket: WebSocket,
    *permission_names: Annotated[str, EnteredInRoute],
    max_outage_seconds: float = inf,
) -> AsyncGenerator[User]:
    """Identify the caller of a WebSocket, and cancel the block when the token stops being valid.

    The token is validated again whenever its cached verdict expires, every `CACHE_TTL_SECONDS` and
    up to a tenth more, and when another request finds out that it is rejected. All WebSockets of a
    token share one lookup. If the proxy rejects the token, denies one of the permissions, or
    `client.forget` is called with the token, the block is cancelled at its next `await`. When it
    has ended, the WebSocket is closed with 1008, and the route continues after the block. If the
    WebSocket is not accepted by then, an exception is raised instead, as when the block begins. An
    exception of the block itself is raised as it is.

    While the proxy is unavailable, the block continues, but not beyond the `exp` of a JWT. If it
    must end then, or because the client is closed, the close code is 1013, "try again later".

    Enter the block before `accept`: then a caller who is refused gets an HTTP response, if the
    server can send one.

    Args:
        websocket: the WebSocket of the route.
        permission_names: the permissions that the caller must hold, all of them.
        max_outage_seconds: how long the block may continue without a new verdict of the proxy. With
            `stale_if_error_seconds`, a stale one does not count.

    Raises:
        HTTPException: the caller is refused when the block begins, as by `get_current_user` and
            `require_permission`; or later, before `accept`.
        OxaigenAuthConfigurationError: the environment holds invalid settings.
        ValueError: a name is not of the form `[A-Za-z0-9_-]+`, or `max_outage_seconds` is negative.
        TypeError: the connection is not a WebSocket.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> @app.websocket("/echo")
    ... async def echo(websocket: WebSocket) -> None:
    ...     async with watch_user(websocket, "chat") as user:
    ...         await websocket.accept()
    ...         async for text in websocket.iter_text():
    ...             await websocket.send_text(f"{user.user_name}: {text}")
    """
    if not isinstance(websocket, WebSocket):
        raise TypeError(
            f"watch_user takes a WebSocket, not {type(websocket).__name__}; for a request, write "
            "Depends(get_current_user)"
        )
    if not max_outage_seconds >= 0:
        raise ValueError(f"max_outage_seconds is {max_outage_seconds!r}; expected 0 or more")
    permissions = tuple(map(check_permission_name, permission_names))
    try:
        identity = await identify(websocket.scope)
        user_of(identity)
    except HTTPException as refusal:
        raise answerable(refusal, websocket) from None
    with UserWatch.open(identity, permissions, max_outage_seconds) as watch:
        # The token may have been forgotten since the connection was identified.
        refused = await watch.validate()
        if refused is not None:
            raise answerable(refused, websocket)
        try:
            async with watch.running():
                yield watch.user
        finally:
            if watch.refusal is not None:
                await _close(websocket, watch.refusal)  # noqa: ASYNC102 (shielded and bounded there)
    if watch.refusal is not None and websocket.application_state is WebSocketState.CONNECTING:
        raise answerable(watch.refusal, websocket)


async def _close(websocket: WebSocket, refusal: HTTPException) -> None:
    """Close a WebSocket that is open, unless the caller has disconnected."""
    if websocket.application_state is WebSocketState.CONNECTED:
        gone = (RuntimeError, OSError, WebSocketDisconnect)
        with move_on_after(CLOSE_TIMEOUT, shield=True), suppress(*gone):
            await websocket.close(*close_code_and_reason(refusal))
