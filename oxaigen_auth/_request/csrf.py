"""Whether a request that brings a cookie comes from a page of another site.

A browser sends cookies with whatever any page makes it ask for. What it adds itself, and no page
can change, says where the request comes from: `Origin` (RFC 6454 §7), or `Sec-Fetch-Site`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from oxaigen_auth._syntax.hosts import (
    Origin,
    parse_host,
    parse_origin,
    parse_origin_pattern,
    request_host,
)

if TYPE_CHECKING:
    from starlette.types import Scope

    from oxaigen_auth.settings import OxaigenAuthSettings

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 §9.2.1


def is_cross_site(scope: Scope, headers: dict[bytes, bytes], settings: OxaigenAuthSettings) -> bool:
    """Tell whether this could do harm and does not come from the app's own pages, or trusted ones.

    A request without either header comes from no browser of today, and has no cookie that another
    site could use.
    """
    if not settings.cross_site_guard or scope.get("method") in _SAFE:
        return False
    header = headers.get(b"origin")
    if header is None:
        return b"cross-site" in headers.get(b"sec-fetch-site", b"").split(b"\n")
    origin = parse_origin(header.decode("latin-1"))
    if origin is None:
        return True
    # By which scheme a request came, an app behind a proxy cannot see: host and port must do.
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
