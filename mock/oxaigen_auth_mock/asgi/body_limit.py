"""Limits the size of request bodies while they are read, also without a Content-Length."""

from typing import Final

from attrs import define
from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE: Final = 413  # Starlette has renamed its constant
KIB: Final = 1024
MAX_BODY: Final = 128 * KIB  # a code and a `state` of the maximum length, every character escaped
MAX_CONTROL_BODY: Final = 16 * KIB * KIB  # a snapshot with 10 000 issued tokens has about 3 MiB


@define(eq=False)
class BodyLimitMiddleware:
    """Stop reading a request whose body is too large, and answer 413.

    The exception handlers of the app answer if the app reads the body; this class does if another
    middleware reads it. What is received after the response has begun is not counted: it is only
    read in order to notice a disconnect.
    """

    _app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_CONTROL_BODY if scope["path"].startswith("/_mock") else MAX_BODY
        announced = _announced_size(scope)
        size, started = 0, False

        async def receive_limited() -> Message:
            nonlocal size
            if announced > limit and not started:
                raise _too_large(limit)
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit and not started:
                raise _too_large(limit)
            return message

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive_limited, send_noted)
        except HTTPException as error:
            answer = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
            await answer(scope, receive, send)


def _announced_size(scope: Scope) -> int:
    size = Headers(scope=scope).get("content-length", "")
    return int(size) if size.isdecimal() else 0


def _too_large(limit: int) -> HTTPException:
    detail = f"The body is larger than {limit // KIB} KiB."
    return HTTPException(TOO_LARGE, detail, {"Connection": "close"})
