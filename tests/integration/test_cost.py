"""What a stranger's bytes cost: no more than their length, whatever they are."""

from __future__ import annotations

from functools import partial
from time import thread_time
from typing import TYPE_CHECKING, Any

import pytest

from oxaigen_auth import OxaigenAuthError, OxaigenAuthMiddleware, OxaigenAuthSettings

# Each step by itself, so that a slow one does not hide among the others.
from oxaigen_auth._request.credentials import (
    combined_headers,
    token_of_cookie,
    token_of_header,
    token_of_websocket,
)
from oxaigen_auth._request.csrf import is_cross_site
from oxaigen_auth._request.hosts import derive_base_url

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = b"OxaigenPlatformAuthAccessToken"
OFFERED, PREFIX = b"sec-websocket-protocol", b"base64url.bearer.authorization.oxaigen."
LISTED = OxaigenAuthSettings(allowed_hosts=("app.example.com", "*.example.org", "[::1]:*"))
SMALL, TIMES = 4_000, 16  # bytes; and how many times as large the large ones are

Headers = list[tuple[bytes, bytes]]


def of(name: bytes, start: bytes, again: bytes, end: bytes = b"") -> Callable[[int], Headers]:
    """Return what makes one header of a length, by repeating a part of it."""
    return lambda size: [(name, start + again * (size // len(again)) + end)]


def many(name: bytes, *values: bytes) -> Callable[[int], Headers]:
    """Return what makes many headers of one name, of a length together."""
    return lambda size: [(name, values[i % len(values)]) for i in range(size // len(values[0]))]


HOSTILE = {
    "a long cookie": of(b"cookie", b"a=", b"x"),
    "a quoted cookie": of(b"cookie", b'a="', b'\\"', b'"'),
    "an octal cookie": of(b"cookie", b'a="', b"\\101", b'"'),
    "a quoted access cookie": of(b"cookie", NAME + b'="', b'\\"', b'"'),
    "an octal access cookie": of(b"cookie", NAME + b'="', b"\\101", b'"'),
    "semicolons": of(b"cookie", b"", b";"),
    "spaces": of(b"cookie", b"", b" "),
    "spaces after a semicolon": of(b"cookie", b";", b" ", b"x"),
    "spaces after the name": of(b"cookie", NAME, b" "),
    "names without a value": of(b"cookie", b"", NAME + b" ; "),
    "the name again and again": of(b"cookie", b"", NAME),
    "empty access cookies": of(b"cookie", b"", NAME + b"=;"),
    "equal access cookies": of(b"cookie", b"", NAME + b"=x;"),
    "differing access cookies": of(b"cookie", b"", NAME + b"=x;" + NAME + b"=y;"),
    "many cookie headers": many(b"cookie", b"a=b"),
    "many access cookie headers": many(b"cookie", NAME + b"=x"),
    "many names": lambda size: [(b"x-%d" % i, b"") for i in range(size // 8)],
    "a long token": of(b"authorization", b"Bearer ", b"x"),
    "spaces before a token": of(b"authorization", b"", b" ", b"Bearer x"),
    "spaces after bearer": of(b"authorization", b"Bearer", b" ", b"\xa0"),
    "another scheme": of(b"authorization", b"", b"B"),
    "a long sub-protocol": of(OFFERED, PREFIX, b"x"),
    "a sub-protocol that is not base64url": of(OFFERED, PREFIX, b"x", b"="),
    "sub-protocols": of(OFFERED, b"", b"a,"),
    "spaces between sub-protocols": of(OFFERED, b"a,", b" ", b"b"),
    "tokens among the sub-protocols": of(OFFERED, b"", PREFIX + b","),
    "many sub-protocol headers": many(OFFERED, b"chat"),
    "many authorization headers": many(b"authorization", b"Bearer x"),
    "a long host": of(b"host", b"", b"a"),
    "labels": of(b"host", b"", b"a."),
    "hyphens": of(b"host", b"a", b"-"),
    "an address": of(b"host", b"[", b":", b"]"),
    "a port": of(b"host", b"a:", b"1"),
    "many hosts": many(b"host", b"a.example.com"),
    "a list of forwarded hosts": of(b"x-forwarded-host", b"app.example.com", b", "),
    "spaces before the first forwarded host": of(b"x-forwarded-host", b"", b" ", b"a, b"),
    "many forwarded hosts": many(b"x-forwarded-host", b"app.example.com"),
    "at signs": of(b"host", b"", b"@"),
    "a long origin": of(b"origin", b"https://", b"a."),
    "schemes": of(b"origin", b"", b"://"),
    "many origins": many(b"origin", b"https://a.example"),
    "many fetch sites": many(b"sec-fetch-site", b"none"),
}


def read(headers: Headers) -> None:
    """Do with a request all that is done without asking the proxy."""
    found = combined_headers({"headers": headers})
    for step in (
        lambda: token_of_header(found),
        lambda: token_of_websocket({}, found),
        lambda: token_of_cookie(found, NAME.decode()),
        lambda: is_cross_site({"method": "POST"}, {b"origin": b"null://", **found}, LISTED),
        lambda: derive_base_url(found, LISTED),
        lambda: derive_base_url(found, OxaigenAuthSettings()),
    ):
        try:
            step()
        except OxaigenAuthError:
            continue


def cost(call: Callable[[], object]) -> float:
    """Return the least processor time of some tries, in seconds: others may be busy meanwhile."""
    times = []
    for _ in range(5):
        start = thread_time()
        call()
        times.append(thread_time() - start)
    return max(min(times), 2e-5)


def growth(call: Callable[[int], object]) -> float:
    """Return how much more the large input costs than the small one, per byte."""
    return cost(partial(call, SMALL * TIMES)) / cost(partial(call, SMALL)) / TIMES


@pytest.mark.parametrize("kind", HOSTILE)
def test_pitfall_47_no_header_costs_more_than_its_length(kind: str) -> None:
    headers = {size: HOSTILE[kind](size) for size in (SMALL, SMALL * TIMES)}
    assert growth(lambda size: read(headers[size])) < 4


def test_a_cost_that_grows_with_the_square_of_the_length_would_be_seen() -> None:
    assert growth(lambda size: [b"x" * size for _ in range(size // 16)]) > 4


def test_a_long_quoted_cookie_costs_little_more_than_a_plain_one() -> None:
    async def nothing(*_: Any) -> Any: ...

    def call(value: bytes) -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"cookie", value)]}
        with pytest.raises(StopIteration):
            OxaigenAuthMiddleware(nothing)(scope, nothing, nothing).send(None)

    size = SMALL * TIMES
    plain, quoted = b"a=" + b"x" * size, b'a="' + b'\\"' * (size // 2) + b'"'
    assert cost(partial(call, quoted)) < 10 * cost(partial(call, plain))
