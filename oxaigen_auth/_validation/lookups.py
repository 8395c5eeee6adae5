"""The lookup of a question, run once for all callers that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, nextafter
from typing import TYPE_CHECKING, Any

from attrs import define, field

from oxaigen_auth._core.circuit_breaker import THRESHOLD, CircuitBreaker
from oxaigen_auth._core.flight import Flight
from oxaigen_auth._core.recent_set import RecentSet
from oxaigen_auth._syntax.jwt import expiry
from oxaigen_auth._validation.loop_state import Upstream
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import FlightKey, Question, Secret
from oxaigen_auth._validation.verdict import (
    UNCONFIRMED,
    Accepted,
    Unavailable,
    Verdict,
    has_answered,
)
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.settings import OxaigenAuthSettings

if TYPE_CHECKING:
    from oxaigen_auth._validation.shared_lookup import Ask
    from oxaigen_auth._validation.shared_verdicts import SharedVerdicts

MAX_PROVEN = 256  # base URLs


@define(eq=False)
class Lookups:
    """Asks the store, the shared store, the circuit breaker and the proxy, in this order.

    Args:
        clock: returns seconds, for the circuit breaker and the age of verdicts.
        proven: the base URLs that recently accepted a token.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    store: VerdictStore
    observer: Observer
    shared: SharedVerdicts | None = None
    proven: RecentSet[str] = field(factory=lambda: RecentSet(MAX_PROVEN), init=False)
    _breaker: CircuitBreaker = field(init=False)
    _last_asked: float = field(default=-inf, init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        threshold = THRESHOLD if settings.breaker else inf
        self._breaker = CircuitBreaker(self.clock, settings.breaker_max_backoff_seconds, threshold)

    async def run(
        self,
        upstream: Upstream,
        secret: Secret,
        asked_for: FlightKey,
        flight: Flight[Verdict[Any]],
        *,
        refresh: bool = False,
    ) -> Verdict[Any]:
        """Ask the proxy and store the verdict, unless another event loop has stored one.

        With `refresh`, a verdict that is to be refreshed is not used.
        """
        question = asked_for.question
        self.store.begin(question)
        try:
            key = self.store.flight_key(question)  # another one, if the token was forgotten
            cached = None if flight.fresh or refresh else self.store.get(question)
            if cached is not None:
                return cached
            ask = partial(self._ask_now, upstream, question, secret, flight)
            if self.shared is None:
                since = self.store.forgotten_users.count
                verdict, asked = await ask()
                return self._keep(key, secret, verdict, asked, since)
            max_age = self._max_age(fresh=flight.fresh, refresh=refresh)
            return await self._share(self.shared, key, secret, ask, max_age)
        finally:
            self.store.end(question)

    def _max_age(self, *, fresh: bool, refresh: bool) -> float:
        """Return how old a shared verdict may be, in seconds."""
        ttl, ahead = self.settings.cache_ttl_seconds, self.settings.refresh_ahead_seconds
        return 0.0 if fresh else max(ttl - ahead, 0.0) if refresh else ttl

    async def _share(
        self, shared: SharedVerdicts, key: FlightKey, secret: Secret, ask: Ask, max_age: float
    ) -> Verdict[Any]:
        """Return a shared verdict, or ask the proxy and share its verdict."""
        since = self.store.forgotten_users.count
        answer = await shared.look_up(key.question, secret, ask, max_age=max_age)
        stale = answer.stale
        if stale is not None:
            self._keep(key, secret, stale.verdict, stale.asked, since, stale.stamp)
        if answer.is_confirmed:
            return self._keep(key, secret, answer.verdict, answer.asked, since, answer.stamp)
        if isinstance(answer.verdict, Accepted):
            return Accepted(answer.verdict.value, answer.asked, UNCONFIRMED)
        return answer.verdict

    def _keep(  # noqa: PLR0913, PLR0917 (what a cached verdict depends on)
        self,
        key: FlightKey,
        secret: Secret,
        verdict: Verdict[Any],
        asked: float,
        since: int,
        stamp: int = 0,
    ) -> Verdict[Any]:
        """Cache a verdict. `since`: how many users had been forgotten when the lookup started."""
        self.store.outdate_forgotten(key.question, verdict, since)
        exp = expiry(secret) if isinstance(verdict, Accepted) else None
        return self.store.put(key, verdict, asked, exp, stamp)

    async def _ask_now(
        self,
        upstream: Upstream,
        question: Question,
        secret: Secret,
        flight: Flight[Verdict[Any]],
    ) -> tuple[Verdict[Any], float]:
        """Ask the proxy. Return its verdict, and when it was asked."""
        self.observer.on_lookup(question, flight)
        asked = self._now()
        return await self._ask(upstream, question, secret, flight.started_at), asked

    async def _ask(
        self, upstream: Upstream, question: Question, secret: Secret, since: float
    ) -> Verdict[Any]:
        """Ask the proxy, unless its circuit is open."""
        permit = self._breaker.acquire(question.base_url, question.fingerprint)
        if isinstance(permit, int) and self._has_answered_others(question.base_url):
            permit = self._breaker.acquire(question.base_url, question.fingerprint)
        if isinstance(permit, int):
            self.observer.on_short_circuited(question)
            return Unavailable(
                "the circuit is open after repeated failures", permit, reason="circuit_open"
            )
        answered = None
        try:
            verdict = await upstream.ask(question, secret, since=since)
            answered = has_answered(verdict)
        finally:
            backoff = self._breaker.record(permit, answered=answered)
        if isinstance(verdict, Accepted):
            self.proven.add(question.base_url)
        self.observer.on_verdict(question, verdict)
        if backoff:
            self.observer.on_circuit_open(question.base_url, backoff)
            if self.shared is not None:
                self.shared.on_circuit_open(question.base_url)
        elif backoff is not None:
            self.observer.on_circuit_closed(question.base_url)
            if self.shared is not None:
                self.shared.on_circuit_closed(question.base_url)
        return verdict

    def _has_answered_others(self, base_url: str) -> bool:
        """Close the circuit of a proxy that has answered another process since it opened."""
        if self.shared is None or not self.shared.has_answered_others(base_url):
            return False
        self._breaker.close(base_url)
        self.observer.on_circuit_closed(base_url)
        return True

    def _now(self) -> float:
        """Read the clock. Readings only increase, so the newer of two lookups is always known."""
        self._last_asked = max(self.clock(), nextafter(self._last_asked, inf))
        return self._last_asked
