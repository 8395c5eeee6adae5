"""What a flight does: it looks into the memory again, asks the proxy, and keeps what that says."""

from __future__ import annotations

import logging
from functools import cache, partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field

from oxaigen_auth._core.breaker import THRESHOLD, Breaker
from oxaigen_auth._core.fingerprint import fingerprint
from oxaigen_auth.verdict import Accepted, Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from oxaigen_auth._core.singleflight import Flight
    from oxaigen_auth._memory import Memory
    from oxaigen_auth._proxy import Proxy
    from oxaigen_auth._stats import ClientStats
    from oxaigen_auth.models import User
    from oxaigen_auth.settings import OxaigenAuthSettings
    from oxaigen_auth.verdict import Verdict

T = TypeVar("T")

_log = logging.getLogger("oxaigen_auth")


@define(eq=False)
class Lookups:
    """The lookups of one client, on all its event loops; a flight belongs to one, as its proxy."""

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    memory: Memory
    stats: ClientStats
    _breaker: Breaker = field(init=False)

    def __attrs_post_init__(self) -> None:
        threshold = THRESHOLD if self.settings.breaker else inf
        self._breaker = Breaker(self.settings.proxy_timeout_seconds, self.clock, threshold)

    async def user(
        self, proxy: Proxy, base: str, token: str, flight: Flight[Verdict[User]]
    ) -> Verdict[User]:
        known = None if flight.fresh else self.memory.user(flight.key)
        if known is not None:
            return known  # another event loop has learnt it since the caller looked
        if base == self.settings.dev_mode_url:
            warn_of_dev_mode()  # no permission is looked up before its user
        asked = self.clock()
        call = partial(proxy.get_me, base, token, since=flight.took_off)
        verdict = await self._ask("get-me", base, call)
        if self._is_newest(verdict, flight, fingerprint(token), base):
            self.memory.keep_user(flight.key, verdict, asked)
        return verdict

    async def permission(
        self, proxy: Proxy, base: str, token: str, name: str, flight: Flight[Verdict[bool]]
    ) -> Verdict[bool]:
        known = None if flight.fresh else self.memory.grant(flight.key)
        if known is not None:
            return known
        asked = self.clock()
        call = partial(proxy.test_permission, base, token, name, since=flight.took_off)
        verdict = await self._ask("test-app-permission", base, call)
        mark = fingerprint(token)
        if self._is_newest(verdict, flight, mark, base, name):
            self.memory.keep_grant(flight.key, verdict, asked)
            if isinstance(verdict, Rejected):
                self.memory.revoke(mark, base, verdict, asked)
        return verdict

    def _is_newest(
        self, verdict: Verdict[T], flight: Flight[Verdict[T]], mark: bytes, base: str, *name: str
    ) -> bool:
        """Tell whether a verdict may be kept: no newer lookup began, and no one forgot the token.

        If not, a rejection still ends what is remembered. So nobody is let in by an older answer
        while it is being asked again.
        """
        newest = flight.current and flight.key == self.memory.key(mark, base, *name)
        if not newest and isinstance(verdict, Rejected):
            self.memory.forget(mark)
        return newest

    async def _ask(
        self, endpoint: str, base: str, call: Callable[[], Awaitable[Verdict[T]]]
    ) -> Verdict[T]:
        """Ask the proxy, unless it has just failed too often in a row."""
        attempt = self._breaker.begin(base)
        if isinstance(attempt, int):
            self.stats.refused += 1
            return Unavailable("the proxy is left alone for a while", retry_after=attempt)
        answered = None
        try:
            verdict = await call()
            answered = not isinstance(verdict, Unavailable)
        finally:
            pause = self._breaker.end(attempt, answered=answered)
        self._note(verdict, endpoint, base)
        if pause:
            _log.warning("Auth proxy %s fails, and is left alone for %.1f s", base, pause)
        return verdict

    def _note(self, verdict: Verdict[T], endpoint: str, base: str) -> None:
        """Count an answer of the proxy, and log why if it was none."""
        if isinstance(verdict, Accepted):
            self.stats.accepted += 1
        elif isinstance(verdict, Rejected):
            self.stats.rejected += 1
        else:
            self.stats.unavailable += 1
            said = "Auth proxy unavailable: %s at %s: %s"
            _log.log(verdict.log_level, said, endpoint, base, verdict.reason)


@cache
def warn_of_dev_mode() -> None:
    _log.warning(
        "OXAIGEN_AUTH_DEV_MODE is on: the auth proxy is the development one at "
        "OXAIGEN_AUTH_DEV_PROXY_URL, where a mock vouches for tokens. Never use it in production."
    )
