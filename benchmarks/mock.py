"""Requests per second of the mock's get-me, compared with an empty FastAPI route on hypercorn."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import anyio
from fastapi import FastAPI

from benchmarks.harness import Figure, alternate, ratios
from benchmarks.proxy_process import serving_process
from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

ROUNDS = 24
CONNECTIONS = 4
REQUESTS = 100  # per connection and round
PATH = "/_oxa_auth/get-me"
REQUEST = (
    f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
    "User-Agent: benchmark\r\nAuthorization: Bearer mock-dev-token\r\n\r\n"
).encode()


def measure() -> list[Figure]:
    return [figure for backend in ("asyncio", "trio") for figure in _measure(backend)]


def _measure(backend: str) -> list[Figure]:
    with serving_process(_serve, backend) as (mock, empty):
        mock_rate, empty_rate = asyncio.run(
            alternate(ROUNDS, partial(_rate, mock), partial(_rate, empty))
        )
    name = f"mock's get-me / empty route, requests per second, {backend}"
    return [Figure(name, ratios(mock_rate, empty_rate), at_least=0.8)]


def _serve(ready: Connection, backend: str) -> None:
    """Serve both in one process, on one event loop, and send their ports."""
    anyio.run(_serve_until_terminated, ready, backend=backend)


async def _serve_until_terminated(ready: Connection) -> None:
    empty = FastAPI()

    @empty.get(PATH)
    async def nothing() -> None:
        pass

    mock_socket, empty_socket = listen(), listen()
    ports = mock_socket.getsockname()[1], empty_socket.getsockname()[1]
    async with (
        serving(create_app(MockSettings()), mock_socket),
        serving(empty, empty_socket),
    ):
        ready.send(ports)
        await anyio.sleep_forever()


async def _rate(port: int) -> float:
    """Send requests over a few connections at once, and return the requests per second."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    start = perf_counter()
    await asyncio.gather(*(_ask(*connection) for connection in connections))
    seconds = perf_counter() - start
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()
    return CONNECTIONS * REQUESTS / seconds


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(REQUESTS):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise AssertionError(head)
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
