"""Whole HTTP answers of arbitrary bytes through the real HTTP library, without a socket.

One seed is a session: some calls one after another by one proxy, whose connections are used again
where the library thinks that they may be. After each changed answer comes a good call, whose caller
gets their own user. The standard library's HTTP and another JSON parser confirm what is accepted.
"""

from __future__ import annotations

import gzip
import http.client
import io
import json
import re
import zlib
from collections import Counter, deque
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import define, field
from pydantic import TypeAdapter

from oxaigen_auth import OxaigenAuthSettings, User

# A verdict shows how an answer was read; the client would hide a part of it.
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable
from tests.simulation.fuzz import MARK, SEED, SPECIAL_BYTES, dice_of, mutated, seeds, tried
from tests.simulation.profiles import draw_body, readings, text_of
from tests.support.asked_proxy import AskedProxy
from tests.support.raw_server import PROFILE, answer

if TYPE_CHECKING:
    from oxaigen_auth._validation.verdict import Verdict
    from tests.simulation.scheduler import Dice

pytestmark = pytest.mark.anyio

SHORT, LONG = 100, 5_000  # sessions for each backend
ANSWERS = 20  # in a session, and as many good ones
BASE = "http://proxy.example.com"

WRITTEN: TypeAdapter[User] = TypeAdapter(User)
STATUSES = (*[200] * 40, 201, 204, 206, 302, 304, 404, 429, 500, 503, 100, 101, 103, 199, 999)
REJECTIONS = (401, 403, 503)
CODINGS = ("gzip", "deflate")
HEADERS = [
    *(b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade", b"Set-Cookie: a=b"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Length: 0"),
    *(
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 5, 5",
        b"Content-Encoding: br",
    ),
    *(
        b"Content-Encoding: gzip",
        b"Content-Encoding: identity",
        b"Retry-After: 7",
        b"X: \xff",
        b": x",
    ),
    *(b"Retry-After: Wed, 21 Oct 99999999999 07:28:00 GMT", b"X-Oxaigen-Mock: 1", b"Upgrade: h2c"),
    *(b"Location: /elsewhere", b"Content-Type: text/html; charset=utf-16", b" folded", b"X" * 9000),
]
INTERIM = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"]
DONORS = [
    *HEADERS,
    *INTERIM,
    *SPECIAL_BYTES,
    b"0\r\n\r\n",
    b"ffffffffffffffffff\r\n",
    answer(200, PROFILE),
]


@define(eq=False)
class Wire:
    """A connection that ends in memory. `answers` has the responses to each token."""

    answers: dict[bytes, deque[bytes]]
    coming: deque[bytes] = field(factory=deque)
    ended: bool = False

    async def connect_tcp(self, **_: Any) -> Wire:
        return Wire(self.answers)

    async def write(self, data: bytes, **_: Any) -> None:
        token = data.partition(b"Bearer ")[2].partition(b"\r\n")[0]
        self.coming.extend(self.answers.get(token, ()))

    async def read(self, max_bytes: int, **_: Any) -> bytes:
        self.ended = not self.coming  # no more data will arrive
        data = b"" if self.ended else self.coming.popleft()
        if data[max_bytes:]:
            self.coming.appendleft(data[max_bytes:])
        return data[:max_bytes]

    async def aclose(self) -> None:
        self.coming.clear()

    def get_extra_info(self, info: str) -> bool | None:
        return bool(self.coming) or self.ended if info == "is_readable" else None


class WiredProxy(AskedProxy):
    """Connects to a `Wire`, below everything that the HTTP library does with bytes."""

    wire: Wire

    def _new_transport(self) -> Any:
        transport: Any = super()._new_transport()
        transport._pool._network_backend = self.wire  # noqa: SLF001 (it takes no other as an option)
        return transport


@define(eq=False)
class Drawn:
    """An answer's bytes, and whether they are a rejection, which must not become a user."""

    data: bytes
    rejects: bool


def draw(dice: Dice) -> Drawn:
    """Draw a changed answer. The status line of a rejection is not changed."""
    rejects = dice.chance(0.3)
    status = dice.pick(*REJECTIONS) if rejects else dice.pick(*STATUSES)
    line = b"HTTP/1.1 %d Reason\r\n" % status
    rest = draw_rest(dice, dice.pick(draw_body(dice), PROFILE, b"true"))
    if dice.chance(0.4):
        rest = mutated(dice, rest, DONORS)
    data = line + rest
    if not rejects:
        data = dice.pick(b"", b"", b"", *INTERIM) + data
        data = mutated(dice, data, DONORS) if dice.chance(0.2) else data
    return Drawn(data, rejects)


def draw_rest(dice: Dice, body: bytes) -> bytes:
    """Return headers and body, framed in one of the ways that HTTP has."""
    headers = [dice.pick(*HEADERS) for _ in range(dice.pick(0, 0, 0, 1, 2))]
    compress = dice.pick(None, None, None, gzip.compress, zlib.compress)
    if compress:
        body = compress(body)
        headers.append(dice.pick(b"Content-Encoding: gzip", b"content-encoding:deflate"))
    framing = dice.pick("length", "length", "chunked", "until it ends")
    if framing == "length":
        headers.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        headers.append(b"Transfer-Encoding: chunked")
        cut = dice.number(0, len(body))
        chunks = [chunk for chunk in (body[:cut], body[cut:]) if chunk]
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return b"\r\n".join([*headers, b"", body])


def pieces(dice: Dice, data: bytes) -> deque[bytes]:
    cut = dice.pick(len(data), dice.number(0, len(data)))
    return deque(piece for piece in (data[:cut], data[cut:]) if piece)


class Sock(io.BytesIO):
    """A socket for the standard library's HTTP client."""

    def makefile(self, *_: Any) -> Sock:
        return self


def confirmed(data: bytes) -> bytes:
    """Return the body of these bytes, which the standard library must read as a 200.

    It skips no interim answer except 100, so the others are removed first.
    """
    while data.startswith(b"HTTP/1.1 1"):
        data = re.split(rb"\n\r?\n", data, maxsplit=1)[-1]
    response = http.client.HTTPResponse(cast("Any", Sock(data)), method="GET")
    response.begin()
    assert response.status == 200
    body = response.read()
    encoding = ", ".join(response.headers.get_all("content-encoding", [])).lower()
    encoded = any(coding in encoding for coding in CODINGS)
    return zlib.decompressobj(47).decompress(body) if encoded else body


def check_user(drawn: Drawn, verdict: Verdict[User]) -> None:
    if isinstance(verdict, Accepted):
        assert not drawn.rejects
        written = json.dumps(json.loads(WRITTEN.dump_json(verdict.value)))
        assert written in [json.dumps(it) for it in readings(confirmed(drawn.data))]
        assert verdict.value.is_authenticated
    elif isinstance(verdict, Rejected):
        assert MARK not in verdict.detail
    else:
        assert isinstance(verdict, Unavailable)
        assert verdict.retry_after is None or 0 <= verdict.retry_after <= 86400


def check_permission(drawn: Drawn, verdict: Verdict[bool]) -> None:
    assert isinstance(verdict, Accepted | Rejected | Unavailable)
    if verdict == Accepted(value=True):
        assert not drawn.rejects
        assert text_of(confirmed(drawn.data)).strip(" \t\r\n") == "true"


async def test_no_answer_is_accepted_beyond_its_content(long: bool) -> None:  # noqa: FBT001
    answers: dict[bytes, deque[bytes]] = {}  # by token, in the pieces in which they come
    tally = Counter[str]()
    for seed in seeds(LONG if long else SHORT):
        dice = dice_of(seed)
        settings = OxaigenAuthSettings(proxy_timeout_seconds=60)
        proxy = WiredProxy(settings, SSLContext(PROTOCOL_TLS_CLIENT), Observer())
        proxy.wire = Wire(answers)
        for number in range(ANSWERS):
            drawn = draw(dice)
            token, good = f"{MARK}-{seed}-{number}", f"good-{seed}-{number}"
            answers[token.encode()] = pieces(dice, drawn.data)
            answers[good.encode()] = deque([answer(200, b'{"user_name": "%b"}' % good.encode())])
            with tried(seed, drawn):
                if dice.chance(0.2):
                    verdict: Verdict[Any] = await proxy.test_permission(BASE, token, "audit")
                    check_permission(drawn, verdict)
                else:
                    verdict = await proxy.get_me(BASE, token)
                    check_user(drawn, verdict)
                assert await proxy.get_me(BASE, good) == Accepted(User(user_name=good))
            tally[type(verdict).__name__] += 1
            tally.update([verdict.detail] if isinstance(verdict, Unavailable) else [])
            answers.clear()
        await proxy.aclose()
    print(dict(tally.most_common()))  # noqa: T201 (shown with -s)
    assert SEED or {"Accepted", "Rejected", "Unavailable"} <= tally.keys()
