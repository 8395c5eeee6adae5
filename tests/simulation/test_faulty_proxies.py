"""All known kinds of misbehaviour of a proxy, over real sockets.

Each call must end with the verdict beside it, by its deadline and not when the connection ends,
without more than 8 MiB of memory; and the next call, to a proxy that behaves, must find its own
user.
"""

from __future__ import annotations

import json
import socket
import ssl
import zlib
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trustme
from attrs import fields

from oxaigen_auth import (
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
    User,
)
from tests.simulation.faulty_server import (
    LONGEST,
    FaultyServer,
    afterwards,
    answer,
    closes_after,
    drips,
    faulty_server,
    good,
    profile,
    resets_after,
    sends,
    sends_for_ever,
)
from tests.support.tokens import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.faulty_server import Behaviour

pytestmark = pytest.mark.anyio

DEADLINE = 1.5  # seconds
LATEST = LONGEST / 2  # seconds until a call must have ended: its deadline, on a busy machine
MOST_MEMORY = 8 * 2**20  # bytes
SETTINGS = OxaigenAuthSettings(
    proxy_timeout_seconds=DEADLINE, breaker=False, max_connections=100, cache_ttl_seconds=0
)

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ADA = profile(1)
EVE = profile(666)
MIB = 2**20
GZIP = b"Content-Encoding: gzip"
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"


def _deflated_mebibyte() -> bytes:
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return squeeze.compress(bytes(MIB)) + squeeze.flush(zlib.Z_FULL_FLUSH)


def _json(**more: Any) -> bytes:
    return json.dumps({"is_authenticated": True, "user_name": "user1", **more}).encode()


def chunk(data: bytes, size: bytes | None = None) -> bytes:
    return (b"%x" % len(data) if size is None else size) + b"\r\n" + data + b"\r\n"


BOMB = _deflated_mebibyte()
MEGABYTE = "a" * 1_000_000
LONG = "a" * 250_000
KNOWN_FIELDS = [each.name for each in fields(User) if not each.name.startswith("_")]

UNAVAILABLE: dict[str, Behaviour] = {
    # the connection
    "accepts and hangs": sends(),
    "resets before the answer": resets_after(b""),
    "resets inside the head": resets_after(HEAD + b"Content-Le"),
    "resets inside the body": resets_after(answer(ADA)[:-5]),
    "closes before the answer": closes_after(),
    "closes inside the head": closes_after(HEAD + b"Content-Le"),
    "closes inside the body": closes_after(answer(ADA)[:-5]),
    "drips the head": drips(HEAD + b"X: "),
    "drips the body": drips(HEAD + b"Content-Length: 1000\r\n\r\n"),
    "drips chunks": drips(CHUNKED, chunk(b" ")),
    "continues for ever": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0),
    "processes for ever": drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.01),
    "speaks another protocol": closes_after(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "sends noise": closes_after(bytes(range(256)) * 100),
    "speaks HTTP/2": closes_after(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    # sizes
    "a header of a megabyte": sends(HEAD + b"X: " + MEGABYTE.encode() + b"\r\n", answer(ADA)),
    "headers of a megabyte": sends(HEAD + b"X: y\r\n" * 170_000, answer(ADA)),
    "a head without an end": sends_for_ever(HEAD, repeat(b"X: " + b"y" * 1000 + b"\r\n")),
    "a gigabyte": sends_for_ever(
        HEAD + b"Content-Length: 1073741824\r\n\r\n", repeat(bytes(65536), 16384)
    ),
    "a gigabyte in chunks": sends_for_ever(CHUNKED, repeat(chunk(bytes(65536)), 16384)),
    "a gigabyte until the end": sends_for_ever(HEAD + b"\r\n", repeat(bytes(65536), 16384)),
    "a bomb of ten gigabytes": sends_for_ever(
        HEAD + GZIP + b"\r\nTransfer-Encoding: chunked\r\n\r\n",
        chain([chunk(GZIP_HEAD)], repeat(chunk(BOMB), 10_240)),
    ),
    "a bomb of a gigabyte": sends(answer(GZIP_HEAD + BOMB * 1000, 200, GZIP)),
    "a bomb in a bomb": sends(answer(GZIP_HEAD + BOMB, 200, b"Content-Encoding: gzip, gzip")),
    "brotli": sends(answer(ADA, 200, b"Content-Encoding: br")),
    "zstd": sends(answer(ADA, 200, b"Content-Encoding: zstd")),
    "gzip that is none": sends(answer(ADA, 200, GZIP)),
    # lies about sizes
    "a chunk size that is none": closes_after(CHUNKED + chunk(ADA, b"zz")),
    "a negative chunk size": closes_after(CHUNKED + chunk(ADA, b"-1")),
    "a chunk size too small": closes_after(CHUNKED + chunk(ADA, b"5") + b"0\r\n\r\n"),
    "a chunk size too large": closes_after(CHUNKED + chunk(ADA, b"fff") + b"0\r\n\r\n"),
    "a huge chunk size": closes_after(CHUNKED + chunk(ADA, b"f" * 30)),
    "chunks without an end": closes_after(CHUNKED + chunk(ADA)),
    "a length too large, and closes": closes_after(answer(ADA, length=1000)),
    "a length too large, and hangs": sends(answer(ADA, length=1000)),
    "a length too small": sends(answer(ADA, length=len(ADA) - 1)),
    "a negative length": sends(answer(ADA, length=-1)),
    "a length that is none": sends(answer(ADA, length="many")),
    "two lengths": sends(answer(ADA, 200, b"Content-Length: 5")),
    # not a profile
    "nothing": sends(answer(b"")),
    "HTML": sends(answer(b"<!doctype html><title>Sign in</title>")),
    "XML": sends(answer(b'<?xml version="1.0"?><user/>')),
    "null": sends(answer(b"null")),
    "true": sends(answer(b"true")),
    "a list": sends(answer(b"[" + ADA + b"]")),
    "a number": sends(answer(b"1")),
    "a huge number": sends(answer(b"1" * 100_000)),
    "a string": sends(answer(b'"user1"')),
    "a string of a megabyte": sends(answer(_json(x=MEGABYTE))),
    "an object": sends(answer(b"{}")),
    "an error of the app's": sends(answer(b'{"detail":"Not Found"}')),
    "roles that are none": sends(answer(b'{"workspace_roles":[' + b"0," * 120_000 + b"0]}")),
    "nested lists": sends(answer(b"[" * 100_000 + b"]" * 100_000)),
    "nested objects": sends(answer(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)),
    "a nested field": sends(answer(ADA[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    "two JSON texts": sends(answer(ADA + ADA)),
    "not a number": sends(answer(ADA[:-1] + b',"x":NaN}')),
    "a lone surrogate": sends(answer(ADA[:-1] + b',"x":"\\ud800"}')),
    "bad UTF-8": sends(answer(ADA.replace(b"user1", b"\xff\xfe"))),
    "half of UTF-16": sends(answer(ADA.decode().encode("utf-16")[:-1])),
    "UTF-7": sends(answer(ADA.replace(b"{", b"+AHs-"), 200, b"Content-Type: x; charset=utf-7")),
    "a list as each field's value": sends(
        answer(json.dumps({name: [[]] for name in KNOWN_FIELDS}).encode())
    ),
    "a truth that is a string": sends(answer(_json(is_authenticated="true"))),
    "a truth that is a number": sends(answer(_json(is_authenticated=1))),
    "redirects to itself": sends(answer(b"", 302, b"Location: /_oxa_auth/get-me")),
    "redirects elsewhere": sends(answer(b"", 307, b"Location: http://127.0.0.1:1/")),
}
EXACT: dict[str, tuple[str, Behaviour]] = {
    "two answers": ("accepted", sends(answer(ADA) + answer(EVE))),
    "an answer after the answer": ("accepted", afterwards(answer(EVE), 0.001)),
    "a name twice, the second time no": (
        "rejected",
        sends(answer(ADA[:-1] + b',"is_authenticated":false}')),
    ),
    "a name twice, the second time yes": (
        "accepted",
        sends(answer(b'{"user_name":"user666",' + ADA[1:])),
    ),
    "no authenticated user": ("rejected", sends(answer(_json(is_authenticated=False)))),
    "401 with HTML": ("rejected", sends(answer(b"<h1>No</h1>", 401))),
    "401 with a nested detail": ("rejected", sends(answer(b'{"detail":' * 20_000, 401))),
    "401 with a long detail": ("rejected", sends(answer(_json(detail=LONG), 401))),
    "401 in brotli": ("rejected", sends(answer(b"\x0b", 401, b"Content-Encoding: br"))),
    "UTF-16": ("accepted", sends(answer(ADA.decode().encode("utf-16")))),
    "a byte order mark": ("accepted", sends(answer(b"\xef\xbb\xbf" + ADA))),
    "403": ("denied", sends(answer(b"", 403))),
    "attributes of Python": (
        "accepted",
        sends(
            answer(
                _json(__class__="x", __dict__={}, __init__=1, __slots__=[], self=1, extra={"a": 1})
            )
        ),
    ),
    "long strings": ("accepted", sends(answer(_json(x=LONG)))),
    "a compressed profile": (
        "accepted",
        sends(answer(zlib.compress(ADA), 200, b"Content-Encoding: deflate")),
    ),
}


async def outcome(client: ProxyAuthClient, url: str, token: str = f"{MARK}-1") -> str:
    try:
        user = await client.get_me(token, proxy_base_url=url)
    except OxaigenAuthUpstreamError:
        return "unavailable"
    except OxaigenAuthUnauthenticatedError:
        return "rejected"
    except OxaigenAuthPermissionDeniedError:
        return "denied"
    assert user.user_name == "user1"
    return "accepted"


def memory(kind: str) -> int:
    """Return `VmRSS`, what is resident, or `VmHWM`, the most that was, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(kind)  # pragma: no cover (Linux has both)


def reset_peak_memory() -> None:
    Path("/proc/self/clear_refs").write_text("5")


async def try_out(client: ProxyAuthClient, server: FaultyServer, behaviour: Behaviour) -> str:
    """Let the server misbehave once, check the limits, and return the outcome."""
    url = f"http://127.0.0.1:{server.port}"
    assert await outcome(client, url) == "accepted"
    server.requests.clear()
    server.behave = behaviour
    reset_peak_memory()
    before, started = memory("VmRSS"), anyio.current_time()
    result = await outcome(client, url)
    assert anyio.current_time() - started < LATEST
    assert memory("VmHWM") - before < MOST_MEMORY
    assert {request.split()[1] for request in server.requests} == {b"/_oxa_auth/get-me"}
    server.behave = good
    await until_idle(server)
    assert (await client.get_me(f"{MARK}-2", proxy_base_url=url)).user_name == "user2"
    return result


async def until_idle(server: FaultyServer) -> None:
    with anyio.fail_after(LONGEST):
        while server.behaving:  # noqa: ASYNC110 (other threads change it)
            await anyio.sleep(0.01)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server


@pytest.mark.parametrize("name", UNAVAILABLE)
async def test_a_faulty_answer_is_unavailable_in_time(name: str, server: FaultyServer) -> None:
    async with ProxyAuthClient(settings=SETTINGS) as client:
        assert await try_out(client, server, UNAVAILABLE[name]) == "unavailable"


@pytest.mark.parametrize("name", EXACT)
async def test_an_unusual_answer_has_its_exact_verdict_in_time(
    name: str, server: FaultyServer
) -> None:
    expected, behaviour = EXACT[name]
    async with ProxyAuthClient(settings=SETTINGS) as client:
        assert await try_out(client, server, behaviour) == expected


@pytest.mark.parametrize("name", [name for name in KNOWN_FIELDS if name != "extra"])
async def test_a_wrong_type_in_any_field_is_unavailable(name: str, server: FaultyServer) -> None:
    async with ProxyAuthClient(settings=SETTINGS) as client:
        wrongs: list[Any] = [[[]], {"id": []}, 1.5]
        for wrong in wrongs:
            behaviour = sends(answer(_json(**{name: wrong})))
            assert await try_out(client, server, behaviour) == "unavailable", wrong


@pytest.mark.parametrize("first", range(100, 600, 100))
async def test_only_documented_statuses_are_verdicts(first: int, server: FaultyServer) -> None:
    documented = {200: "accepted", 401: "rejected", 403: "denied"}

    def behave(peer: socket.socket, request: bytes) -> None:
        number = int(request.lower().partition(b"-status-")[2][:3])
        peer.sendall(answer(ADA, number))

    async def ask(status: int) -> None:
        got = await outcome(client, f"http://127.0.0.1:{server.port}", f"{MARK}-status-{status}")
        assert got == documented.get(status, "unavailable"), status

    server.behave = behave
    timeout = 2 if first == 100 else 60  # after an answer of 1xx comes no other
    settings = OxaigenAuthSettings(
        proxy_timeout_seconds=timeout, breaker=False, max_connections=100
    )
    async with ProxyAuthClient(settings=settings) as client, anyio.create_task_group() as group:
        for status in range(first, first + 100):
            group.start_soon(ask, status)


async def test_a_closed_port_is_unavailable_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with ProxyAuthClient(settings=SETTINGS) as client:
        assert await outcome(client, f"http://127.0.0.1:{port}") == "unavailable"


@pytest.mark.parametrize("method", ["get_me", "test_permission"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int, method: str, server: FaultyServer) -> None:
    with faulty_server() as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/_oxa_auth/get-me".encode()
        url = f"http://127.0.0.1:{server.port}"
        async with ProxyAuthClient(url, settings=SETTINGS) as client:
            server.behave = sends(answer(b"", status, location))
            with pytest.raises(OxaigenAuthUpstreamError):
                await getattr(client, method)(f"{MARK}-1", *["audit"] * (method != "get_me"))
        assert len(server.requests) == 1
        assert not elsewhere.requests


AUTHORITY = trustme.CA()


def secured(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


def self_signed() -> ssl.SSLContext:
    """Return a context that uses the certificate of an authority itself."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority = trustme.CA()
    with authority.cert_pem.tempfile() as own, authority.private_key_pem.tempfile() as key:
        context.load_cert_chain(own, key)
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


YESTERDAY = datetime.now(UTC) - timedelta(days=1)
CERTIFICATES = {
    "good": ("accepted", secured(AUTHORITY.issue_cert("127.0.0.1"))),
    "expired": ("unavailable", secured(AUTHORITY.issue_cert("127.0.0.1", not_after=YESTERDAY))),
    "of another host": ("unavailable", secured(AUTHORITY.issue_cert("other.example.com"))),
    "of an unknown authority": ("unavailable", secured(trustme.CA().issue_cert("127.0.0.1"))),
    "self-signed": ("unavailable", self_signed()),
}


@pytest.mark.parametrize("kind", CERTIFICATES)
async def test_only_a_valid_certificate_is_accepted(kind: str) -> None:
    expected, context = CERTIFICATES[kind]
    with faulty_server(context) as server:
        async with ProxyAuthClient(settings=SETTINGS, ssl_context=trusting()) as client:
            assert await outcome(client, f"https://127.0.0.1:{server.port}") == expected
            assert await outcome(client, f"http://127.0.0.1:{server.port}") == "unavailable"


async def test_a_proxy_without_tls_is_unavailable_over_https(server: FaultyServer) -> None:
    async with ProxyAuthClient(settings=SETTINGS) as client:
        assert await outcome(client, f"https://127.0.0.1:{server.port}") == "unavailable"
    assert not server.requests
