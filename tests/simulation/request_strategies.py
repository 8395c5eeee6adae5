"""Draws requests: valid, malformed and malicious ones."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from tests.simulation.fuzz import MARK, mutated
from tests.simulation.rules import COOKIE, OFFERED, SAFE

if TYPE_CHECKING:
    from tests.simulation.rules import Variant
    from tests.simulation.scheduler import Dice

METHODS = (*sorted(SAFE), "POST", "PUT", "DELETE")
GOOD, NO_AUDITOR, SHAKY, FORBIDDEN, BROKEN, BAD = (
    f"{MARK}-{kind}" for kind in ("good", "no-auditor", "shaky", "forbidden", "broken", "bad")
)
TOKENS = [
    *(token.encode() for token in (*[GOOD] * 5, NO_AUDITOR, SHAKY, FORBIDDEN, BROKEN, BAD)),
    *(
        f"{MARK}{text}".encode("latin-1")
        for text in ("-worse", "-good\x85", " two", "é", "x" * 8186, "x" * 8187)
    ),
    f'"{GOOD[:-1]}\\144"'.encode(),  # quoted as in a cookie
]
SCHEMES = [*[b"Bearer "] * 6, b"bearer  ", b" BEARER \t", b"Basic ", b"Bearer", b"Bearer\t", b""]
COOKIES = [COOKIE.encode() + end for end in (b"=", b"=", b"=", b' = "', b"_=", b"")]
OTHERS = [b"", b"", b"; a=b", b";", b"; =", b'"; q="', b"; " + COOKIE.encode() + b"="]
PREFIXES = [*[OFFERED] * 5, OFFERED.upper(), OFFERED[:-1], b"x" + OFFERED]
BESIDE = [b"", b",chat", b", chat", b"=", b" ", b",", b", " + OFFERED, b"," + OFFERED + b"fn5-"]
HOSTS = [
    *(b"app.example.com", b"app.example.com", b"app.example.org", b"a.b.example.com:443"),
    *(
        b"APP.Example.com.",
        b"app.example.com:8443",
        b"evil.example",
        b"example.com",
        b"a-.example.com",
    ),
    *(
        b"localhost:8000",
        b"localhost:08000",
        b"localhost:65536",
        b"localhost:0",
        b"[::1]",
        b"[::1]:9",
    ),
    *(b"[::ffff:1.2.3.4]:80", b"[::1", b"::1", b"127.0.0.1:80", b"999.1.1.1", b"1.2.3.04", b""),
    *(
        b"user@app.example.com",
        b"@app.example.com",
        b"app.example.com/x",
        b"app.example.com\\@b",
        b"a..b",
        b"x" * 64 + b".c",
    ),
    *(
        (b"a." * 124) + b"example.com",
        (b"a." * 130) + b"example.com",
        b"app.example.com, b.example.com",
    ),
]
ORIGINS = [
    *(b"https://app.example.com", b"https://app.example.com:443", b"http://app.example.com"),
    *(b"https://evil.example", b"https://www.example.org", b"https://a.example.net", b"null", b""),
    *(b"http://localhost:3000", b"http://x.localhost", b"http://[::1]:1", b"ftp://app.example.com"),
    *(b"https://app.example.com/", b"HTTPS://APP.EXAMPLE.COM", b"file://", b"http://127.0.0.1:5"),
]
SITES = [b"cross-site", b"same-origin", b"same-site", b"none", b"Cross-Site"]
NAMES = [
    *(b"authorization", b"authorization", b"cookie", b"cookie", b"host", b"host"),
    *(b"x-forwarded-host", b"origin", b"sec-fetch-site", b"x-forwarded-for", b"user-agent"),
]
CLIENTS = [
    *(("10.0.0.1", 1), ("10.0.0.2", 2), ("::ffff:10.0.0.1", 3), ("2001:db8::1", 4), ("", 0)),
    *(("2001:db8::2", 5), *[("2001:db8:0:1::2", 6)] * 2, ("a socket", 7), ("10.0.0.256", 8), None),
]


def draw(dice: Dice, variant: Variant) -> dict[str, Any]:
    """Draw the scope of a request, as a server would make it."""
    names = [dice.pick(*NAMES) for _ in range(dice.number(0, 4))]
    names += dice.pick([], [b"host"], [b"host"], [b"host"])
    names += dice.pick([], [b"authorization"], [b"authorization"], [b"cookie"], [b"cookie"])
    names += dice.pick([], [], [b"origin"], [b"sec-fetch-site"], [b"sec-fetch-site"] * 2)
    scope: dict[str, Any] = {
        "type": dice.pick("http", "http", "websocket"),
        "headers": [draw_header(dice, name) for name in names],
        "client": dice.pick(*CLIENTS),
        "path": f"/{dice.pick('me', 'me', 'maybe', 'audit', *['state'] * variant.middleware)}",
        "query_string": b"",
        "root_path": "",
        "extensions": {"websocket.http.response": {}},
    }
    if scope["type"] == "http":
        return scope | {"method": dice.pick(*METHODS, *METHODS, *METHODS, "get", "BREW", "")}
    for _ in range(dice.pick(0, 0, 1, 1, 2)):
        scope["headers"].append(draw_header(dice, b"sec-websocket-protocol"))
    return scope | {"path": f"/ws/{dice.pick('me', 'maybe', 'audit')}", "subprotocols": []}


def draw_header(dice: Dice, name: bytes) -> tuple[bytes, bytes]:
    values = {
        b"authorization": dice.pick(*SCHEMES) + dice.pick(*TOKENS),
        b"cookie": dice.pick(*COOKIES) + dice.pick(*TOKENS) + dice.pick(*OTHERS),
        b"sec-websocket-protocol": dice.pick(b"", b"", b"chat, ")
        + dice.pick(*PREFIXES)
        + urlsafe_b64encode(dice.pick(*TOKENS)).rstrip(b"=")
        + dice.pick(*BESIDE),
        b"origin": dice.pick(*ORIGINS),
        b"sec-fetch-site": dice.pick(*SITES),
    }
    value = values.get(name) or dice.pick(*HOSTS)
    if dice.chance(0.25):
        value = mutated(dice, value, [*values.values(), *TOKENS] if name in values else HOSTS)
    return (mutated(dice, name, NAMES) if dice.chance(0.03) else name), value
