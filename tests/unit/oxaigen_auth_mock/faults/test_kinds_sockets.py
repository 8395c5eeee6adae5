"""Faults on the wire: hypercorn serves, and every byte that arrives is looked at."""

import gzip
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from errno import ECONNRESET
from typing import Any

import pytest
from anyio import connect_tcp, create_task_group, fail_after
from anyio.abc import SocketStream
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived
from hypercorn.protocol.http_stream import ASGIHTTPState

from oxaigen_auth import OxaigenAuthSettings, OxaigenAuthUpstreamError, ProxyAuthClient
from oxaigen_auth_mock import running_mock
from oxaigen_auth_mock.asgi.hypercorn_connections import (
    AsyncioConnection,
    TrioConnection,
    connection_of,
)
from oxaigen_auth_mock.faults.kinds import (
    Close,
    Drip,
    Fault,
    GzipBomb,
    Hang,
    Html,
    Oversized,
    Redirect,
    Reset,
    SetCookie,
    Status,
    TruncatedJson,
    WrongContentType,
    WrongShape,
)
from oxaigen_auth_mock.faults.latency import Latency
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen
from tests.support.broken_mock import BrokenMock, receive_all

pytestmark = pytest.mark.anyio

GET_ME = (
    b"GET /_oxa_auth/get-me HTTP/1.1\r\nHost: mock\r\nAuthorization: Bearer mock-dev-token\r\n\r\n"
)
POST = GET_ME.replace(b"GET /_oxa_auth/get-me", b"POST /_oxa_auth/test-app-token")
MIB = 2**20
TIMEOUT = 60.0  # seconds: more than anything here takes, however busy the machine


@pytest.fixture(autouse=True)
def _no_server_complains(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    yield
    said = caplog.get_records("call")  # `caplog.records` has only those of the teardown by now
    assert [each for each in said if each.name != "oxaigen_auth"] == []  # the SDK may warn
    assert capfd.readouterr().err == ""


@asynccontextmanager
async def connected(mock: BrokenMock) -> AsyncGenerator[SocketStream]:
    """Serve the mock, and give a connection to it, which ends first."""
    async with serving(mock, listen()) as url, await connect_to(url) as stream:
        yield stream


async def connect_to(url: str) -> SocketStream:
    host, _, port = url.removeprefix("http://").partition(":")
    return await connect_tcp(host, int(port))


async def receive_answer(stream: SocketStream) -> tuple[bytes, dict[str, str], bytes]:
    """Receive a head, and a body of the length that it announces."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    line, headers, body = split(data)
    while len(body) < int(headers["content-length"]):
        body += await stream.receive()
    return line, headers, body


def split(data: bytes) -> tuple[bytes, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    return line, dict(field.decode().split(": ", 1) for field in fields), body


async def profile() -> bytes:
    async with connected(BrokenMock([])) as stream:
        await stream.send(GET_ME)
        _, _, body = await receive_answer(stream)
    assert json.loads(body)["user_name"] == "devuser"
    return body


async def everything_of(fault: Fault, request: bytes = GET_ME) -> tuple[bytes, Any, BrokenMock]:
    """Send a request, and receive until the connection ends."""
    mock = BrokenMock([fault])
    with fail_after(TIMEOUT):
        async with connected(mock) as stream:
            await stream.send(request)
            data, cause = await receive_all(stream)
    return data, cause, mock


async def test_the_connection_of_a_call_is_where_this_hypercorn_keeps_it(
    anyio_backend_name: str,
) -> None:
    """Should this fail, hypercorn has changed inside: mend `connection_of`."""
    mock = BrokenMock([])
    async with connected(mock) as stream:
        await stream.send(GET_ME)
        await receive_answer(stream)
    kind = AsyncioConnection if anyio_backend_name == "asyncio" else TrioConnection
    assert isinstance(connection_of(mock.scopes[0]), kind)


@pytest.mark.parametrize("request_", [GET_ME, POST], ids=["GET", "POST"])
@pytest.mark.parametrize(("when", "side_effects"), [("before", 0), ("after", 1)])
async def test_a_reset_arrives_as_a_reset_without_data(
    when: Any, side_effects: int, request_: bytes
) -> None:
    data, cause, mock = await everything_of(Reset(when=when), request_)
    assert data == b""
    assert isinstance(cause, OSError)
    assert cause.errno == ECONNRESET
    assert mock.side_effects == side_effects
    assert was_never_answered(mock)


@pytest.mark.parametrize("request_", [GET_ME, POST], ids=["GET", "POST"])
@pytest.mark.parametrize(("when", "side_effects"), [("before", 0), ("after", 1)])
async def test_a_close_arrives_as_the_end_without_data(
    when: Any, side_effects: int, request_: bytes
) -> None:
    data, cause, mock = await everything_of(Close(when=when), request_)
    assert (data, cause) == (b"", None)
    assert mock.side_effects == side_effects
    assert was_never_answered(mock)


def was_never_answered(mock: BrokenMock) -> bool:
    """Whether hypercorn has not tried to answer in the mock's place, into the dead connection."""
    (scope,) = mock.scopes
    state: ASGIHTTPState = scope["oxaigen_auth_mock.send"].__self__.state
    return state is ASGIHTTPState.REQUEST


@pytest.mark.parametrize("fault", [Reset(), Close()])
async def test_a_fault_of_the_connection_happens_on_every_call(fault: Fault) -> None:
    causes: list[Any] = []

    async def call(url: str) -> None:
        async with await connect_to(url) as stream:
            await stream.send(GET_ME)
            data, cause = await receive_all(stream)
            assert data == b""
            causes.append(type(cause))

    async with serving(BrokenMock([fault]), listen()) as url, create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(call, url)
    assert causes == [type(None) if isinstance(fault, Close) else ConnectionResetError] * 50


async def test_half_of_truncated_json_arrives_with_the_whole_content_length() -> None:
    whole = await profile()
    data, cause, mock = await everything_of(TruncatedJson())
    line, headers, body = split(data)
    assert (line, cause) == (b"HTTP/1.1 200 ", None)
    assert (headers["content-length"], headers["x-marked"]) == (str(len(whole)), "1")
    assert body == whole[: len(whole) // 2]
    assert mock.side_effects == 1


async def test_a_dripping_answer_arrives_byte_by_byte() -> None:
    whole = await profile()
    async with connected(BrokenMock([Drip(chunk=1, seconds=0.002)])) as stream:
        await stream.send(GET_ME)
        pieces: list[bytes] = []
        while not b"".join(pieces).endswith(whole):
            pieces.append(await stream.receive())
    assert len(pieces) > len(whole) / 4


async def test_an_oversized_answer_is_as_long_as_it_says() -> None:
    whole = await profile()
    async with connected(BrokenMock([Oversized(size=5 * MIB)])) as stream:
        await stream.send(GET_ME)
        line, headers, body = await receive_answer(stream)
        assert (line, headers["content-length"]) == (b"HTTP/1.1 200 ", str(5 * MIB))
        assert len(body) == 5 * MIB
        assert body.rstrip() == whole
        await stream.send(GET_ME)  # the connection is still good
        assert (await receive_answer(stream))[0] == line


async def test_a_gzip_bomb_is_small_on_the_wire() -> None:
    request = GET_ME.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    data, cause, _ = await everything_of(GzipBomb(size=64 * MIB), request)
    _, headers, body = split(data)
    assert (headers["content-encoding"], cause) == ("gzip", None)
    assert len(body) < 0.1 * MIB
    assert len(gzip.decompress(dechunked(body))) == 64 * MIB


def dechunked(body: bytes) -> bytes:
    plain = b""
    while not body.startswith(b"0\r\n"):
        size, _, body = body.partition(b"\r\n")
        plain += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return plain


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Status(status=503, retry_after=7), b"503"),
        (WrongShape(), b"200"),
        (Html(), b"200"),
        (Redirect(), b"302"),
        (WrongContentType(), b"200"),
        (SetCookie(), b"200"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
async def test_a_wrong_answer_leaves_the_connection_usable(fault: Fault, status: bytes) -> None:
    async with connected(BrokenMock([fault])) as stream:
        for request in (GET_ME, POST, GET_ME):
            await stream.send(request)
            line, headers, body = await receive_answer(stream)
            assert line.split(b" ")[1] == status
            assert (headers["x-marked"], headers["content-length"]) == ("1", str(len(body)))


@pytest.mark.parametrize(
    "fault", [Hang(), Hang(when="after"), Drip(seconds=0.01), Oversized(size=64 * MIB)]
)
async def test_a_disconnect_ends_the_call(fault: Fault) -> None:
    mock = BrokenMock([fault])
    async with serving(mock, listen()) as url:
        async with await connect_to(url) as stream:
            await stream.send(GET_ME)
            await mock.begun.wait()
        with fail_after(TIMEOUT):
            await mock.ended.wait()


@pytest.mark.parametrize("fault", [Hang(), Drip(seconds=600), Oversized(size=64 * MIB)])
async def test_a_waiting_caller_does_not_delay_the_shutdown(fault: Fault) -> None:
    mock = BrokenMock([fault])
    with fail_after(TIMEOUT):
        async with serving(mock, listen()) as url:
            stream = await connect_to(url)
            await stream.send(GET_ME)
            await mock.begun.wait()
    await stream.aclose()


async def test_a_caller_that_stops_reading_is_disconnected_at_shutdown() -> None:
    with fail_after(TIMEOUT):
        async with running_mock() as mock:
            mock.fault("oversized", size=64 * MIB)
            stream = await connect_to(mock.url)
            await stream.send(GET_ME)
            await stream.receive(1)
    await stream.aclose()


async def request_by_http2(stream: SocketStream) -> H2Connection:
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    pseudo = {":method": "GET", ":scheme": "http", ":path": "/_oxa_auth/get-me"}
    headers = {**pseudo, ":authority": "mock", "authorization": "Bearer mock-dev-token"}
    connection.send_headers(1, list(headers.items()), end_stream=True)
    await stream.send(connection.data_to_send())
    return connection


@pytest.mark.parametrize("fault", [Reset(), Close(), TruncatedJson()])
async def test_with_http2_the_whole_connection_breaks(fault: Fault) -> None:
    """Each time: hypercorn on trio may be about to send something else just then."""
    with fail_after(2 * TIMEOUT):
        async with serving(BrokenMock([fault]), listen()) as url:
            for _ in range(50):
                async with await connect_to(url) as stream:
                    connection = await request_by_http2(stream)
                    data, cause = await receive_all(stream)
                events = connection.receive_data(data)
                answered = any(isinstance(event, ResponseReceived) for event in events)
                assert answered == isinstance(fault, TruncatedJson)
                assert isinstance(cause, ConnectionResetError) == isinstance(fault, Reset)


UNUSABLE = [
    Status(),
    Status(status=429, retry_after=1),
    Hang(),
    Reset(),
    Close(),
    Drip(chunk=1, seconds=1),
    TruncatedJson(),
    *(WrongShape(shape=shape) for shape in ("list", "text", "null", "object")),
    Html(),
    Redirect(),
    Redirect(status=307, location="/_oxa_auth/get-me"),
    Oversized(),
    GzipBomb(),
]


@pytest.mark.parametrize("fault", UNUSABLE, ids=lambda fault: fault.describe())
async def test_the_sdk_raises_an_upstream_error_for_an_unusable_answer(fault: Fault) -> None:
    mock = BrokenMock([fault])
    settings = OxaigenAuthSettings(proxy_timeout_seconds=2)
    async with serving(mock, listen()) as url, ProxyAuthClient(url, settings=settings) as client:
        with fail_after(TIMEOUT), pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me("mock-dev-token")
    assert len(mock.scopes) == 1


@pytest.mark.parametrize("fault", [SetCookie(), Latency(seconds=0.1), WrongContentType()])
async def test_the_sdk_accepts_a_profile_with_a_cookie_a_latency_or_a_wrong_content_type(
    fault: Fault,
) -> None:
    async with serving(BrokenMock([fault]), listen()) as url, ProxyAuthClient(url) as client:
        assert (await client.get_me("mock-dev-token")).user_name == "devuser"
