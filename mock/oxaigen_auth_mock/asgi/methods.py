"""Answers HEAD as GET without the body (RFC 9110 §9.3.2), and says which methods a path has."""

from typing import Final

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.routing import Match
from starlette.status import HTTP_405_METHOD_NOT_ALLOWED
from starlette.types import Message, Scope, Send

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def as_get(scope: Scope) -> Scope:
    """Return the scope with which an app answers a call of HEAD."""
    return {**scope, "method": "GET"}


def without_body(send: Send) -> Send:
    """Wrap a `send`, so that the answer ends with its head.

    Its Content-Length is that of the body which GET would get. What an app sends later, such as a
    stream of events, is dropped; the app hears that the caller has left.
    """

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


async def not_allowed(request: Request, _error: Exception) -> JSONResponse:
    """Answer 405 with all methods of the path: an error of Starlette names those of one route."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    found = [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]
    if "GET" in found:
        found.insert(1, "HEAD")
    return JSONResponse(
        {"detail": "Method Not Allowed"}, HTTP_405_METHOD_NOT_ALLOWED, {"Allow": ", ".join(found)}
    )
