"""Reads the bearer token from the untrusted headers of an ASGI connection.

FastAPI evaluates the annotations here, so they are not postponed.
"""

import re
from functools import lru_cache
from traceback import clear_frames
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection
from starlette.types import Scope

from oxaigen_auth._hints.calls import takes_connection
from oxaigen_auth._request.subprotocols import token_of_subprotocols
from oxaigen_auth._syntax.tokens import MAX_TOKEN, is_token
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError
from oxaigen_auth.settings import current_settings

_SPACES = rb"[\t\x0b-\r\x1c-\x20\x85\xa0]*"  # what Starlette strips, without the line break
_ESCAPED = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)  # as in http.cookies
_QUOTES = len('""')
(_NEWLINE,) = b"\n"  # bytes search for a number several times as fast as for b"\n"


def _not_from_the_request() -> None:
    """Return the default of a parameter that FastAPI would otherwise read from the query."""


@takes_connection
def extract_bearer_token(
    connection: HTTPConnection,
    *,
    cookie_name: Annotated[str | None, Depends(_not_from_the_request)] = None,
) -> str | None:
    """Return the token of the `Authorization` header, otherwise of the cookie, otherwise None.

    A header with another scheme than Bearer, or with nothing after it, is ignored (RFC 6750 §2.1).
    Before the cookie, the token of a WebSocket may also be one of the sub-protocols it offers:
    `base64url.bearer.authorization.oxaigen.<base64url of the token>`.

    May also be a dependency of FastAPI: `Depends(extract_bearer_token)`.

    Args:
        connection: a FastAPI or Starlette `Request` or `WebSocket`.
        cookie_name: the name of the cookie. Default: from the settings.

    Raises:
        OxaigenAuthUnauthenticatedError: there are several tokens, or the token is invalid: over
            8 KiB, or with characters outside visible ASCII.

    >>> from starlette.requests import Request
    >>> headers = [(b"authorization", b"Bearer mock-dev-token")]
    >>> extract_bearer_token(Request({"type": "http", "headers": headers}))
    'mock-dev-token'
    """
    name = cookie_name or current_settings().access_token_cookie_name
    try:
        return _token(connection.scope, name)
    except OxaigenAuthUnauthenticatedError as error:
        clear_frames(error.__traceback__)  # a traceback that is kept would keep the token
        raise


def combined_headers(scope: Scope) -> dict[bytes, bytes]:
    """Return headers by name; values of a repeated header are joined with newlines.

    A single value cannot contain a newline (RFC 9110 §5.5).
    """
    headers = scope["headers"]
    found = dict(headers)
    if len(found) != len(headers):
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            values.setdefault(name, []).append(value)
        return {name: b"\n".join(several) for name, several in values.items()}
    return found


def _token(scope: Scope, cookie_name: str) -> str | None:
    headers = combined_headers(scope)
    is_websocket = scope["type"] == "websocket"
    token = token_of_websocket(scope, headers) if is_websocket else token_of_header(headers)
    token = token or token_of_cookie(headers, cookie_name)
    if token is not None and not is_token(token):
        raise OxaigenAuthUnauthenticatedError("Invalid token", "malformed_token")
    return token


def token_of_header(headers: dict[bytes, bytes]) -> str | None:
    """Return the text after `Bearer`. The client rejects it if it cannot be a token."""
    header = headers.get(b"authorization", b"")
    if _NEWLINE in header:
        raise OxaigenAuthUnauthenticatedError(
            "More than one Authorization header", "several_tokens"
        )
    scheme, _, token = header.decode("latin-1").partition(" ")
    if scheme != "Bearer":  # the usual spelling
        scheme, _, token = header.decode("latin-1").strip(" \t").partition(" ")
        if scheme.lower() != "bearer":
            return None
    return token.strip(" \t") or None


def token_of_websocket(scope: Scope, headers: dict[bytes, bytes]) -> str | None:
    """Return the token of the `Authorization` header or of the sub-protocols of a WebSocket."""
    token, offered = token_of_header(headers), token_of_subprotocols(scope, headers)
    if token is not None and offered is not None and token != offered:
        raise OxaigenAuthUnauthenticatedError("More than one token", "several_tokens")
    return token or offered


def token_of_cookie(headers: dict[bytes, bytes], name: str) -> str | None:
    """Return the single value of a cookie. HTTP/2 may spread cookies over several headers.

    Agrees with Starlette's `request.cookies`, but unquotes only values of this name that may be
    tokens, and in linear time (CVE-2024-7592).
    """
    found: set[str] = set()
    for match in _cookie(name).finditer(b";" + headers.get(b"cookie", b"").replace(b"\n", b";")):
        found |= {_unquoted(match[1].decode("latin-1").strip())} - {""}
        if len(found) > 1:
            raise OxaigenAuthUnauthenticatedError("More than one access cookie", "several_tokens")
    return found.pop() if found else None


@lru_cache(maxsize=16)
def _cookie(name: str) -> re.Pattern[bytes]:
    """Return a pattern for the values of a cookie; each pair must follow a semicolon."""
    return re.compile(b";" + _SPACES + re.escape(name.encode()) + _SPACES + b"=([^;]*)")


def _unquoted(text: str) -> str:
    is_quoted = len(text) >= _QUOTES and text[0] == text[-1] == '"'
    if not is_quoted or len(text) > MAX_TOKEN + _QUOTES:
        return text
    return _ESCAPED.sub(lambda match: match[2] or chr(int(match[1], 8)), text[1:-1])
