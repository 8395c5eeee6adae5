"""A proxy on real sockets that sends exactly the bytes that a test returns."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSListener
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from ssl import SSLContext

    from anyio.abc import ByteStream, Listener

PROFILE = b'{"is_authenticated": true, "id": 7, "user_name": "ada"}'


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a complete HTTP/1.1 answer; `retry_after="1"` becomes `retry-after: 1`."""
    fields = {"content-length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} Some Reason", *lines, "", ""])
    return head.encode() + body


@define(eq=False)
class RawServer:
    """Answers each request with what `respond` returns; None closes the connection instead.

    `requests` contains every request as received, `connections` the number of connections.
    """

    respond: Callable[[bytes], Awaitable[bytes | None]]
    url: str = ""
    requests: list[bytes] = field(factory=list)
    connections: int = 0

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        async with stream:
            while (request := await _read_head(stream)) is not None:
                self.requests.append(request)
                response = await self.respond(request)
                if response is None:
                    return
                with suppress(anyio.BrokenResourceError):
                    await stream.send(response)


async def _read_head(stream: ByteStream) -> bytes | None:
    """Return the next request's head; the SDK sends no bodies."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        try:
            data += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return None
    return data


@asynccontextmanager
async def serving(
    respond: Callable[[bytes], Awaitable[bytes | None]], ssl_context: SSLContext | None = None
) -> AsyncGenerator[RawServer]:
    """Serve on a free port of the loopback interface until the block ends."""
    server = RawServer(respond)
    listener: Listener[ByteStream]
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=4096)
    server.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
    if ssl_context is not None:
        server.url = server.url.replace("http", "https")
        listener = TLSListener(listener, ssl_context, standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, server.serve)
        yield server
        group.cancel_scope.cancel()
