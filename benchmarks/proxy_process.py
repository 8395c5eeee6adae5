"""A proxy in a process of its own, so that its work is not measured as the SDK's.

Imports only the standard library, which is all that the serving process loads.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.parent import exit_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ctypes import c_longlong
    from multiprocessing.connection import Connection

SPAWN = multiprocessing.get_context("spawn")

_PROFILE = (
    '{"is_authenticated": true, "id": %(id)d, "user_name": "user%(id)d", '
    '"email": "user%(id)d@example.com", "account_type": "internal", "enabled": true, '
    '"first_name": "First%(id)d", "last_name": "Last%(id)d", "user_workspace": '
    '{"id": "00000000-0000-0000-0000-000000000001", "name": "Workspace"}, '
    '"workspace_roles": [{"id": 1, "name": "owner", "description": null}], '
    '"workspace_permissions": [{"id": 1, "name": "audit", "description": null}, '
    '{"id": 2, "name": "export", "description": "Download what others made"}, '
    '{"id": 3, "name": "reports", "description": null}]}'
)


def profile(number: int) -> bytes:
    """Return what get-me answers for a token that ends in this number."""
    return (_PROFILE % {"id": number}).encode()


class LocalProxy(NamedTuple):
    """The URL of a proxy, and the number of requests that it has answered."""

    url: str
    calls: c_longlong


@contextmanager
def local_proxy(delay: float = 0) -> Iterator[LocalProxy]:
    """Run a proxy on a free port of the loopback interface; it answers after `delay` seconds."""
    calls = SPAWN.RawValue("q", 0)
    with serving_process(_serve, delay, calls) as port:
        yield LocalProxy(f"http://127.0.0.1:{port}", calls)


@contextmanager
def serving_process(serve: Callable[..., None], *args: object) -> Iterator[Any]:
    """Run a function in a process of its own, and yield what it sends when it is ready.

    The function sends that over a connection, which is its first argument.
    """
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_serve_as_child, args=(serve, theirs, *args), daemon=True)
    process.start()
    theirs.close()  # so that `recv` raises if the process fails
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve_as_child(serve: Callable[..., None], *args: object) -> None:
    exit_with_parent()
    serve(*args)


def _serve(ready: Connection, delay: float, calls: c_longlong) -> None:
    asyncio.run(_serve_until_terminated(ready, delay, calls))


async def _serve_until_terminated(ready: Connection, delay: float, calls: c_longlong) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Serving(delay, calls), "127.0.0.1", 0, backlog=4096)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class _Serving(asyncio.Protocol):
    """Answers get-me for tokens that end in a number, and grants every permission."""

    def __init__(self, delay: float, calls: c_longlong) -> None:
        self.delay = delay
        self.calls = calls
        self.request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.request += data
        if not self.request.endswith(b"\r\n\r\n"):
            return
        self.calls.value += 1
        response, self.request = _response(self.request), b""
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.answer, response)
        else:
            self.answer(response)

    def answer(self, response: bytes) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.write(response)


def _response(request: bytes) -> bytes:
    body = b"true"
    if request.startswith(b"GET"):
        token = request.lower().partition(b"authorization: bearer ")[2].partition(b"\r\n")[0]
        body = profile(int(token.rpartition(b"-")[2]))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body
