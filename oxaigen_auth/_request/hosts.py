"""Derives the URL of the proxy from a request's host, and logs why a host was refused.

FastAPI evaluates the annotations here, so they are not postponed.
"""

import logging
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic

from attrs import define, field
from starlette.requests import HTTPConnection

from oxaigen_auth._core.process_cache import process_cache
from oxaigen_auth._hints.calls import takes_connection
from oxaigen_auth._request.credentials import combined_headers
from oxaigen_auth._syntax.hosts import (
    first_value,
    has_several_values,
    request_host,
    resolve_base_url,
)
from oxaigen_auth.errors import OxaigenAuthUntrustedHostError
from oxaigen_auth.settings import OxaigenAuthSettings, current_settings

_log = logging.getLogger("oxaigen_auth")

_SILENCE = 60.0  # seconds
_SHOWN = 100  # characters
_NOT_ALLOWED = (
    "Refused a request for host %s: OXAIGEN_AUTH_ALLOWED_HOSTS does not list it; add it there if "
    "this app is served under it"
)
_SEVERAL = (
    "Refused a request with several values of X-Forwarded-Host, %s: set "
    "OXAIGEN_AUTH_ALLOWED_HOSTS; then the first value counts if it is listed"
)
_MALFORMED = (
    "Refused a request for host %s: it is missing or malformed; make X-Forwarded-Host, or "
    "otherwise Host, host[:port], or set OXAIGEN_AUTH_PROXY_URL_OVERRIDE"
)


@takes_connection
def derive_proxy_base_url(connection: HTTPConnection) -> str:
    """Return the URL of the proxy, without a trailing slash (product page, "How the SDK picks…").

    It comes from the settings, otherwise it is `{scheme}://{X-Forwarded-Host or Host}`. May also be
    a dependency of FastAPI: `Depends(derive_proxy_base_url)`.

    Raises:
        OxaigenAuthUntrustedHostError: the request's host is malformed or not allowed.

    >>> from starlette.requests import Request
    >>> headers = [(b"host", b"app.example.com")]
    >>> derive_proxy_base_url(Request({"type": "http", "headers": headers}))
    'https://app.example.com'
    """
    settings = current_settings()
    return settings.fixed_proxy_url or derive_base_url(combined_headers(connection.scope), settings)


def derive_base_url(headers: dict[bytes, bytes], settings: OxaigenAuthSettings) -> str:
    """Return the URL of the proxy for a request, if the settings do not define it."""
    scheme, patterns = settings.proxy_scheme, settings.allowed_hosts
    url, allowed = resolve_base_url(request_host(headers, scheme, patterns), scheme, patterns)
    if not allowed:
        _refused_hosts().note(headers, scheme, patterns)
        raise OxaigenAuthUntrustedHostError("Invalid host header")
    if not patterns:
        _warn_of_unchecked_hosts()
    return url


@define(eq=False)
class RefusedHosts:
    """Logs refused hosts, once a minute at most for each reason."""

    clock: Callable[[], float] = monotonic
    _silent_until: dict[str, float] = field(factory=dict, init=False)

    def note(self, headers: Mapping[bytes, bytes], scheme: str, patterns: tuple[str, ...]) -> None:
        """Log why the host in these headers was refused."""
        forwarded = headers.get(b"x-forwarded-host")
        host = headers.get(b"host", b"") if forwarded is None else forwarded
        is_list = forwarded is not None and has_several_values(forwarded)
        if is_list and not patterns:
            return self._log(_SEVERAL, host)
        url, _ = resolve_base_url(first_value(host) if is_list else host, scheme, patterns)
        return self._log(_NOT_ALLOWED if url else _MALFORMED, host)

    def _log(self, reason: str, host: bytes) -> None:
        now = self.clock()
        if now >= self._silent_until.get(reason, -inf):
            self._silent_until[reason] = now + _SILENCE
            _log.warning(reason, _shown(host))


@process_cache
def _refused_hosts() -> RefusedHosts:
    return RefusedHosts()


def _shown(host: bytes) -> str:
    """Return a host for the log: in ASCII, of limited length, without a password."""
    _, at, name = host.rpartition(b"@")  # the text before it may be a password
    text = (b"***@" + name if at else name).decode("latin-1")
    return ascii(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")


@process_cache
def _warn_of_unchecked_hosts() -> None:
    _log.warning(
        "The auth proxy's address comes from request headers unchecked: set "
        "OXAIGEN_AUTH_ALLOWED_HOSTS to the hosts that this app is served under."
    )
