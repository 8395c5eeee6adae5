"""The transport that the caller of `ProxyAuthClient(transport=…)` made."""

from __future__ import annotations

from ssl import SSLContext
from typing import Any, Protocol

from attrs import define

from oxaigen_auth._upstream.http_library import httpx


class Transport(Protocol):
    """The interface of `AsyncBaseTransport`, in httpx2 and in httpx."""

    async def handle_async_request(self, request: Any, /) -> Any: ...

    async def aclose(self) -> None: ...


def check_transport(transport: object, ssl_context: SSLContext | None) -> None:
    """Check that a transport belongs to the HTTP library in use, and has its own certificates.

    Raises:
        TypeError: it is another object, or there is an `ssl_context` beside it.
    """
    if isinstance(transport, httpx.AsyncBaseTransport):
        if ssl_context is not None:
            raise TypeError("give ssl_context to the transport: AsyncHTTPTransport(verify=…)")
        return
    kind = transport if isinstance(transport, type) else type(transport)
    given, library = f"{kind.__module__}.{kind.__name__}", httpx.__name__
    raise TypeError(
        f"transport must be an AsyncBaseTransport of {library}, not {given}: write "
        f"{library}.MockTransport(handler), or {library}.ASGITransport(app)"
    )


@define(eq=False)
class GivenTransport:
    """Sends calls through a transport that somebody else made and closes.

    Each call asks for a connection of its own, because only connections of the SDK's own transports
    are checked for data that follows an answer.
    """

    transport: Transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Connection"] = "close"
        response: httpx.Response = await self.transport.handle_async_request(request)
        return response

    async def aclose(self) -> None:
        """Leave the transport open: other clients and event loops may use it."""
