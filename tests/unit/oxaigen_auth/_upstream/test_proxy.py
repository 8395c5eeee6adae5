"""The two HTTP calls, over real sockets, against a proxy that answers anything."""

from __future__ import annotations

import gzip
import importlib
import socket
import ssl
import struct
import sys
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trustme
from anyio.lowlevel import checkpoint

from oxaigen_auth._upstream import proxy as proxy_module
from oxaigen_auth._upstream.http_library import httpx as library
from oxaigen_auth._upstream.httpcore_internals import has_trailing_data
from oxaigen_auth._upstream.proxy import Proxy, default_ssl_context
from oxaigen_auth._upstream.response import MOCKED
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings
from tests.support.asked_proxy import AskedProxy
from tests.support.fake_proxy import FakeProxy
from tests.support.raw_server import PROFILE, RawServer, answer, serving
from tests.support.tokens import OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from oxaigen_auth._validation.verdict import Verdict

pytestmark = pytest.mark.anyio

failed = partial(Unavailable, is_outage=True, reason="unreachable")
timed_out = partial(Unavailable, is_outage=True, timed_out=True, reason="timeout")
bad_status = partial(Unavailable, reason="error_status")
MAX_BODY = 2**18  # bytes
TIMEOUT = 60.0  # seconds: more than anything here takes, however busy the machine
ADA = Accepted(User(is_authenticated=True, id=7, user_name="ada"))


class Calls(Observer):
    """A proxy caller and the number of requests that it sent."""

    def __init__(self, *, timeout: float = TIMEOUT, environment: str | None = None) -> None:
        self.sent = 0
        settings = OxaigenAuthSettings(proxy_timeout_seconds=timeout, environment=environment)
        self.proxy = AskedProxy(settings, None, self)

    def on_upstream_call(self) -> None:
        self.sent += 1


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    calls = Calls()
    yield calls
    await calls.proxy.aclose()


async def get_me(calls: Calls, response: bytes | None) -> Verdict[User]:
    async with serving(FakeProxy(response)) as server:
        return await calls.proxy.get_me(server.url, TOKEN)


async def check_permission(calls: Calls, response: bytes | None) -> Verdict[bool]:
    async with serving(FakeProxy(permission=response)) as server:
        return await calls.proxy.test_permission(server.url, TOKEN, "audit")


async def test_get_me_sends_the_documented_request(calls: Calls) -> None:
    async with serving(FakeProxy()) as server:
        assert await calls.proxy.get_me(server.url, TOKEN) == ADA
    lines = server.requests[0].decode().lower().split("\r\n")
    assert lines[0] == "get /_oxa_auth/get-me http/1.1"
    assert f"authorization: bearer {TOKEN}" in lines
    assert "accept: application/json" in lines
    assert "accept-encoding: identity" in lines
    assert not any(line.startswith(("cookie:", "content-length:")) for line in lines)


async def test_a_permission_check_is_a_post_without_a_body(calls: Calls) -> None:
    async with serving(FakeProxy()) as server:
        verdict = await calls.proxy.test_permission(server.url, TOKEN, "audit")
    assert verdict == Accepted(value=True)
    lines = server.requests[0].decode().lower().split("\r\n")
    assert lines[0] == "post /_oxa_auth/test-app-permission/audit http/1.1"
    assert f"authorization: bearer {TOKEN}" in lines
    assert "content-length: 0" in lines


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(401, b'{"detail": "Token expired"}'), Rejected("Token expired")),
        (answer(401), Rejected("Invalid token")),
        (answer(401, b"<html>"), Rejected("Invalid token")),
        (
            answer(403, b'{"detail": "Not for you."}'),
            Rejected("Not for you.", forbidden=True, reason="app_forbidden"),
        ),
        (
            answer(403),
            Rejected("Not allowed for this application", forbidden=True, reason="app_forbidden"),
        ),
        (
            answer(200, b'{"is_authenticated": false}'),
            Rejected("Not authenticated", reason="not_authenticated"),
        ),
    ],
)
async def test_get_me_returns_rejections_with_their_detail(
    calls: Calls, response: bytes, expected: object
) -> None:
    assert await get_me(calls, response) == expected


@pytest.mark.parametrize(
    "detail",
    [
        b'"a token was here: %s"' % TOKEN.encode(),
        b'"see https://internal/"',
        b'"<b>bold</b>"',
        b'"two\\nlines"',
        b'"' + b"x" * 201 + b'"',
        b'""',
        b"17",
        b"[]",
    ],
)
async def test_pitfall_29_a_detail_that_gives_something_away_is_replaced(
    calls: Calls, detail: bytes
) -> None:
    verdict = await get_me(calls, answer(401, b'{"detail": ' + detail + b"}"))
    assert verdict == Rejected("Invalid token")


@pytest.mark.parametrize("detail", ["x", "x" * 200])
async def test_a_detail_may_be_as_short_as_a_letter_and_have_200(calls: Calls, detail: str) -> None:
    assert await get_me(calls, answer(401, f'{{"detail": "{detail}"}}'.encode())) == Rejected(
        detail
    )


@pytest.mark.parametrize("body", [b"[]", b"[1]", b'"text"', b"null", b"{}"])
async def test_a_detail_of_an_unknown_form_is_replaced(calls: Calls, body: bytes) -> None:
    assert await get_me(calls, answer(401, body)) == Rejected("Invalid token")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(200, b" true\n"), Accepted(value=True)),
        (answer(403, b'{"detail": "Missing permission."}'), Accepted(value=False)),
        (answer(401, b'{"detail": "Token expired"}'), Rejected("Token expired")),
        (answer(200, b"false"), Unavailable("the body is not the JSON word true")),
        (answer(200, b'"true"'), Unavailable("the body is not the JSON word true")),
        (answer(200, b"1"), Unavailable("the body is not the JSON word true")),
        (answer(200, b"<html>"), Unavailable("the body is not the JSON word true")),
        (answer(404), bad_status("the status was 404")),
        (answer(500), bad_status("the status was 500")),
        (None, failed("the call failed with RemoteProtocolError")),
    ],
)
async def test_each_answer_about_a_permission_has_its_verdict(
    calls: Calls, response: bytes | None, expected: object
) -> None:
    assert await check_permission(calls, response) == expected


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        *[(answer(status), f"the status was {status}") for status in (204, 404, 429, 500, 503)],
        (answer(200, b"{"), "the profile is not usable: the body is not valid JSON"),
        (answer(200, b"[]"), "the profile is not usable: expected an object @ profile"),
        (
            answer(200, b'{"detail": "Not Found"}'),
            "the profile is not usable: none of the documented fields has a value @ profile",
        ),
        (
            answer(200, b'{"workspace_roles": [{"id": "x"}]}'),
            "the profile is not usable: expected an integer @ profile.workspace_roles[0].id",
        ),
        (None, "the call failed with RemoteProtocolError"),
        (b"not HTTP at all\r\n\r\n", "the call failed with RemoteProtocolError"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
            "there was no answer within 0.2 seconds",
        ),
    ],
)
async def test_pitfall_20_what_is_no_verdict_is_unavailable(
    response: bytes | None, reason: str
) -> None:
    calls = Calls(timeout=0.2 if "0.2" in reason else TIMEOUT)
    verdict = await get_me(calls, response)
    assert isinstance(verdict, Unavailable)
    assert verdict.detail == reason
    await calls.proxy.aclose()


@pytest.mark.parametrize("marked", [{"x_oxaigen_mock": "1"}, {"X_OXAIGEN_MOCK": "0"}])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, PROFILE),
        (200, b"true"),
        (200, b" " * (MAX_BODY + 1)),
        (401, b""),
        (403, b""),
        (503, b""),
    ],
)
async def test_pitfall_33_in_production_no_answer_of_a_mock_is_believed(
    status: int, body: bytes, marked: dict[str, str]
) -> None:
    calls = Calls(environment="production")
    response = answer(status, body, **marked)
    assert await get_me(calls, response) == MOCKED
    assert await check_permission(calls, response) == MOCKED
    assert calls.sent == 2
    await calls.proxy.aclose()


async def test_outside_production_a_mock_is_accepted(calls: Calls) -> None:
    assert await get_me(calls, answer(200, PROFILE, x_oxaigen_mock="1")) == ADA
    assert await check_permission(calls, answer(403, x_oxaigen_mock="1")) == Accepted(value=False)


async def test_in_production_the_real_proxy_is_believed_also_after_a_mock() -> None:
    calls = Calls(environment="production")
    responses = iter([answer(200, PROFILE, x_oxaigen_mock="1"), answer(200, PROFILE)])

    async def respond(_: bytes) -> bytes:
        await checkpoint()
        return next(responses)

    async with serving(respond) as server:
        assert await calls.proxy.get_me(server.url, TOKEN) == MOCKED
        assert await calls.proxy.get_me(server.url, TOKEN) == ADA
    await calls.proxy.aclose()


async def test_a_proxy_that_refuses_connections_is_unavailable(calls: Calls) -> None:
    async with serving(FakeProxy(None)) as server:
        pass
    verdict = await calls.proxy.get_me(server.url, TOKEN)
    reason = "the call failed with ConnectError: the connection was refused"
    assert verdict == failed(reason)


async def test_a_host_name_that_cannot_be_encoded_is_unavailable(calls: Calls) -> None:
    verdict = await calls.proxy.get_me(f"http://{'a' * 70}.example", TOKEN)
    assert isinstance(verdict, Unavailable)


@pytest.mark.parametrize(
    ("response", "is_outage"),
    [
        *[(answer(status), True) for status in (502, 503, 504)],
        *[(answer(status), False) for status in (302, 400, 404, 413, 414, 429, 431, 500, 501)],
        (answer(200, b"{"), False),
        (answer(200, b"x" * (MAX_BODY + 1)), False),
        (answer(200, b"x", content_encoding="br"), False),
        (None, True),
        (b"not HTTP at all\r\n\r\n", True),
    ],
)
async def test_pitfall_41_a_complete_answer_shows_that_the_proxy_can_be_reached(
    calls: Calls,
    response: bytes | None,
    is_outage: bool,  # noqa: FBT001
) -> None:
    verdict = await get_me(calls, response)
    assert isinstance(verdict, Unavailable)
    assert (verdict.is_outage, verdict.timed_out) == (is_outage, False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("99999999999999999999", 86400),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
        ("Wed, 21 Oct 2315 07:28:00 GMT", 86400),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2315 07:28:00 +99999999999999", None),
    ],
)
async def test_retry_after_is_passed_on_in_seconds(
    calls: Calls, text: str, seconds: int | None
) -> None:
    verdict = await get_me(calls, answer(503, retry_after=text))
    assert verdict == bad_status("the status was 503", seconds, is_outage=True)


async def test_retry_after_may_be_a_date(calls: Calls) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    verdict = await get_me(calls, answer(429, retry_after=date))
    assert isinstance(verdict, Unavailable)
    assert verdict.retry_after is not None
    assert 90 <= verdict.retry_after <= 100


async def test_pitfall_25_no_cookie_of_one_answer_goes_out_with_the_next_call(
    calls: Calls,
) -> None:
    response = answer(200, PROFILE, set_cookie="sid=of-somebody-else; Path=/")
    async with serving(FakeProxy(response)) as server:
        await calls.proxy.get_me(server.url, TOKEN)
        await calls.proxy.get_me(server.url, OTHER)
    assert len(server.requests) == 2
    assert not any(b"sid=" in request for request in server.requests)


async def test_pitfall_26_redirects_are_not_followed(calls: Calls) -> None:
    async with serving(FakeProxy()) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            verdict = await get_me(calls, answer(status, location=f"{elsewhere.url}/steal"))
            assert verdict == bad_status(f"the status was {status}")
    assert elsewhere.requests == []


async def test_pitfall_26_a_body_is_read_up_to_its_limit_and_no_further(calls: Calls) -> None:
    fitting = PROFILE + b" " * (MAX_BODY - len(PROFILE))
    assert await get_me(calls, answer(200, fitting)) == ADA
    verdict = await get_me(calls, answer(200, fitting + b" "))
    assert verdict == Unavailable(f"the body is larger than {MAX_BODY} bytes")


async def test_pitfall_26_an_endless_body_is_cut_off(calls: Calls) -> None:
    async def respond(_: bytes) -> bytes:
        await checkpoint()
        return b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n" + b" " * (3 * MAX_BODY)

    async with serving(respond) as server:
        with anyio.fail_after(TIMEOUT):
            verdict = await calls.proxy.get_me(server.url, TOKEN)
    assert verdict == Unavailable(f"the body is larger than {MAX_BODY} bytes")


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
async def test_a_compressed_body_is_read_although_none_was_requested(
    calls: Calls, encoding: str
) -> None:
    compress = zlib.compress if encoding == "deflate" else gzip.compress
    response = answer(200, compress(PROFILE), content_encoding=encoding)
    assert await get_me(calls, response) == ADA


UNENCODED = ["identity", "Identity", "", " ", ",", "identity, IDENTITY"]
ENCODED = ["GZIP", "X-GZip", "gzip, identity", "Identity,gzip", " gzip ,", "deflate", "Deflate"]


@pytest.mark.parametrize("encoding", [*UNENCODED, *ENCODED])
async def test_a_content_encoding_is_read_in_every_spelling(calls: Calls, encoding: str) -> None:
    def packed(body: bytes) -> bytes:
        compress = zlib.compress if "deflate" in encoding.lower() else gzip.compress
        return compress(body) if encoding in ENCODED else body

    def response(status: int, body: bytes) -> bytes:
        return answer(status, packed(body), content_encoding=encoding)

    assert await get_me(calls, response(200, PROFILE)) == ADA
    rejected = response(401, b'{"detail": "Token expired"}')
    assert await get_me(calls, rejected) == Rejected("Token expired")
    assert await check_permission(calls, response(200, b"true")) == Accepted(value=True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
async def test_an_answer_may_have_a_byte_order_mark_or_another_unicode_encoding(
    calls: Calls, encoding: str
) -> None:
    def response(status: int, text: str) -> bytes:
        return answer(status, text.encode(encoding))

    assert await get_me(calls, response(200, PROFILE.decode())) == ADA
    rejected = response(401, '{"detail": "Token expired"}')
    assert await get_me(calls, rejected) == Rejected("Token expired")
    forbidden = response(403, '{"detail": "Not for you."}')
    assert await get_me(calls, forbidden) == Rejected(
        "Not for you.", forbidden=True, reason="app_forbidden"
    )
    assert await check_permission(calls, response(200, "true")) == Accepted(value=True)


@pytest.mark.parametrize(
    ("content_type", "detail"),
    [
        ("application/json; charset=ISO-8859-1", "Gesperrt für Zoë"),
        ('application/json;charset="windows-1252"', "Gesperrt für Zoë"),
        ("application/json; x=y; Charset=iso-8859-1", "Gesperrt für Zoë"),
        ("application/json; charset=utf-8", "Invalid token"),
        ("application/json", "Invalid token"),
        ("charset=iso-8859-1", "Invalid token"),
    ],
)
async def test_a_body_that_is_not_unicode_is_read_in_the_charset_of_the_content_type(
    calls: Calls, content_type: str, detail: str
) -> None:
    body = '{"detail": "Gesperrt für Zoë"}'.encode("latin-1")
    response = answer(401, body, content_type=content_type)
    assert await get_me(calls, response) == Rejected(detail)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip", "utf-8", "gzip;q=1"])
async def test_a_body_that_cannot_be_decoded_hides_no_rejection(
    calls: Calls, encoding: str
) -> None:
    """The status says it already; the body has only the detail."""
    body = b'{"detail": "Token expired"}'
    expected = Rejected("Invalid token")
    assert await get_me(calls, answer(401, body, content_encoding=encoding)) == expected
    assert await check_permission(calls, answer(401, body, content_encoding=encoding)) == expected
    denied = answer(403, body, content_encoding=encoding)
    assert await check_permission(calls, denied) == Accepted(value=False)
    default = Rejected("Not allowed for this application", forbidden=True, reason="app_forbidden")
    assert await get_me(calls, denied) == default
    late = answer(503, body, content_encoding=encoding, retry_after="7")
    assert await get_me(calls, late) == bad_status("the status was 503", 7, is_outage=True)


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (
            gzip.compress(gzip.compress(PROFILE, mtime=0), mtime=0),
            "gzip, gzip",
            "the body has a content encoding that was not asked for",
        ),
        (
            gzip.compress(b" " * (MAX_BODY + 1), mtime=0),
            "gzip",
            f"the body is incomplete, or larger than {MAX_BODY} bytes",
        ),
        (
            gzip.compress(PROFILE, mtime=0)[:-9],
            "gzip",
            f"the body is incomplete, or larger than {MAX_BODY} bytes",
        ),
        (PROFILE, "gzip", "the compressed body is damaged"),
        (PROFILE, "br", "the body has a content encoding that was not asked for"),
    ],
)
async def test_pitfall_26_a_bomb_or_a_broken_compression_is_unavailable(
    calls: Calls, body: bytes, encoding: str, reason: str
) -> None:
    response = answer(200, body, content_encoding=encoding)
    assert await get_me(calls, response) == Unavailable(reason)
    assert await check_permission(calls, response) == Unavailable(reason)


async def test_pitfall_30_a_slow_drip_ends_at_the_deadline_of_the_whole_call() -> None:
    calls = Calls(timeout=0.5)

    async def drip(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nx-drip: ")
            while True:
                await stream.send(b"a")
                await anyio.sleep(0.1)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, drip)
            with anyio.fail_after(TIMEOUT):
                verdict = await calls.proxy.get_me(f"http://127.0.0.1:{port}", TOKEN)
            group.cancel_scope.cancel()
    assert verdict == timed_out("there was no answer within 0.5 seconds")
    await calls.proxy.aclose()


async def test_time_in_a_queue_counts_against_the_deadline(calls: Calls) -> None:
    async with serving(lambda _: anyio.sleep(60)) as server:
        came = anyio.current_time() - TIMEOUT + 0.1
        verdict = await calls.proxy.get_me(server.url, TOKEN, since=came)
    assert verdict == Unavailable(
        "there was no answer within 60 seconds", timed_out=True, reason="timeout"
    )


async def test_a_deadline_that_passed_in_a_queue_sends_nothing(calls: Calls) -> None:
    async with serving(lambda _: anyio.sleep(60)) as server:
        came = anyio.current_time() - TIMEOUT
        assert isinstance(await calls.proxy.get_me(server.url, TOKEN, since=came), Unavailable)
    assert (calls.sent, server.connections) == (0, 0)


def dies_after(number: int) -> Any:
    """Answer so many requests on each connection, and close it when the next one comes."""
    answered: dict[int, int] = {}

    async def respond(self: RawServer) -> bytes | None:
        await checkpoint()
        served = answered[self.connections] = answered.get(self.connections, 0) + 1
        return answer(200, PROFILE) if served <= number else None

    return respond


async def test_a_dead_kept_alive_connection_is_replaced_silently(calls: Calls) -> None:
    respond = dies_after(1)
    async with serving(lambda _: respond(server)) as server:
        assert await calls.proxy.get_me(server.url, TOKEN) == ADA
        assert await calls.proxy.get_me(server.url, TOKEN) == ADA
        assert (server.connections, len(server.requests), calls.sent) == (2, 3, 3)


async def test_a_surplus_answer_is_not_used_for_the_next_call(calls: Calls) -> None:
    eve = answer(200, b'{"is_authenticated": true, "user_name": "eve"}')
    responses = iter([answer(200, PROFILE) + eve, answer(200, PROFILE)])

    async def respond(_: bytes) -> bytes:
        await checkpoint()
        return next(responses)

    async with serving(respond) as server:
        assert await calls.proxy.get_me(server.url, TOKEN) == ADA
        assert await calls.proxy.get_me(server.url, TOKEN) == ADA
    assert server.connections == 2


async def test_a_connection_without_trailing_data_is_used_again(
    calls: Calls,
) -> None:
    """Should this fail, the HTTP library has changed inside: mend `has_trailing_data`."""
    async with serving(FakeProxy()) as server:
        await calls.proxy.get_me(server.url, TOKEN)
        await calls.proxy.get_me(server.url, TOKEN)
    assert server.connections == 1


def test_without_access_to_the_librarys_buffer_trailing_data_is_assumed() -> None:
    unknown: Any = SimpleNamespace(stream=None)
    assert has_trailing_data(unknown)


async def test_a_call_is_not_repeated_after_an_answer_that_is_not_http(calls: Calls) -> None:
    responses = iter([answer(200, PROFILE), b"this is no HTTP\r\n\r\n"])

    async def respond(_: bytes) -> bytes:
        await checkpoint()
        return next(responses)

    async with serving(respond) as server:
        assert await calls.proxy.get_me(server.url, TOKEN) == ADA
        verdict = await calls.proxy.get_me(server.url, TOKEN)
    assert verdict == failed("the call failed with RemoteProtocolError")
    assert len(server.requests) == 2


async def test_a_tls_handshake_that_never_ends_leaves_no_socket_behind() -> None:
    calls = Calls(timeout=2)
    left = anyio.Event()

    async def never_shake_hands(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
            left.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, never_shake_hands)
            verdict = await calls.proxy.get_me(f"https://127.0.0.1:{port}", TOKEN)
            with anyio.fail_after(TIMEOUT):
                await left.wait()
            group.cancel_scope.cancel()
    assert verdict == timed_out("there was no answer within 2 seconds")
    await calls.proxy.aclose()


async def test_only_the_given_certificate_authority_is_trusted(
    calls: Calls,
) -> None:
    authority = trustme.CA()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.configure_trust(ours)
    trusting = AskedProxy(OxaigenAuthSettings(), ours, calls)
    async with serving(FakeProxy(), theirs) as server:
        assert await trusting.get_me(server.url, TOKEN) == ADA
        verdict = await calls.proxy.get_me(server.url, TOKEN)
    assert isinstance(verdict, Unavailable)
    assert verdict.detail.startswith("the call failed with ConnectError: the certificate is not ")
    await trusting.aclose()


def test_the_certificates_of_the_system_are_read_once() -> None:
    assert default_ssl_context() is default_ssl_context()


def test_unreadable_certificates_do_not_prevent_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileNotFoundError("no such file")

    monkeypatch.setattr(proxy_module, "default_ssl_context", fail)
    Proxy(OxaigenAuthSettings(), None, Observer()).prepare()


@pytest.mark.anyio
async def test_an_open_client_has_read_the_certificates() -> None:
    default_ssl_context.cache_clear()
    async with ProxyAuthClient("https://app.example.com"):
        assert default_ssl_context.cache_info().currsize == 1


def test_httpx2_is_used_where_it_is_installed() -> None:
    assert library.__name__ == ("httpx2" if find_spec("httpx2") else "httpx")


def test_without_httpx2_its_predecessor_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.delitem(sys.modules, "oxaigen_auth._upstream.http_library")
    alone = importlib.import_module("oxaigen_auth._upstream.http_library")
    assert alone.httpx.__name__ == "httpx"


async def test_a_new_connection_that_dies_is_not_tried_again(calls: Calls) -> None:
    async with serving(FakeProxy(None)) as server:
        verdict = await calls.proxy.get_me(server.url, TOKEN)
        assert verdict == failed("the call failed with RemoteProtocolError")
        assert (server.connections, len(server.requests), calls.sent) == (1, 1, 1)


async def test_a_call_is_not_repeated_after_an_incomplete_answer(calls: Calls) -> None:
    broken = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n{"
    responses = iter([answer(200, PROFILE), broken])
    served = 0

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal served
        async with stream:
            for response in responses:
                await stream.receive()
                served += 1
                await stream.send(response)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            assert await calls.proxy.get_me(url, TOKEN) == ADA
            verdict = await calls.proxy.get_me(url, TOKEN)
            group.cancel_scope.cancel()
    assert verdict == failed("the call failed with RemoteProtocolError")
    assert served == 2


async def test_a_call_is_not_repeated_after_a_reset_during_the_answer(calls: Calls) -> None:
    responses = iter([answer(200, PROFILE), b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"])
    served = 0

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal served
        for response in responses:
            await stream.receive()
            served += 1
            await stream.send(response)
        await anyio.sleep(0.05)  # so that the head of the answer is read before the reset comes
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            assert await calls.proxy.get_me(url, TOKEN) == ADA
            verdict = await calls.proxy.get_me(url, TOKEN)
            group.cancel_scope.cancel()
    assert verdict == failed("the call failed with ReadError: connection reset by peer")
    assert (served, calls.sent) == (2, 2)


async def test_a_body_of_the_largest_size_is_read_to_its_end(calls: Calls) -> None:
    body = PROFILE + b" " * (MAX_BODY - len(PROFILE))

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            head = f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{MAX_BODY:x}\r\n"
            await stream.send(head.encode() + body)
            await anyio.sleep(0.05)
            await stream.send(b"\r\n0\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            assert await calls.proxy.get_me(url, TOKEN) == ADA
            group.cancel_scope.cancel()


async def test_a_cancelled_call_leaves_a_pool_that_works() -> None:
    calls = Calls()

    async def respond(request: bytes) -> bytes:
        if b"slow" in request:
            await anyio.sleep(10)
        return answer(200, PROFILE)

    async with serving(respond) as server:
        for _ in range(3):
            with anyio.move_on_after(0.05):
                await calls.proxy.get_me(server.url, "slow")
            assert await calls.proxy.get_me(server.url, TOKEN) == ADA
    await calls.proxy.aclose()
