"""Requests of arbitrary bytes through a whole app, against rules written from the documents alone.

One seed is a session: some requests one after another to one client, which remembers. Every answer,
and every call to the proxy, must be exactly what tests/proof/rules.py expects; nothing is raised.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from fastapi.routing import APIRoute

from oxaigen_auth import OxaigenAuthMiddleware, _proxy, aclose_client
from tests.apps import make_app
from tests.proof.fuzz import MARK, SEED, dice_of, mutated, seeds, tried
from tests.proof.rules import COOKIE, SAFE, Rules, Variant, Who

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from fastapi import FastAPI

    from tests.proof.storm import Dice

pytestmark = pytest.mark.anyio

SHORT, LONG = 60, 1_000  # sessions for each backend and variant
REQUESTS = 40  # in a session

METHODS = (*sorted(SAFE), "POST", "PUT", "DELETE")
ALLOWED = "app.example.org,*.example.com,localhost:8000,[::1]:*"
TRUSTED = "https://www.example.org,https://*.example.net,http://localhost:3000"


def allows(name: str, port: str) -> bool:
    of_example = name == "app.example.org" or name.endswith(".example.com")
    return (of_example and not port) or (name, port) == ("localhost", "8000") or name == "[::1]"


def trusts(scheme: str, name: str, port: str) -> bool:
    secure = name == "www.example.org" or name.endswith(".example.net")
    return ((scheme, port) == ("https", "") and secure) or (scheme, name, port) == DEVELOPER


def is_loopback(_: str, name: str, __: str) -> bool:
    return name.endswith(".localhost") or name in {"localhost", "127.0.0.1", "[::1]"}


DEVELOPER = ("http", "localhost", "3000")
PLAIN = {"BREAKER": "0", "NEGATIVE_CACHE_TTL_SECONDS": "3600"}
FIXED = "https://proxy.example.com"
VARIANTS = {
    "any host": Variant(environ={}),
    "allowed hosts": Variant(
        environ={"ALLOWED_HOSTS": ALLOWED, "TRUSTED_ORIGINS": TRUSTED},
        allows=allows,
        trusts=trusts,
    ),
    "no guard, over http": Variant(
        environ={"CROSS_SITE_GUARD": "0", "PROXY_SCHEME": "http"}, scheme="http", guard=False
    ),
    "throttle": Variant(
        environ={"MAX_REJECTED_PER_MINUTE": "2", "PROXY_URL_OVERRIDE": FIXED}, fixed=FIXED, limit=2
    ),
    "dev mode, dependencies alone": Variant(
        environ={"DEV_MODE": "1"},
        fixed="http://127.0.0.1:8765",
        trusts=is_loopback,
        middleware=False,
    ),
}

GOOD, NO_AUDITOR, SHAKY, FOREIGN, BROKEN, BAD = (
    f"{MARK}-{kind}" for kind in ("good", "no-auditor", "shaky", "foreign", "broken", "bad")
)
SAYS = {
    GOOD: ("user", "ada"),
    NO_AUDITOR: ("user", "bob"),
    SHAKY: ("user", "eve"),
    FOREIGN: ("forbidden", "Not for this app"),
    BROKEN: ("down", "Auth service unavailable"),
}
EXPIRED = ("refused", "Token expired")
STATUS = {"user": 200, "forbidden": 403, "down": 500, "refused": 401}
GRANT = {GOOD: 200, NO_AUDITOR: 403, SHAKY: 500}
CHALLENGE = {"nobody": "Bearer", "refused": 'Bearer error="invalid_token"'}
REFUSAL = {
    "nobody": 401,
    "refused": 401,
    "foreign": 403,
    "forbidden": 403,
    "lost": 400,
    "down": 502,
}

TOKENS = [
    *(token.encode() for token in (*[GOOD] * 5, NO_AUDITOR, SHAKY, FOREIGN, BROKEN, BAD)),
    *(
        f"{MARK}{text}".encode("latin-1")
        for text in ("-worse", " two", "é", "x" * 8186, "x" * 8187)
    ),
]
SCHEMES = [*[b"Bearer "] * 6, b"bearer  ", b" BEARER \t", b"Basic ", b"Bearer", b"Bearer\t", b""]
COOKIES = [COOKIE.encode() + end for end in (b"=", b"=", b"=", b' = "', b"_=", b"")]
OTHERS = [b"", b"", b"; a=b", b";", b"; =", b'"; q="', b"; " + COOKIE.encode() + b"="]
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
    *(("2001:db8::2", 5), ("2001:db8:0:1::2", 6), ("a socket", 7), ("10.0.0.256", 8), None),
]


def draw(dice: Dice, variant: Variant) -> dict[str, Any]:
    """Draw a scope, as a server would make it of what came."""
    names = [dice.pick(*NAMES) for _ in range(dice.number(0, 4))]
    names += dice.pick([], [b"host"], [b"host"], [b"host"])
    names += dice.pick([], [b"authorization"], [b"authorization"], [b"cookie"], [b"cookie"])
    scope: dict[str, Any] = {
        "type": dice.pick("http", "http", "websocket"),
        "headers": [draw_header(dice, name) for name in names],
        "client": dice.pick(*CLIENTS),
        "path": f"/{dice.pick('me', 'me', 'maybe', 'audit', *['state'] * variant.middleware)}",
        "query_string": b"",
        "root_path": "",
    }
    if scope["type"] == "http":
        return scope | {"method": dice.pick(*METHODS, *METHODS, *METHODS, "get", "BREW", "")}
    return scope | {"path": f"/ws/{dice.pick('me', 'maybe', 'audit')}", "subprotocols": []}


def draw_header(dice: Dice, name: bytes) -> tuple[bytes, bytes]:
    values = {
        b"authorization": dice.pick(*SCHEMES) + dice.pick(*TOKENS),
        b"cookie": dice.pick(*COOKIES) + dice.pick(*TOKENS) + dice.pick(*OTHERS),
        b"origin": dice.pick(*ORIGINS),
        b"sec-fetch-site": dice.pick(*SITES),
    }
    value = values.get(name) or dice.pick(*HOSTS)
    if dice.chance(0.25):
        value = mutated(dice, value, [*values.values(), *TOKENS] if name in values else HOSTS)
    return (mutated(dice, name, NAMES) if dice.chance(0.03) else name), value


Outcome = tuple[int, Any, str | None]  # status, JSON body, challenge


def expect(rules: Rules, scope: dict[str, Any]) -> Outcome:
    allowed = scope.get("method", "GET") in METHODS
    if not allowed and not rules.variant.middleware:
        return 405, "Method Not Allowed", None
    who, path = rules.who(scope), scope["path"].rpartition("/")[2]
    if not allowed:
        return 405, "Method Not Allowed", None
    named = {"user": who.detail if who.kind == "user" else None}
    if path == "state":
        error = None if who.kind in {"nobody", "user"} else who.detail
        return 200, named | {"auth_error": error}, None
    if path == "maybe" and who.kind not in {"lost", "down"}:
        return 200, named, None
    if who.kind != "user":
        detail = who.detail or "Not authenticated"
        return REFUSAL[who.kind], detail, CHALLENGE.get(who.kind)
    return expect_grant(rules, who) if path == "audit" else (200, named, None)


def expect_grant(rules: Rules, who: Who) -> Outcome:
    if (who.token, who.base) not in rules.grants:
        rules.calls.append((who.base, who.token, "test-app-permission/audit"))
    if who.token == SHAKY:
        return 502, "Auth service unavailable", None
    rules.grants.add((who.token, who.base))
    if who.token == NO_AUDITOR:
        challenge = 'Bearer error="insufficient_scope", scope="audit"'
        return 403, "Missing permission: audit", challenge
    return 200, {"user": who.detail}, None


@define(eq=False)
class Upstream:
    """Stands where the HTTP library's transport does. `calls` lists base URL, token, endpoint."""

    calls: list[tuple[str, str, str]] = field(factory=list)

    async def handle_async_request(self, request: Any) -> Any:
        token = request.headers["authorization"].removeprefix("Bearer ")
        endpoint = request.url.path.removeprefix("/_oxa_auth/")
        self.calls.append((f"{request.url.scheme}://{request.headers['host']}", token, endpoint))
        if endpoint == "get-me":
            kind, text = SAYS.get(token, EXPIRED)
            body = {"user_name": text, "detail": text}
            return _proxy.httpx.Response(STATUS[kind], json=body)
        return _proxy.httpx.Response(GRANT[token], json=True)

    async def aclose(self) -> None:
        pass


class Lines(logging.Handler):
    """Keeps what was logged, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[Lines]:
    logger, lines = logging.getLogger("oxaigen_auth"), Lines()
    logger.propagate = False  # pytest would keep each line until the end
    logger.addHandler(lines)
    yield lines
    logger.removeHandler(lines)
    logger.propagate = True


async def call(app: FastAPI, scope: dict[str, Any]) -> tuple[Outcome, str]:
    """Return what came of it, and all that was sent."""
    sent: list[MutableMapping[str, Any]] = []
    first = "http.request" if scope["type"] == "http" else "websocket.connect"

    async def receive() -> dict[str, Any]:
        return {"type": first}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if sent[0]["type"] == "websocket.accept":
        return (200, json.loads(sent[1]["text"]), None), str(sent)
    body = json.loads(sent[1]["body"])
    challenge = dict(sent[0]["headers"]).get(b"www-authenticate")
    outcome = sent[0]["status"], body.get("detail", body), challenge and challenge.decode()
    return outcome, str(sent)


@pytest.mark.parametrize("name", VARIANTS)
async def test_no_request_is_answered_but_by_the_rules(
    name: str,
    long: bool,  # noqa: FBT001
    log: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variant, upstream, tally = VARIANTS[name], Upstream(), Counter[Any]()
    for setting, value in (PLAIN | variant.environ).items():
        monkeypatch.setenv(f"OXAIGEN_AUTH_{setting}", value)
    monkeypatch.setattr(_proxy.Proxy, "_new_transport", lambda _: upstream)
    app = make_app()
    for route in app.routes:
        if isinstance(route, APIRoute):
            route.methods.update(METHODS)
    for _ in range(variant.middleware):
        app.add_middleware(OxaigenAuthMiddleware)
    for seed in seeds(LONG if long else SHORT):
        dice, rules = dice_of(seed), Rules(variant, lambda token: SAYS.get(token, EXPIRED))
        upstream.calls.clear()
        for _ in range(REQUESTS):
            scope = draw(dice, variant)
            with tried(seed, scope):
                outcome, sent = await call(app, dict(scope))
                assert outcome == expect(rules, scope)
                assert upstream.calls == rules.calls
                hosts = [value for name, value in scope["headers"] if name.endswith(b"host")]
                shown = f"{sent} {log.lines}".lower()
                assert MARK not in shown or MARK in str(hosts).lower()
            tally[outcome[0]] += 1
            log.lines.clear()
        await aclose_client()
    print(name, tally.total(), dict(tally.most_common()))  # noqa: T201 (shown with -s)
    assert SEED or {200, 401, 403, 405, 502} <= tally.keys()
