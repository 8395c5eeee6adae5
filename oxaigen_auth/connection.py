"""Token and proxy URL out of an ASGI connection's headers, which may hold anything."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from starlette.requests import cookie_parser

from oxaigen_auth._host import judge
from oxaigen_auth._syntax import is_token
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError, UntrustedHostError
from oxaigen_auth.settings import default_settings

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import Scope

    from oxaigen_auth.settings import OxaigenAuthSettings

_log = logging.getLogger("oxaigen_auth")


def extract_bearer_token(
    connection: HTTPConnection, *, cookie_name: str | None = None
) -> str | None:
    """Return the token of the `Authorization` header, else of the cookie; None without either.

    Another scheme than Bearer, or Bearer with nothing after it, counts as no header (RFC 6750
    §2.1). `cookie_name` None means the one of the settings.

    Raises:
        OxaigenAuthUnauthenticatedError: several tokens, or one that cannot be a token: over 8 KiB,
            or with characters outside visible ASCII.
    """
    token = token_of(connection.scope, cookie_name or default_settings().access_token_cookie_name)
    if token is not None and not is_token(token):
        raise OxaigenAuthUnauthenticatedError("Invalid token")
    return token


def derive_proxy_base_url(connection: HTTPConnection) -> str:
    """Return where the proxy is, without a trailing slash (product page, "How the SDK picks…").

    The settings name it; else it is `{scheme}://{X-Forwarded-Host, else Host}`.

    Raises:
        UntrustedHostError: the request's host is malformed, or not an allowed one.
    """
    return proxy_base_url_of(connection.scope, default_settings())


def token_of(scope: Scope, cookie_name: str) -> str | None:
    """Do what `extract_bearer_token` does, but let the client refuse what cannot be a token."""
    headers = _values(scope, b"authorization")
    if len(headers) > 1:
        raise OxaigenAuthUnauthenticatedError("More than one Authorization header")
    return (_bearer(headers[0]) if headers else "") or _cookie(scope, cookie_name) or None


def proxy_base_url_of(scope: Scope, settings: OxaigenAuthSettings) -> str:
    """Do what `derive_proxy_base_url` does."""
    return settings.fixed_proxy_url or f"{settings.proxy_scheme}://{_host(scope, settings)}"


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _bearer(header: str) -> str:
    scheme, _, token = header.strip(" \t").partition(" ")
    return token.strip(" \t") if scheme.lower() == "bearer" else ""


def _cookie(scope: Scope, name: str) -> str:
    """Return the cookie's one value; HTTP/2 may spread cookies over several headers."""
    pairs = "; ".join(_values(scope, b"cookie")).split(";")
    found = {cookie_parser(pair).get(name, "") for pair in pairs} - {""}
    if len(found) > 1:
        raise OxaigenAuthUnauthenticatedError("More than one access cookie")
    return found.pop() if found else ""


def _host(scope: Scope, settings: OxaigenAuthSettings) -> str:
    headers = _values(scope, b"x-forwarded-host") or _values(scope, b"host")
    header = headers[0] if len(headers) == 1 else ""
    host, allowed = judge(header, settings.proxy_scheme, settings.allowed_hosts)
    if not allowed:
        if host:
            _log.warning("Refused a request for %s, not in OXAIGEN_AUTH_ALLOWED_HOSTS", host)
        raise UntrustedHostError("Invalid host header")
    if not settings.allowed_hosts:
        warn_of_unchecked_hosts()
    return host


@cache
def warn_of_unchecked_hosts() -> None:
    _log.warning(
        "The auth proxy's address comes from request headers unchecked: set "
        "OXAIGEN_AUTH_ALLOWED_HOSTS to the hosts that this app is reached under."
    )
