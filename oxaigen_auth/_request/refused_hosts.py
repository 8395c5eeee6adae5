"""The log lines that say why the host of a request was refused; knows only its headers."""

from __future__ import annotations

import logging
from functools import cache
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from attrs import define, field

from oxaigen_auth._syntax.hosts import first_value, has_several_values, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger("oxaigen_auth")

_SILENCE = 60.0  # seconds
_SHOWN = 100  # characters
_NOT_ALLOWED = (
    "Refused a request for host %s: OXAIGEN_AUTH_ALLOWED_HOSTS does not list it; add it there if "
    "this app is reached under it"
)
_SEVERAL = (
    "Refused a request with several values of X-Forwarded-Host, %s: set "
    "OXAIGEN_AUTH_ALLOWED_HOSTS, with which the first value counts if it is listed"
)
_MALFORMED = (
    "Refused a request for host %s: it is missing or malformed; see to it that X-Forwarded-Host, "
    "or else Host, is host[:port], or set OXAIGEN_AUTH_PROXY_URL_OVERRIDE"
)


@define(eq=False)
class Refusals:
    """Logs refused hosts: a line a minute at most for each kind of reason, however many come."""

    clock: Callable[[], float] = monotonic
    _silent_until: dict[str, float] = field(factory=dict, init=False)

    def note(self, headers: Mapping[bytes, bytes], scheme: str, patterns: tuple[str, ...]) -> None:
        """Log why the host that these headers name was refused."""
        forwarded = headers.get(b"x-forwarded-host")
        host = headers.get(b"host", b"") if forwarded is None else forwarded
        is_list = forwarded is not None and has_several_values(forwarded)
        if is_list and not patterns:
            return self._log(_SEVERAL, host)
        url, _ = judge(first_value(host) if is_list else host, scheme, patterns)
        return self._log(_NOT_ALLOWED if url else _MALFORMED, host)

    def _log(self, reason: str, host: bytes) -> None:
        now = self.clock()
        if now >= self._silent_until.get(reason, -inf):
            self._silent_until[reason] = now + _SILENCE
            _log.warning(reason, _shown(host))


@cache
def refusals() -> Refusals:
    """Return the one of this process."""
    return Refusals()


def _shown(host: bytes) -> str:
    """Return a host as the log may show it: in ASCII, of limited length, without a password."""
    _, at, name = host.rpartition(b"@")  # what stands before it may be a password
    text = (b"***@" + name if at else name).decode("latin-1")
    return ascii(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")
