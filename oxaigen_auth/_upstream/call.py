"""One call to the proxy: sends a request, retries it on a dead connection, and reads the body."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from contextlib import aclosing
from typing import Any, cast

from anyio import CancelScope, move_on_after
from anyio.abc import AsyncResource
from attrs import define, field

from oxaigen_auth._core.background import CLOSE_TIMEOUT
from oxaigen_auth._upstream.given_transport import Transport
from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth._upstream.httpcore_internals import has_trailing_data
from oxaigen_auth._upstream.response import MAX_BODY, MOCK_HEADER, MOCKED, Answer, AnswerError
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.verdict import Unavailable

TOO_LARGE = f"the body is larger than {MAX_BODY} bytes"

# Raised for a kept-alive connection that the server closed before our request arrived.
_DEAD = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


@define(eq=False)
class Call:
    """A call that runs in `scope`, which is cancelled to cut off a body that is too large.

    `observer` is notified of each request and its answer. With `refuse_mock`, every answer of the
    mock is *unavailable*. If the transport keeps no connections for later calls, none of them needs
    a retry, or a check for trailing data.
    """

    scope: CancelScope
    observer: Observer
    refuse_mock: bool
    keeps_connections: bool = field(default=True, kw_only=True)
    too_large: bool = field(default=False, init=False)
    _new_connection: bool = field(default=False, init=False)
    _answered: bool = field(default=False, init=False)
    _unused: AsyncResource | None = field(default=None, init=False)
    _extensions: dict[str, Any] = field(factory=dict, init=False)

    async def send(self, transport: Transport, request: httpx.Request) -> Answer | Unavailable:
        """Send a request, and retry it once if its kept-alive connection was dead."""
        try:
            return await self._send_once(transport, request)
        except _DEAD as error:
            is_new = self._new_connection or not self.keeps_connections
            if is_new or self._answered or not _was_dead(error):
                raise
        return await self._send_once(transport, request)

    async def _send_once(
        self, transport: Transport, request: httpx.Request
    ) -> Answer | Unavailable:
        self._extensions = request.extensions
        self._extensions["trace"] = self._trace
        self.observer.on_upstream_call()
        try:
            response: httpx.Response = await transport.handle_async_request(request)
        except BaseException:
            await self._close_unused()  # noqa: ASYNC102 (shielded there)
            raise
        self._answered = True
        self.observer.on_upstream_response(response.status_code)
        async with aclosing(response):
            if self.refuse_mock and MOCK_HEADER in response.headers:
                return MOCKED  # whatever its body contains
            body = await self._read(response)
        if self.keeps_connections and has_trailing_data(response):
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await transport.aclose()
        return Answer(response.status_code, response.headers, body)

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note whether the request opened a connection."""
        if event == "connection.connect_tcp.complete":
            self._new_connection = True
            self._unused = info["return_value"]
        elif event == "http11.send_request_headers.started":
            self._unused = None
            # The library awaits this for each event, and no later one is of interest.
            self._extensions.pop("trace", None)

    async def _close_unused(self) -> None:
        """Close a connection that the library opened but did not use, and would leave open.

        That happens when it is cancelled during the TLS handshake.
        """
        if self._unused is not None:
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._unused.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        """Return the body as received. If it is too large, cancel the call.

        Leaving the loop instead would abandon the library's nested generators half-way.
        """
        body = bytearray()
        async for chunk in cast("AsyncIterable[bytes]", response.stream):
            body += chunk
            if len(body) > MAX_BODY:
                self.too_large = True
                self.scope.cancel()
        if len(body) > MAX_BODY:  # the last chunk; there was nothing left to cancel
            raise AnswerError(TOO_LARGE)
        return bytes(body)


def _was_dead(error: Exception) -> bool:
    """Return whether a connection was closed, in contrast to an answer that is not HTTP."""
    is_protocol_error = isinstance(error, httpx.RemoteProtocolError)
    return not is_protocol_error or str(error).startswith("Server disconnected")
