"""Removes tokens from the events of sentry-sdk. Copy it into your app.

    sentry_sdk.init(
        dsn=...,
        before_send=scrub_tokens,
        before_send_transaction=scrub_tokens,
    )

A token is removed after `Bearer`, after the name of the cookie, and after the prefix of the
sub-protocol, anywhere in an event. The token of the current request is also removed under any other
name.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from inspect import currentframe
from itertools import chain
from traceback import walk_stack, walk_tb
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

COOKIE = "OxaigenPlatformAuthAccessToken"  # OXAIGEN_AUTH_ACCESS_TOKEN_COOKIE_NAME
SUBPROTOCOL = "base64url.bearer.authorization.oxaigen."
FILTERED = "[Filtered]"
MIN_LENGTH = 8  # of the tokens to search for; shorter ones could be common words

# "Bearer …" and "Cookie=…", also as Python and JSON write them: {'Cookie': '…'}
_TOKEN = re.compile(
    rf"""(bearer\s+|{re.escape(COOKIE)}["']?\s*[=:]\s*b?["']?|{re.escape(SUBPROTOCOL)})"""
    r"""[^\s"',;]+""",
    re.IGNORECASE,
)


def scrub_tokens(event: Any, hint: dict[str, Any]) -> Any:
    """Return the event without tokens: `before_send` and `before_send_transaction`."""
    _, _, traceback = hint.get("exc_info") or (None, None, None)
    return _scrub(event, sorted(_tokens(traceback), key=len, reverse=True))


def _scrub(value: Any, tokens: list[str]) -> Any:
    if isinstance(value, str):
        for token in tokens:
            value = value.replace(token, FILTERED)
        return _TOKEN.sub(rf"\1{FILTERED}", value)
    if isinstance(value, dict):
        return {
            _scrub(key, tokens): FILTERED if key == COOKIE else _scrub(item, tokens)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_scrub(item, tokens) for item in value]
    return value


def _tokens(traceback: TracebackType | None) -> set[str]:
    """Return the tokens of the requests in the current frames and in the traceback."""
    found: set[str] = set()
    for frame, _ in chain(walk_tb(traceback), walk_stack(currentframe())):
        for local in list(frame.f_locals.values()):
            for token in _tokens_of(_headers(local)):
                if len(token) >= MIN_LENGTH:
                    found |= {token, repr(token)[1:-1]}
    return found


def _headers(local: Any) -> list[tuple[bytes, bytes]]:
    kind = type(local)  # isinstance() would run the code of a lazy proxy
    scope = local.scope if issubclass(kind, HTTPConnection) else local
    is_scope = issubclass(type(scope), dict) and scope.get("type") in ("http", "websocket")
    return scope["headers"] if is_scope else []


def _tokens_of(headers: list[tuple[bytes, bytes]]) -> Iterator[str]:
    for name, value in headers:
        text = value.decode("latin-1")
        if name == b"authorization":
            yield text.strip().partition(" ")[2].strip()
        if name == b"sec-websocket-protocol":
            for encoded in re.findall(rf"{re.escape(SUBPROTOCOL)}([\w-]+)", text, re.IGNORECASE):
                if len(encoded) % 4 != 1:  # otherwise it is invalid
                    yield urlsafe_b64decode(encoded + "===").decode("latin-1")
        if name == b"cookie":
            pairs = [pair.partition("=") for pair in text.split(";")]
            yield from (it.strip(' "') for key, _, it in pairs if key.strip() == COOKIE)
