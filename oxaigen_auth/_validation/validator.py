"""Turns a question into a verdict: from the cache, from a running lookup, or from the proxy.

cached      the verdict in the store, or None; does not wait
validate    joins the running lookup of the question, or starts one
_look_up    the lookup itself, run once for all waiting callers: store, circuit breaker, proxy
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, inf, nextafter
from typing import Any

from anyio import CancelScope, current_time
from attrs import define, field

from oxaigen_auth._core.circuit_breaker import THRESHOLD, CircuitBreaker
from oxaigen_auth._core.flight import Flight, FlightCancelledError, FlightError, FlightTimeoutError
from oxaigen_auth._core.rate_limit import RateLimit
from oxaigen_auth._core.recent_set import RecentSet
from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._syntax.jwt import expiry
from oxaigen_auth._syntax.tokens import is_token
from oxaigen_auth._validation.loop_state import LoopState, LoopStates, Upstream, client_closed
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import FlightKey, Question, Secret
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable, Verdict, has_answered
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.settings import OxaigenAuthSettings

MAX_PROVEN = 256  # base URLs that recently accepted a token
_NO_TOKEN = Rejected("Invalid token")


@define(eq=False, repr=False)
class Validator:
    """Answers the questions of one client, on all its event loops.

    Args:
        clock: returns seconds, for the circuit breaker and the rate limit.
        store: the cached verdicts, shared by all event loops.
        open_upstream: opens the connections of one event loop.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    store: VerdictStore
    open_upstream: Callable[[], Upstream]
    observer: Observer
    loops: LoopStates = field(init=False)
    _refreshes_ahead: bool = field(init=False)
    _breaker: CircuitBreaker = field(init=False)
    _rate_limit: RateLimit = field(init=False)
    _proven: RecentSet[str] = field(factory=lambda: RecentSet(MAX_PROVEN), init=False)
    _last_asked: float = field(default=-inf, init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        threshold = THRESHOLD if settings.breaker else inf
        self.loops = LoopStates(self._new_state)
        self._refreshes_ahead = settings.refresh_ahead_seconds > 0
        self._breaker = CircuitBreaker(self.clock, settings.breaker_max_backoff_seconds, threshold)
        self._rate_limit = RateLimit(settings.max_rejected_per_minute, self.clock)

    def cached(self, question: Question, token: str) -> Verdict[Any] | None:
        """Return the cached verdict, or None if `validate` must be called.

        Ask for a permission only after the user has been identified.
        """
        if self.loops.closed:
            raise client_closed()
        verdict = self.store.get(question)
        if verdict is not None:
            self.observer.on_hit(question)
            if self._refreshes_ahead and isinstance(verdict, Accepted):
                self._refresh(question, Secret(token))
        return verdict

    async def validate(
        self, question: Question, token: str, *, fresh: bool = False
    ) -> Verdict[Any]:
        """Return the verdict of a lookup, which all callers with the same question share.

        With `fresh`, the lookup starts after this call.

        Thousands of callers may wait here, and the garbage collector visits all that they hold. So
        each has one coroutine only, and no callable if it joins a lookup.
        """
        if self.loops.closed:
            raise client_closed()
        token = secret = Secret(token)
        if not is_token(secret):
            return _NO_TOKEN
        self.observer.on_miss(question)
        called_at = current_time()
        state = self.loops.current() or await self.loops.open()
        flight: Flight[Verdict[Any]] | None = None
        is_cancelled = False  # by other code than this caller
        verdict: Verdict[Any]
        self.store.begin(question)
        try:
            key = self.store.flight_key(question)
            try:
                flight = state.flights.join(key, fresh=fresh)
                if flight is None:
                    look_up = partial(self._look_up, state.upstream, secret, key)
                    verdict = await state.flights.run(key, look_up, fresh=fresh)
                else:
                    verdict = await flight.wait()
            except FlightError as error:
                verdict = Unavailable(str(error), timed_out=isinstance(error, FlightTimeoutError))
                is_cancelled = isinstance(error, FlightCancelledError) and not self.loops.closed
            is_older = flight is not None and flight.started_at < called_at
            if is_cancelled or self._must_retry(verdict, key, is_older=is_older):
                deadline = called_at + self.settings.proxy_timeout_seconds
                verdict = await self._retry(question, secret, deadline, fresh=fresh)
        finally:
            self.store.end(question)
        if isinstance(verdict, Unavailable) and not fresh:
            return self._stale(question) or verdict
        return verdict

    def _must_retry(self, verdict: Verdict[Any], key: FlightKey, *, is_older: bool) -> bool:
        """Return whether the verdict does not count for the caller, which must ask again.

        Either the token was forgotten or rejected meanwhile, or the caller joined an older lookup
        that timed out.
        """
        if isinstance(verdict, Accepted):
            return self.store.is_outdated(key, verdict)
        return is_older and isinstance(verdict, Unavailable) and verdict.timed_out

    async def _retry(
        self, question: Question, secret: Secret, deadline: float, *, fresh: bool
    ) -> Verdict[Any]:
        """Ask again until `deadline`, as often as the token is forgotten meanwhile."""
        with CancelScope(deadline=deadline):
            while not self.loops.closed:
                key = self.store.flight_key(question)
                verdict = None if fresh else self.store.get(question)
                if verdict is not None:
                    return verdict
                self.observer.on_miss(question)
                state = self.loops.current() or await self.loops.open()
                look_up = partial(self._look_up, state.upstream, secret, key)
                try:
                    verdict = await state.flights.run(key, look_up, fresh=fresh)
                except FlightError as error:
                    return Unavailable(str(error))
                if not self._must_retry(verdict, key, is_older=False):
                    return verdict
        if self.loops.closed:
            return Unavailable("the client was closed", timed_out=True)
        return Unavailable("the lookup was repeated until its deadline", timed_out=True)

    async def _look_up(
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
            self.observer.on_lookup(question)
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
            return Unavailable("the circuit is open after repeated failures", retry_after=permit)
        answered = None
        try:
            verdict = await upstream.ask(question, secret, since=since)
            answered = has_answered(verdict)
        finally:
            backoff = self._breaker.record(permit, answered=answered)
        if isinstance(verdict, Accepted):
            self._proven.add(question.base_url)
        self.observer.on_verdict(question, verdict)
        if backoff:
            self.observer.on_circuit_open(question.base_url, backoff)
        return verdict

    def _now(self) -> float:
        """Read the clock. Readings only increase, so the newer of two lookups is always known."""
        self._last_asked = max(self.clock(), nextafter(self._last_asked, inf))
        return self._last_asked

    def _stale(self, question: Question) -> Verdict[Any] | None:
        if not self.settings.stale_if_error_seconds:
            return None
        verdict = self.store.get_stale(question)
        if verdict is not None:
            self.observer.on_stale(question)
        return verdict

    def _refresh(self, question: Question, secret: Secret) -> None:
        """Start a lookup before the TTL of a cached verdict ends, unless one is running."""
        state = self.loops.current()
        if state is None or not self.store.should_refresh(question):
            return
        key = self.store.flight_key(question)
        if state.flights.start(key, partial(self._look_up, state.upstream, secret, key)):
            self.observer.on_refresh(question)

    def is_rate_limited(self, address: str) -> int:
        """Return for how many seconds an address is limited; 0 if it is not."""
        seconds = ceil(self._rate_limit.retry_after(address))
        if seconds:
            self.observer.on_rate_limited()
        return seconds

    def record_rejection(self, address: str, question: Question) -> None:
        """Count a token of this address that the proxy rejected."""
        self._rate_limit.record(address, question.fingerprint)

    def _new_state(self) -> LoopState:
        settings = self.settings
        flights: SingleFlight[Verdict[Any]] = SingleFlight(
            on_join=self.observer.on_coalesced,
            on_timeout=lambda key: self.observer.on_queue_timeout(key.question),
            capacity=settings.max_connections,
            max_wait=settings.proxy_timeout_seconds,
            share_of=lambda key: key.question.base_url,
            proven=self._proven,
        )
        return LoopState(self.open_upstream(), flights)
