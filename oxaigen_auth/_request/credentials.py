"""Token and proxy URL out of an ASGI connection's headers, which may hold anything."""

from __future__ import annotations

import logging
import re
from functools import cache, lru_cache
from traceback import clear_frames
from typing import TYPE_CHECKING

from oxaigen_auth._hints.calls import takes_connection
from oxaigen_auth._request.refused_hosts import refusals
from oxaigen_auth._syntax.hosts import host_of, judge
from oxaigen_auth._syntax.tokens import MAX_TOKEN, is_token
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError, UntrustedHostError
from oxaigen_auth.settings import current_settings

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import Scope

    from oxaigen_auth.settings import OxaigenAuthSettings

_log = logging.getLogger("oxaigen_auth")

_SPACES = rb"[\t\x0b-\r\x1c-\x20\x85\xa0]*"  # what Starlette strips, without the line break
_ESCAPED = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)  # as in http.cookies
_QUOTES = len('""')


@takes_connection
def extract_bearer_token(
    connection: HTTPConnection, *, cookie_name: str | None = None
) -> str | None:
    """Return the token of the `Authorization` header, else of the cookie; None without either.

    Another scheme than Bearer, or Bearer with nothing after it, counts as no header (RFC 6750
    §2.1). `cookie_name` None means the one of the settings, which this does not fix
    for the process.

    Raises:
        OxaigenAuthUnauthenticatedError: several tokens, or one that cannot be a token: over 8 KiB,
            or with characters outside visible ASCII.
    """
    name = cookie_name or current_settings().access_token_cookie_name
    try:
        return _token(by_name(connection.scope), name)
    except OxaigenAuthUnauthenticatedError as error:
        clear_frames(error.__traceback__)  # a traceback that is kept would keep the token
        raise


@takes_connection
def derive_proxy_base_url(connection: HTTPConnection) -> str:
    """Return where the proxy is, without a trailing slash (product page, "How the SDK picks…").

    The settings name it; else it is `{scheme}://{X-Forwarded-Host, else Host}`.

    Raises:
        UntrustedHostError: the request's host is malformed, or not an allowed one.
    """
    settings = current_settings()
    return settings.fixed_proxy_url or base_url_of_host(by_name(connection.scope), settings)


def by_name(scope: Scope) -> dict[bytes, bytes]:
    """Return the values of the headers; of one that came several times, each on a line of its own.

    No value may hold a line break itself (RFC 9110 §5.5).
    """
    headers = scope["headers"]
    found = dict(headers)
    if len(found) != len(headers):
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            values.setdefault(name, []).append(value)
        return {name: b"\n".join(several) for name, several in values.items()}
    return found


def _token(headers: dict[bytes, bytes], cookie_name: str) -> str | None:
    token = token_of_header(headers) or token_of_cookie(headers, cookie_name)
    if token is not None and not is_token(token):
        raise OxaigenAuthUnauthenticatedError("Invalid token")
    return token


def token_of_header(headers: dict[bytes, bytes]) -> str | None:
    """Return what stands after `Bearer`; the client refuses what cannot be a token."""
    header = headers.get(b"authorization", b"")
    if b"\n" in header:
        raise OxaigenAuthUnauthenticatedError("More than one Authorization header")
    scheme, _, token = header.decode("latin-1").partition(" ")
    if scheme != "Bearer":  # the usual spelling
        scheme, _, token = header.decode("latin-1").strip(" \t").partition(" ")
        if scheme.lower() != "bearer":
            return None
    return token.strip(" \t") or None


def token_of_cookie(headers: dict[bytes, bytes], name: str) -> str | None:
    """Return the cookie's one value; HTTP/2 may spread cookies over several headers.

    Agrees with Starlette's `request.cookies`, but for what a stranger's other cookies cost: only
    a value of this name is unquoted, in linear time (CVE-2024-7592), and only if it may be a token.
    """
    found: set[str] = set()
    for match in _cookie(name).finditer(b";" + headers.get(b"cookie", b"").replace(b"\n", b";")):
        found |= {_unquoted(match[1].decode("latin-1").strip())} - {""}
        if len(found) > 1:
            raise OxaigenAuthUnauthenticatedError("More than one access cookie")
    return found.pop() if found else None


@lru_cache(maxsize=16)
def _cookie(name: str) -> re.Pattern[bytes]:
    """Return what finds the values of a cookie, each pair with a semicolon before it."""
    return re.compile(b";" + _SPACES + re.escape(name.encode()) + _SPACES + b"=([^;]*)")


def _unquoted(text: str) -> str:
    is_quoted = len(text) >= _QUOTES and text[0] == text[-1] == '"'
    if not is_quoted or len(text) > MAX_TOKEN + _QUOTES:
        return text
    return _ESCAPED.sub(lambda match: match[2] or chr(int(match[1], 8)), text[1:-1])


def base_url_of_host(headers: dict[bytes, bytes], settings: OxaigenAuthSettings) -> str:
    """Do what `derive_proxy_base_url` does where the settings name no proxy."""
    scheme, patterns = settings.proxy_scheme, settings.allowed_hosts
    url, allowed = judge(host_of(headers, scheme, patterns), scheme, patterns)
    if not allowed:
        refusals().note(headers, scheme, patterns)
        raise UntrustedHostError("Invalid host header")
    if not patterns:
        warn_of_unchecked_hosts()
    return url


@cache
def warn_of_unchecked_hosts() -> None:
    _log.warning(
        "The auth proxy's address comes from request headers unchecked: set "
        "OXAIGEN_AUTH_ALLOWED_HOSTS to the hosts that this app is reached under."
    )
