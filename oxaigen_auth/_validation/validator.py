"""Turns a question into a verdict: from the cache, from a running lookup, or from the proxy.

cached      the verdict in the store, or None; does not wait
validate    joins the running lookup of the question, or starts one
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, current_time
from attrs import define, field

from oxaigen_auth._core.fingerprint import fingerprint as process_fingerprint
from oxaigen_auth._core.flight import Flight, FlightCancelledError, FlightError
from oxaigen_auth._core.rate_limit import RateLimit
from oxaigen_auth._syntax.tokens import is_token
from oxaigen_auth._validation.flights import new_flights, unavailable_after
from oxaigen_auth._validation.lookups import Lookups
from oxaigen_auth._validation.loop_state import LoopState, LoopStates, Upstream, client_closed
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.pings import Pings
from oxaigen_auth._validation.question import FlightKey, Question, Secret
from oxaigen_auth._validation.verdict import (
    UNCONFIRMED,
    Accepted,
    Rejected,
    Unavailable,
    Verdict,
    refusal_reason,
)
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.settings import OxaigenAuthSettings

if TYPE_CHECKING:
    from oxaigen_auth._validation.shared_verdicts import SharedVerdicts

_NO_TOKEN = Rejected("Invalid token", reason="malformed_token")


@define(eq=False, repr=False)
class Validator:
    """Answers the questions of one client, on all its event loops.

    Args:
        clock: returns seconds, for the lookups and the rate limit.
        store: the cached verdicts, shared by all event loops.
        open_upstream: opens the connections of one event loop.
        shared: what this process shares with others, or None.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    store: VerdictStore
    open_upstream: Callable[[], Upstream]
    observer: Observer
    shared: SharedVerdicts | None = None
    loops: LoopStates = field(init=False)
    pings: Pings = field(init=False)
    _refreshes_ahead: bool = field(init=False)
    _lookups: Lookups = field(init=False)
    _rate_limit: RateLimit = field(init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        shared = None if self.shared is None else self.shared.store
        self.loops = LoopStates(self._new_state, self.store.watches.close, shared)
        self._refreshes_ahead = settings.refresh_ahead_seconds > 0
        self._lookups = Lookups(settings, self.clock, self.store, self.observer, self.shared)
        timeout, proven = settings.proxy_timeout_seconds, self._lookups.proven
        self.pings = Pings(self.loops, self.observer, self.clock, timeout, proven)
        self._rate_limit = RateLimit(settings.max_rejected_per_minute, self.clock)

    def cached(self, question: Question, token: str) -> Verdict[Any] | None:
        """Return the cached verdict, or None if `validate` must be called. Works in any thread.

        Ask for a permission only after the user has been identified.
        """
        if self.loops.closed:
            raise client_closed()
        verdict = self.store.get(question)
        if verdict is not None:
            self.observer.on_hit(question, verdict)
            if not isinstance(verdict, Accepted):
                self.report_refusal(question, verdict)
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
            self.report_refusal(question, _NO_TOKEN)
            return _NO_TOKEN
        called_at = current_time()
        state = self.loops.current() or await self.loops.open()
        flight: Flight[Verdict[Any]] | None = None
        is_cancelled = False  # by other code than this caller
        verdict: Verdict[Any]
        result: Verdict[Any] | None = None  # None if the caller is cancelled
        self.observer.on_miss(question)
        self.store.begin(question)
        try:
            key = self.store.flight_key(question)
            try:
                flight = state.flights.join(key, fresh=fresh)
                if flight is None:
                    look_up = partial(self._lookups.run, state.upstream, secret, key)
                    verdict = await state.flights.run(key, look_up, fresh=fresh)
                else:
                    verdict = await flight.wait()
            except FlightError as error:
                verdict = unavailable_after(error, closed=self.loops.closed)
                is_cancelled = isinstance(error, FlightCancelledError) and not self.loops.closed
            is_older = flight is not None and flight.started_at < called_at
            if is_cancelled or self._must_retry(verdict, key, is_older=is_older):
                deadline = called_at + self.settings.proxy_timeout_seconds
                verdict = await self._retry(question, secret, deadline, fresh=fresh)
            verdict = result = self._result(question, verdict, fresh=fresh)
        finally:
            self.store.end(question)
            self.observer.on_result(question, result)
        if not question.permission:
            self.report_refusal(question, verdict)
        return verdict

    def _result(self, question: Question, verdict: Verdict[Any], *, fresh: bool) -> Verdict[Any]:
        """Return the verdict, or a stale one if the proxy is unavailable."""
        if not isinstance(verdict, Unavailable) or fresh:
            return verdict
        stale = self.store.get_stale(question)
        if stale is not None:
            self.observer.on_stale(question)
        return stale or verdict

    def report_refusal(self, question: Question, verdict: Verdict[Any]) -> None:
        """Notify the observers of a caller who does not get what was asked for, if so.

        Called here if the question is who the caller is. Whoever asks for permissions calls it, as
        a caller may need only one of several.
        """
        reason = refusal_reason(verdict)
        if reason is not None:
            self.observer.on_refusal(question, reason)

    def _must_retry(self, verdict: Verdict[Any], key: FlightKey, *, is_older: bool) -> bool:
        """Return whether the verdict does not count for the caller, which must ask again.

        Either the token was forgotten or rejected meanwhile, or the caller joined an older lookup
        that timed out, or during which the token may have been forgotten before the caller asked.
        """
        if isinstance(verdict, Accepted):
            is_unconfirmed = is_older and verdict.stamp == UNCONFIRMED
            return is_unconfirmed or self.store.is_outdated(key, verdict)
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
                self.observer.on_retry(question)
                state = self.loops.current() or await self.loops.open()
                look_up = partial(self._lookups.run, state.upstream, secret, key)
                try:
                    verdict = await state.flights.run(key, look_up, fresh=fresh)
                except FlightError as error:
                    return unavailable_after(error, closed=self.loops.closed)
                if not self._must_retry(verdict, key, is_older=False):
                    return verdict
        if self.loops.closed:
            return Unavailable("the client was closed", timed_out=True, reason="client_closed")
        return Unavailable(
            "the lookup was repeated until its deadline", timed_out=True, reason="timeout"
        )

    def _refresh(self, question: Question, secret: Secret) -> None:
        """Start a lookup before the TTL of a cached verdict ends, unless one is running."""
        if self.store.should_refresh(question):
            self.loops.call(partial(self._start_refresh, question, secret))

    def _start_refresh(self, question: Question, secret: Secret) -> None:
        state, key = self.loops.current(), self.store.flight_key(question)
        if state is None or not self.store.should_refresh(question):
            return
        key = self.store.flight_key(question)
        look_up = partial(self._lookups.run, state.upstream, secret, key, refresh=True)
        state.flights.start(key, look_up)

    @property
    def fingerprint(self) -> Callable[[str], bytes]:
        """Return a function that returns the fingerprint of a token."""
        return process_fingerprint if self.shared is None else self.shared.fingerprint

    def forget(self, token: str) -> None:
        """Forget a token, in all processes."""
        self.observer.on_forget()
        self.store.forget(self.fingerprint(token))
        if self.shared is not None:
            self.shared.forget(token)

    def forget_user(self, base_url: str, user_id: int) -> None:
        """Forget all tokens of a user at one proxy, in all processes."""
        self.observer.on_forget()
        self.store.forget_users(lambda base, user: base == base_url and user.id == user_id)
        if self.shared is not None:
            self.shared.forget_user(base_url, user_id)

    def forget_all(self) -> None:
        """Forget all tokens, in all processes."""
        self.observer.on_forget()
        self.store.forget_all()
        if self.shared is not None:
            self.shared.forget_all()

    def is_rate_limited(self, address: str) -> int:
        """Return for how many seconds an address is limited; 0 if it is not."""
        seconds = ceil(self._rate_limit.retry_after(address))
        if seconds:
            self.observer.on_refusal(None, "rate_limited")
        return seconds

    def record_rejection(self, address: str, question: Question) -> None:
        """Count a token of this address that the proxy rejected."""
        self._rate_limit.record(address, question.fingerprint)

    def _new_state(self) -> LoopState:
        flights = new_flights(self.settings, self.observer, self._lookups.proven)
        shared = None if self.shared is None else self.shared.open()
        return LoopState(self.open_upstream(), flights, self.pings.new_flights(), shared)
