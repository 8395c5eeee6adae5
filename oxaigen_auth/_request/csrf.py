"""Detects requests with a cookie that come from a page of another site.

A browser sends cookies with every request, whichever page caused it. It also adds headers that no
page can change and that show the origin: `Origin` (RFC 6454 §7), or `Sec-Fetch-Site`.
"""

from __future__ import annotations

from functools import lru_cache

from starlette.types import Scope

from oxaigen_auth._syntax.hosts import (
    Origin,
    parse_host,
    parse_origin,
    parse_origin_pattern,
    request_host,
)
from oxaigen_auth.settings import OxaigenAuthSettings

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 §9.2.1


def is_cross_site(scope: Scope, headers: dict[bytes, bytes], settings: OxaigenAuthSettings) -> bool:
    """Return whether an unsafe request comes from neither the app's own origin nor a trusted one.

    A request without either header is not from a current browser, so another site cannot have
    caused it.
    """
    if not settings.cross_site_guard or scope.get("method") in _SAFE:
        return False
    header = headers.get(b"origin")
    if header is None:
        return b"cross-site" in headers.get(b"sec-fetch-site", b"").split(b"\n")
    origin = parse_origin(header.decode("latin-1"))
    if origin is None:
        return True
    # An app behind a proxy does not see the request's scheme, so host and port are compared.
    host = request_host(headers, settings.proxy_scheme, settings.allowed_hosts)
    same = parse_host(host.decode("latin-1"), origin.scheme) == origin.host
    return not same and not _is_trusted(origin, settings)


def _is_trusted(origin: Origin, settings: OxaigenAuthSettings) -> bool:
    if settings.dev_mode and origin.host.is_loopback:
        return True
    return any(origin.matches(pattern) for pattern in _parse_patterns(settings.trusted_origins))


@lru_cache(maxsize=64)
def _parse_patterns(patterns: tuple[str, ...]) -> tuple[Origin, ...]:
    return tuple(pattern for text in patterns if (pattern := parse_origin_pattern(text)))
