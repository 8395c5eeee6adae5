"""What a flight does: it looks into the memory again, asks the proxy, and keeps what that says."""

from __future__ import annotations

import logging
from functools import cache
from math import inf, nextafter
from typing import TYPE_CHECKING, Any

from attrs import define, field

from oxaigen_auth._core.circuit_breaker import THRESHOLD, Breaker
from oxaigen_auth._core.recent_set import RecentSet
from oxaigen_auth._syntax.jwt import expiry
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxaigen_auth._core.singleflight import Flight
    from oxaigen_auth._upstream.proxy import Proxy
    from oxaigen_auth._validation.verdict import Verdict
    from oxaigen_auth._validation.verdict_store import Key, Memory
    from oxaigen_auth.settings import OxaigenAuthSettings
    from oxaigen_auth.stats import ClientStats

_log = logging.getLogger("oxaigen_auth")

_CIRCUIT_OPENED = (
    "Auth proxy %s failed repeatedly: its circuit is open, lookups fail at once, and from %.1f s "
    "on single ones probe it"
)
MAX_PROVEN = 256  # base URLs that gave an accepted answer lately


@define(eq=False)
class Lookups:
    """The lookups of one client, on all its event loops; a flight belongs to one, as its proxy.

    `proven` holds the base URLs that gave an accepted answer lately.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    memory: Memory
    stats: ClientStats
    proven: RecentSet[str] = field(factory=lambda: RecentSet(MAX_PROVEN), init=False)
    _breaker: Breaker = field(init=False)
    _last: float = field(default=-inf, init=False)

    def __attrs_post_init__(self) -> None:
        self._breaker = Breaker(
            self.clock,
            self.settings.breaker_max_backoff_seconds,
            THRESHOLD if self.settings.breaker else inf,
        )

    async def look_up(
        self, proxy: Proxy, token: str, asked_for: Key, flight: Flight[Verdict[Any]]
    ) -> Verdict[Any]:
        """Learn who the user is, or whether they hold a permission."""
        mark, base, name, _ = asked_for
        self.memory.begin(mark, base)
        try:
            key = self.memory.key(mark, base, name)  # another one, if it was forgotten since
            known = None if flight.fresh else self.memory.recall((mark, base, name))
            if known is not None:
                return known  # another event loop has learnt it since the caller looked
            if base == self.settings.dev_mode_url:
                warn_of_dev_mode()
            asked = self._now()
            verdict = await self._ask(proxy, token, key, flight.took_off)
            exp = expiry(token) if isinstance(verdict, Accepted) else None
            return self.memory.keep(key, verdict, asked, exp)
        finally:
            self.memory.end(mark, base)

    def _now(self) -> float:
        """Read the clock, and never the same twice: of two lookups the newer can be told."""
        self._last = max(self.clock(), nextafter(self._last, inf))
        return self._last

    async def _ask(self, proxy: Proxy, token: str, key: Key, since: float) -> Verdict[Any]:
        """Ask the proxy, unless its circuit is open."""
        mark, base, name, _ = key
        permit = self._breaker.acquire(base, mark)
        if isinstance(permit, int):
            self.stats.refused += 1
            return Unavailable("the circuit is open after repeated failures", retry_after=permit)
        answered = None
        try:
            verdict: Verdict[Any]
            if name:
                verdict = await proxy.test_permission(base, token, name, since=since)
            else:
                verdict = await proxy.get_me(base, token, since=since)
            answered = _is_answer(verdict)
        finally:
            backoff = self._breaker.record(permit, answered=answered)
        self._note(verdict, "test-app-permission" if name else "get-me", base)
        if backoff:
            _log.warning(_CIRCUIT_OPENED, base, backoff)
        return verdict

    def _note(self, verdict: Verdict[Any], endpoint: str, base: str) -> None:
        """Count an answer of the proxy, and log why if it was none."""
        if isinstance(verdict, Accepted):
            self.stats.accepted += 1
            self.proven.add(base)
        elif isinstance(verdict, Rejected):
            self.stats.rejected += 1
        else:
            self.stats.unavailable += 1
            said = "Auth proxy unavailable: %s at %s: %s"
            _log.log(verdict.log_level, said, endpoint, base, verdict.reason)


def _is_answer(verdict: Verdict[Any]) -> bool | None:
    """Tell whether the proxy can be reached; None: this verdict says nothing about that."""
    if not isinstance(verdict, Unavailable):
        return True
    if verdict.is_outage:
        return False
    return None if verdict.timed_out else True


@cache
def warn_of_dev_mode() -> None:
    _log.warning(
        "OXAIGEN_AUTH_DEV_MODE is on: the auth proxy is the development one at "
        "OXAIGEN_AUTH_DEV_PROXY_URL, where a mock vouches for tokens. Never use it in production."
    )
