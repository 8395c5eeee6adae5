"""Requests of arbitrary bytes through a whole app, against rules from the documentation alone.

One seed is a session: some requests one after another to one client with a cache. Every answer,
and every call to the proxy, must be exactly what simulation/rules.py expects; nothing is raised.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIRoute

from oxaigen_auth import OxaigenAuthMiddleware, aclose_client

# The whole SDK runs, up to the request that it passes to the HTTP library.
from oxaigen_auth._upstream.http_library import httpx as library
from oxaigen_auth._upstream.proxy import Proxy
from tests.simulation.fuzz import MARK, SEED, dice_of, seeds, tried
from tests.simulation.request_strategies import (
    BROKEN,
    FORBIDDEN,
    GOOD,
    METHODS,
    NO_AUDITOR,
    SHAKY,
    draw,
)
from tests.simulation.rules import Caller, Rules, Variant
from tests.support.apps import make_app
from tests.support.fake_proxy import Call, FakeProxy, parse
from tests.support.raw_server import answer

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from fastapi import FastAPI


pytestmark = pytest.mark.anyio

SHORT, LONG = 30, 1_000  # sessions for each backend and variant
REQUESTS = 40  # in a session

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
        lists=True,
        allows=allows,
        trusts=trusts,
    ),
    "no guard, over http": Variant(
        environ={"CROSS_SITE_GUARD": "0", "PROXY_SCHEME": "http"}, scheme="http", guard=False
    ),
    "rate limit": Variant(
        environ={"MAX_REJECTED_PER_MINUTE": "1", "PROXY_URL_OVERRIDE": FIXED}, fixed=FIXED, limit=1
    ),
    "dev mode, dependencies alone": Variant(
        environ={"DEV_MODE": "1"},
        fixed="http://127.0.0.1:8765",
        trusts=is_loopback,
        middleware=False,
    ),
}

REPLIES = {
    GOOD: ("user", "ada"),
    NO_AUDITOR: ("user", "bob"),
    SHAKY: ("user", "eve"),
    FORBIDDEN: ("forbidden", "Not for this app"),
    BROKEN: ("down", "Auth service unavailable"),
}
EXPIRED = ("refused", "Token expired")
STATUS = {"user": 200, "forbidden": 403, "down": 500, "refused": 401}
GRANT = {GOOD: 200, NO_AUDITOR: 403, SHAKY: 500}
CHALLENGE = {"anonymous": "Bearer", "refused": 'Bearer error="invalid_token"'}
REFUSAL = {
    "anonymous": 401,
    "refused": 401,
    "rate_limited": 429,
    "cross_site": 403,
    "forbidden": 403,
    "bad_host": 400,
    "down": 502,
}

Outcome = tuple[int, Any, str | None]  # status, JSON body, challenge


def expect(rules: Rules, scope: dict[str, Any]) -> Outcome:
    allowed = scope.get("method", "GET") in METHODS
    if not allowed and not rules.variant.middleware:
        return 405, "Method Not Allowed", None
    caller, path = rules.identify(scope), scope["path"].rpartition("/")[2]
    if not allowed:
        return 405, "Method Not Allowed", None
    named = {"user": caller.detail if caller.kind == "user" else None}
    if path == "state":
        error = None if caller.kind in {"anonymous", "user"} else caller.detail
        return 200, named | {"auth_error": error}, None
    if path == "maybe" and caller.kind not in {"bad_host", "down", "rate_limited"}:
        return 200, named, None
    if caller.kind != "user":
        detail = caller.detail or "Not authenticated"
        return REFUSAL[caller.kind], detail, CHALLENGE.get(caller.kind)
    return expect_grant(rules, caller) if path == "audit" else (200, named, None)


def expect_grant(rules: Rules, caller: Caller) -> Outcome:
    if (caller.token, caller.base) not in rules.grants:
        rules.calls.append(("test-app-permission/audit", caller.base, caller.token))
    if caller.token == SHAKY:
        return 502, "Auth service unavailable", None
    rules.grants.add((caller.token, caller.base))
    if caller.token == NO_AUDITOR:
        challenge = 'Bearer error="insufficient_scope", scope="audit"'
        return 403, "Missing permission: audit", challenge
    return 200, {"user": caller.detail}, None


class ByToken(FakeProxy):
    async def respond(self, call: Call) -> bytes:
        self.calls.append(call)
        if call.endpoint == "get-me":
            kind, text = REPLIES.get(call.token, EXPIRED)
            body = json.dumps({"user_name": text, "detail": text}).encode()
            return answer(STATUS[kind], body)
        return answer(GRANT[call.token], b"true")

    async def handle(self, request: Any) -> Any:
        """Answer a request of the HTTP library."""
        token = request.headers["authorization"].removeprefix("Bearer ")
        endpoint = request.url.path.removeprefix("/_oxa_auth/")
        base_url = f"{request.url.scheme}://{request.headers['host']}"
        reply = parse(await self.respond(Call(endpoint, base_url, token)))
        return library.Response(reply.status, headers=reply.headers, content=reply.body)


class Lines(logging.Handler):
    """Collects log records as text."""

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
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(lines)
    logger.propagate = True


async def call(app: FastAPI, scope: dict[str, Any]) -> tuple[Outcome, str]:
    """Return the outcome, and all sent messages as text."""
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
async def test_every_request_is_answered_by_the_rules(
    name: str,
    long: bool,  # noqa: FBT001
    log: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variant, proxy, tally = VARIANTS[name], ByToken(), Counter[Any]()
    for setting, value in (PLAIN | variant.environ).items():
        monkeypatch.setenv(f"OXAIGEN_AUTH_{setting}", value)
    monkeypatch.setattr(Proxy, "_new_transport", lambda _: library.MockTransport(proxy.handle))
    app = make_app()
    for route in app.routes:
        if isinstance(route, APIRoute):
            route.methods = {*METHODS}
    for _ in range(variant.middleware):
        app.add_middleware(OxaigenAuthMiddleware)
    for seed in seeds(LONG if long else SHORT):
        dice, rules = dice_of(seed), Rules(variant, lambda token: REPLIES.get(token, EXPIRED))
        proxy.calls.clear()
        for _ in range(REQUESTS):
            scope = draw(dice, variant)
            with tried(seed, scope):
                outcome, sent = await call(app, dict(scope))
                assert outcome == expect(rules, scope)
                assert proxy.calls == rules.calls
                hosts = [value for name, value in scope["headers"] if name.endswith(b"host")]
                shown = f"{sent} {log.lines}".lower()
                assert MARK not in shown or MARK in str(hosts).lower()
            tally[outcome[0]] += 1
            log.lines.clear()
        await aclose_client()
    print(name, tally.total(), dict(tally.most_common()))  # noqa: T201 (shown with -s)
    assert SEED or {200, 401, 403, 405, 502} <= tally.keys()
