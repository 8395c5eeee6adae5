"""Whether a proxy answers at all, for readiness probes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from functools import partial

from attrs import define, field

from oxaigen_auth._core.cache import Cache
from oxaigen_auth._core.flight import Flight, FlightError
from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._validation.loop_state import LoopStates, Upstream, client_closed
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Question, Secret
from oxaigen_auth._validation.verdict import Unavailable, has_answered

PING_TTL = 1.0  # seconds
MAX_PINGED = 256  # proxies whose answer is cached
MAX_PINGS = 4  # requests at once, in one event loop
_NO_TURN = Unavailable("too many other pings were waiting", timed_out=True, reason="overloaded")


@define(eq=False)
class Pings:
    """Sends requests without a token, apart from lookups.

    A ping takes no slot of theirs, so a flood of lookups does not delay it. It neither passes nor
    affects the circuit breaker: it shows whether the proxy answers now. Concurrent pings of one
    proxy in one event loop share a request. Proxies that have given an accepted answer get their
    turn before the others, so that many pings of hosts that hang do not delay theirs for long.

    Args:
        timeout: for how many seconds a ping waits for its turn and for the answer.
        proven: the base URLs of proxies that have given an accepted answer.
    """

    loops: LoopStates
    observer: Observer
    clock: Callable[[], float]
    timeout: float
    proven: Container[str]
    _answered: Cache[bool] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._answered = Cache(MAX_PINGED, PING_TTL, self.clock)

    async def ping(self, question: Question) -> bool:
        """Return whether a proxy answers; `question` is one about an empty token."""
        if self.loops.closed:
            raise client_closed()
        cached = self._answered.get(question)
        if cached is not None:
            return cached
        state = self.loops.current() or await self.loops.open()
        try:
            return await state.pings.run(question, partial(self._ask, state.upstream, question))
        except FlightError:
            if self.loops.closed:
                raise client_closed() from None
            return False

    def new_flights(self) -> SingleFlight[bool]:
        """Return the table of one event loop's pings, each of which its first caller owns."""
        return SingleFlight(
            capacity=MAX_PINGS,
            max_wait=self.timeout,
            share_of=lambda question: question.base_url,
            proven=self.proven,
            on_timeout=lambda question: self.observer.on_ping_failed(question, _NO_TURN),
        )

    async def _ask(self, upstream: Upstream, question: Question, flight: Flight[bool]) -> bool:
        verdict = await upstream.ask(question, Secret(""), since=flight.started_at)
        answered = True
        if isinstance(verdict, Unavailable) and not _is_answer(verdict):
            answered = False
            self.observer.on_ping_failed(question, verdict)
            if verdict.timed_out and not verdict.is_outage:  # it waited too long for its turn
                return False
        # From now on, so that a timeout is cached too.
        self._answered.put(question, answered, stored_at=self.clock())
        return answered


def _is_answer(verdict: Unavailable) -> bool:
    """Return whether the proxy answered. A mock in production is no proxy: that is an error."""
    return has_answered(verdict) is True and verdict.log_level < logging.ERROR
