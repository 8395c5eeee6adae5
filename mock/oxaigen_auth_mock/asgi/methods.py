"""HEAD as GET without the body (RFC 9110 §9.3.2), and the `Allow` header of a 405."""

from typing import Final

from attrs import define
from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.routing import Match
from starlette.status import HTTP_405_METHOD_NOT_ALLOWED
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


@define(eq=False)
class HeadMiddleware:
    """Answer HEAD with the status and headers that GET would get.

    The response ends after its headers. What the app sends later, such as a stream of events, is
    dropped, and the app sees a disconnect.
    """

    _app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app({**scope, "method": "GET"}, receive, send_head)


async def method_not_allowed(request: Request, _error: Exception) -> JSONResponse:
    """Answer 405 with all methods of the path; Starlette lists those of one route only."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    allowed = [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]
    if "GET" in allowed:
        allowed.insert(1, "HEAD")
    headers = {"Allow": ", ".join(allowed)}
    return JSONResponse({"detail": "Method Not Allowed"}, HTTP_405_METHOD_NOT_ALLOWED, headers)
