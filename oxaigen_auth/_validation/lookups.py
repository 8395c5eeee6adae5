"""The lookup of a question, run once for all callers that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nextafter
from typing import Any

from attrs import define, field

from oxaigen_auth._core.circuit_breaker import THRESHOLD, CircuitBreaker
from oxaigen_auth._core.flight import Flight
from oxaigen_auth._core.recent_set import RecentSet
from oxaigen_auth._syntax.jwt import expiry
from oxaigen_auth._validation.loop_state import Upstream
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import FlightKey, Question, Secret
from oxaigen_auth._validation.verdict import Accepted, Unavailable, Verdict, has_answered
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.settings import OxaigenAuthSettings

MAX_PROVEN = 256  # base URLs


@define(eq=False)
class Lookups:
    """Asks the store, the circuit breaker and the proxy, in this order.

    Args:
        clock: returns seconds, for the circuit breaker and the age of verdicts.
        proven: the base URLs that recently accepted a token.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    store: VerdictStore
    observer: Observer
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
    ) -> Verdict[Any]:
        """Ask the proxy and store the verdict, unless another event loop has stored one."""
        question = asked_for.question
        self.store.begin(question)
        try:
            key = self.store.flight_key(question)  # another one, if the token was forgotten
            cached = None if flight.fresh else self.store.get(question)
            if cached is not None:
                return cached
            self.observer.on_lookup(question, flight)
            asked = self._now()
            verdict = await self._ask(upstream, question, secret, flight.started_at)
            exp = expiry(secret) if isinstance(verdict, Accepted) else None
            return self.store.put(key, verdict, asked, exp)
        finally:
            self.store.end(question)

    async def _ask(
        self, upstream: Upstream, question: Question, secret: Secret, since: float
    ) -> Verdict[Any]:
        """Ask the proxy, unless its circuit is open."""
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
        elif backoff is not None:
            self.observer.on_circuit_closed(question.base_url)
        return verdict

    def _now(self) -> float:
        """Read the clock. Readings only increase, so the newer of two lookups is always known."""
        self._last_asked = max(self.clock(), nextafter(self._last_asked, inf))
        return self._last_asked
