"""The answers of a server on real sockets, as this client and httpx read them."""

from __future__ import annotations

import gc
import ssl
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
import trustme
from anyio.abc import SocketAttribute

from oxaigen_auth_load.http1 import ConnectionPool
from oxaigen_auth_load.http1_connection import (
    MAX_ANSWER,
    ConnectionFailedError,
    InvalidTokenError,
    ProtocolError,
    RequestTimeoutError,
)
from oxaigen_auth_load.http_library import LIBRARY
from tests.support.raw_server import PROFILE, answer, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    import httpx
    from anyio.abc import SocketStream
else:
    httpx = import_module(LIBRARY.split()[0])

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def pool_of(
    url: str, *, within: float = 5.0, connections: int = 10
) -> AsyncGenerator[ConnectionPool]:
    pool = ConnectionPool(url, within, connections)
    try:
        yield pool
    finally:
        await pool.aclose()
        assert pool.open_connections == 0


@asynccontextmanager
async def sending(pieces: Sequence[bytes], *, closes: bool) -> AsyncGenerator[str]:
    """Serve these pieces as the answer to each request, and close the connection, or wait."""

    async def answer_all(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await answer_each(stream)

    async def answer_each(stream: SocketStream) -> None:
        is_open = True
        while is_open:
            await stream.receive()
            for piece in pieces:
                await stream.send(piece)
                await anyio.lowlevel.checkpoint()
            is_open = not closes

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer_all)
        yield f"http://127.0.0.1:{port}"
        group.cancel_scope.cancel()


async def ours(url: str) -> tuple[int, bytes] | type[Exception]:
    async with pool_of(url, within=0.5) as pool:
        try:
            response = await pool.get("one")
        except (ProtocolError, ConnectionFailedError, RequestTimeoutError) as error:
            return type(error)
    assert response.connection == 1
    return response.status, response.body


async def theirs(url: str) -> tuple[int, bytes] | type[Exception]:
    async with httpx.AsyncClient(trust_env=False, timeout=0.5) as http:
        try:
            response = await http.get(url, headers={"accept-encoding": "identity"})
        except httpx.TimeoutException:
            return RequestTimeoutError
        except httpx.RemoteProtocolError as error:
            ended = "disconnected" in str(error) or "closed connection" in str(error)
            return ConnectionFailedError if ended else ProtocolError
    return response.status_code, response.content


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
ANSWERS = {
    "content length": (answer(200, PROFILE), False),
    "empty": (answer(200), False),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", False),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", False),
    "chunks": (CHUNKED + b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n', False),
    "chunks with an extension": (CHUNKED + b"2;x=y\r\n{}\r\n0\r\n\r\n", False),
    "chunks with a trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nx-late: 1\r\n\r\n", False),
    "continue first": (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, b"{}"), False),
    "early hints first": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + answer(401, b"{}"),
        False,
    ),
    "ends with the connection": (HEAD + b"\r\n{}", True),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n{}", True),
    "connection: close": (answer(200, b"{}", connection="close"), True),
    "a redirect": (answer(302, location="/elsewhere"), False),
    "an error": (answer(503, b"busy"), False),
    "no reason": (b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n{}", False),
    "nothing": (b"", True),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-", True),
    "half a body": (HEAD + b"content-length: 9\r\n\r\n{}", True),
    "half a chunk": (CHUNKED + b"9\r\n{}", True),
    "no last chunk": (CHUNKED + b"2\r\n{}\r\n", True),
    "garbage": (b"hello\r\n\r\n", False),
    "a bad length": (HEAD + b"content-length: many\r\n\r\n{}", False),
    "a bad chunk": (CHUNKED + b"zz\r\n{}\r\n", False),
    "silence": (b"HTTP/1.1 200 OK\r\n", False),
    "half a body and silence": (HEAD + b"content-length: 9\r\n\r\n{}", False),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_is_read_as_httpx_reads_it(name: str) -> None:
    data, closes = ANSWERS[name]
    async with sending([data], closes=closes) as url:
        assert await ours(url) == await theirs(url)


@pytest.mark.parametrize("name", ["continue first", "chunks with a trailer", "content length"])
async def test_an_answer_may_arrive_in_any_pieces(name: str) -> None:
    data, _ = ANSWERS[name]
    for split in range(1, len(data)):
        async with sending([data[:split], data[split:]], closes=False) as url:
            assert await ours(url) == (200, PROFILE if name == "content length" else b"{}")


async def test_more_bytes_than_an_answer_are_no_part_of_the_next_one() -> None:
    data = answer(200, b"{}")
    async with sending([data + b"HTTP/1.1 200 OK\r\ncontent-"], closes=False) as url:
        async with pool_of(url) as pool:
            answers = [await pool.get("one") for _ in range(2)]
    assert [(each.status, each.body, each.connection) for each in answers] == [
        (200, b"{}", 1),
        (200, b"{}", 2),
    ]


async def test_an_answer_that_nobody_has_asked_for_is_no_part_of_the_next_one() -> None:
    async def answer_twice(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    await stream.receive()
                    await stream.send(answer(200, b"{}"))
                    await anyio.sleep(0.02)
                    await stream.send(answer(401, b"{}"))

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer_twice)
            port = listener.extra(SocketAttribute.local_port)
            async with pool_of(f"http://127.0.0.1:{port}") as pool:
                statuses = []
                for _ in range(3):
                    statuses.append((await pool.get("one")).status)
                    await anyio.sleep(0.1)
            group.cancel_scope.cancel()
    assert statuses == [200, 200, 200]


async def test_the_request_has_the_host_the_path_and_the_token() -> None:
    async def respond(_: bytes) -> bytes:
        return answer(200, PROFILE, x_worker="7")

    async with serving(respond) as server:
        async with pool_of(f"{server.url}/ä b?q=%20ü#no") as pool:
            response = await pool.get("sécret")
    assert response.header(b"x-worker") == b"7"
    assert response.header(b"x-other") is None
    (request,) = server.requests
    assert request.startswith(b"GET /%C3%A4%20b?q=%20%C3%BC HTTP/1.1\r\n")
    assert f"\r\nHost: {server.url[7:]}\r\n".encode() in request
    assert "\r\nAuthorization: Bearer sécret\r\n".encode() in request
    with pytest.raises(InvalidTokenError, match="characters that a header cannot have") as caught:
        await pool.get("one\r\nX-Injected: 1")
    assert "Injected" not in str(caught.value)


async def test_an_https_server_is_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def respond(_: bytes) -> bytes:
        return answer(200, PROFILE)

    authority, theirs = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with serving(respond, theirs) as server:
        async with pool_of(server.url) as pool:
            with pytest.raises(ConnectionFailedError):
                await pool.get("one")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with pool_of(server.url) as pool:
            assert [(await pool.get("one")).connection for _ in range(2)] == [1, 1]


async def test_a_connection_is_used_again_and_replaced_when_the_server_has_closed_it() -> None:
    last = 3

    async def respond(_: bytes) -> bytes | None:
        return answer(200, PROFILE) if len(server.requests) != last else None

    sent = 0

    def on_sent() -> None:
        nonlocal sent
        sent += 1

    async with serving(respond) as server, pool_of(server.url) as pool:
        numbers = [(await pool.get("one", on_sent)).connection for _ in range(4)]
    assert numbers == [1, 1, 2, 2]
    assert (server.connections, sent) == (2, 5)


async def test_an_answer_that_breaks_off_is_not_asked_for_again() -> None:
    async with sending([HEAD + b"content-length: 9\r\n\r\n{}"], closes=True) as url:
        async with pool_of(url) as pool:
            await pool.open(1)
            with pytest.raises(ConnectionFailedError):
                await pool.get("one")
            assert pool.open_connections == 0


async def test_connections_are_opened_in_advance_and_never_more_than_allowed() -> None:
    async def respond(_: bytes) -> bytes:
        await anyio.sleep(0.02)
        return answer(200, PROFILE)

    async with serving(respond) as server, pool_of(server.url, connections=3) as pool:
        await pool.open(2)
        assert (server.connections, pool.open_connections) == (2, 2)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(pool.get, "one")
        assert (server.connections, pool.open_connections, pool.waited) == (3, 3, 7)


async def test_a_server_that_is_not_there_is_a_failed_connection() -> None:
    async with pool_of("http://127.0.0.1:9") as pool:
        with pytest.raises(ConnectionFailedError):
            await pool.open(2)
        with pytest.raises(ConnectionFailedError):
            await pool.get("one")


async def test_the_timeout_includes_the_wait_for_a_connection() -> None:
    async def respond(_: bytes) -> None:
        await anyio.sleep_forever()

    async with serving(respond) as server, pool_of(server.url, within=0.1, connections=1) as pool:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(times_out, pool)


async def times_out(pool: ConnectionPool) -> None:
    with pytest.raises(RequestTimeoutError):
        await pool.get("one")


async def test_an_endless_answer_is_an_error() -> None:
    piece = b"x" * 1_000_000
    pieces = [HEAD + b"\r\n", *[piece] * (MAX_ANSWER // len(piece) + 1)]
    async with sending(pieces, closes=False) as url, pool_of(url) as pool:
        with pytest.raises(ProtocolError, match="more than 10,000,000 bytes"):
            await pool.get("one")


async def test_a_cancelled_request_closes_its_connection_and_frees_its_place() -> None:
    async def respond(_: bytes) -> bytes:
        await anyio.sleep(0.001)
        return answer(200, PROFILE)

    async with serving(respond) as server, pool_of(server.url, connections=2) as pool:
        for delay in range(60):
            with anyio.move_on_after(delay * 0.0001):
                async with anyio.create_task_group() as group:
                    for _ in range(4):
                        group.start_soon(pool.get, "one")
        assert pool.open_connections <= 2
        with anyio.fail_after(5):
            assert [(await pool.get("one")).status for _ in range(4)] == [200] * 4
    gc.collect()  # a stream that was left open would warn
