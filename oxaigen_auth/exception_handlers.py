"""Answers errors of this package that a route raises, as the dependencies would."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

from fastapi import HTTPException
from fastapi.exception_handlers import http_exception_handler
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from oxaigen_auth._request.http_errors import refusal_of_error
from oxaigen_auth._request.websocket_refusals import close_code_and_reason, has_denial_response
from oxaigen_auth.errors import OxaigenAuthError

_ENDED = {"http.response.start", "websocket.close", "websocket.http.response.start"}


def install_exception_handlers(app: Starlette) -> None:
    """Answer this package's errors, when a route of the app raises them, as a dependency would.

    An `OxaigenAuthUnauthenticatedError` from `client.get_me` becomes a 401 with its challenge; the
    other errors as in README.md ("Responses to the caller"). `OxaigenAuthConfigurationError`
    stays a 500, and so does a group of exceptions, unless all of them would get the same answer. A
    WebSocket that is open already is closed with 1013 for an outage, otherwise with 1008.

    A handler that the app has for one of these errors comes first. `OxaigenAuthMiddleware` does
    the same for the routes of its own app; an app that is mounted needs handlers of its own.

    Raises:
        RuntimeError: the app has started, so that a handler would never be called.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> install_exception_handlers(app)
    """
    if app.middleware_stack is not None:
        raise RuntimeError("This app has started; call install_exception_handlers(app) before.")
    handler: Any = _handle  # Starlette's type allows either requests or WebSockets
    for error in (OxaigenAuthError, ExceptionGroup):
        app.exception_handlers.setdefault(error, handler)


async def _handle(connection: Request | WebSocket, error: Exception) -> Response | None:
    refusal = refusal_of_error(error)
    sent = _sent(connection) if isinstance(connection, WebSocket) else set[str]()
    if refusal is None or sent & _ENDED:
        raise error
    if isinstance(connection, WebSocket) and not _can_answer(connection.scope, sent):
        await connection.close(*close_code_and_reason(refusal))
        return None
    return await _response(connection, refusal)


def _sent(websocket: WebSocket) -> set[str]:
    """Return the types of the messages that a WebSocket's route has sent.

    An error that the handler raises is passed to it again, with a new `WebSocket`, so the result is
    stored in the scope.
    """
    known = {WebSocketState.CONNECTING: set[str](), WebSocketState.CONNECTED: {"websocket.accept"}}
    sent = known.get(websocket.application_state, _ENDED)
    first: set[str] = websocket.scope.setdefault("oxaigen_auth.sent", sent)
    return first


async def answer_error(
    error: Exception, scope: Scope, receive: Receive, send: Send, *, sent: set[str]
) -> bool:
    """Answer a connection whose app raised an exception. Return False if it has no answer.

    `sent` contains the types of the messages that the app has sent.
    """
    refusal = refusal_of_error(error)
    if refusal is None or sent & _ENDED:
        return False
    if scope["type"] == "websocket" and not _can_answer(scope, sent):
        code, reason = close_code_and_reason(refusal)
        await send({"type": "websocket.close", "code": code, "reason": reason})
        return True
    is_http = scope["type"] == "http"
    connection = Request(scope, receive, send) if is_http else WebSocket(scope, receive, send)
    response = await _response(connection, refusal)
    if response is not None:
        await response(scope, receive, send)
    return True


def _can_answer(scope: Scope, sent: set[str]) -> bool:
    """Return whether a WebSocket can still be answered with an HTTP response."""
    return not sent and has_denial_response(scope)


async def _response(connection: HTTPConnection, refusal: HTTPException) -> Response | None:
    """Return the response of the app's own handler for such an exception, or of FastAPI's."""
    handlers: Any = getattr(connection.scope.get("app"), "exception_handlers", {})
    classes = (handlers.get(cls) for cls in type(refusal).__mro__)
    found = (it for it in (handlers.get(refusal.status_code), *classes) if it is not None)
    handler: Any = next(found, http_exception_handler)
    if iscoroutinefunction(handler) or iscoroutinefunction(type(handler).__call__):
        response: Response | None = await handler(connection, refusal)
        return response
    return await run_in_threadpool(handler, connection, refusal)
