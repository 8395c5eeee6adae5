"""Whether a proxy answers at all, for readiness probes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from attrs import define, field

from oxaigen_auth._core.cache import Cache
from oxaigen_auth._core.flight import Flight, FlightError
from oxaigen_auth._validation.loop_state import LoopStates, Upstream, client_closed
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Question, Secret
from oxaigen_auth._validation.verdict import Unavailable, has_answered

PING_TTL = 1.0  # seconds
MAX_PINGED = 256  # proxies whose answer is cached


@define(eq=False)
class Pings:
    """Sends requests without a token, apart from lookups.

    A ping takes no slot of theirs, so a flood of lookups does not delay it. It neither passes nor
    affects the circuit breaker: it shows whether the proxy answers now. Concurrent pings of one
    proxy in one event loop share a request.
    """

    loops: LoopStates
    observer: Observer
    clock: Callable[[], float]
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

    async def _ask(self, upstream: Upstream, question: Question, _: Flight[bool]) -> bool:
        verdict = await upstream.ask(question, Secret(""))
        answered = True
        if isinstance(verdict, Unavailable) and not _is_answer(verdict):
            answered = False
            self.observer.on_ping_failed(question, verdict)
        # From now on, so that a timeout is cached too.
        self._answered.put(question, answered, stored_at=self.clock())
        return answered


def _is_answer(verdict: Unavailable) -> bool:
    """Return whether the proxy answered. A mock in production is no proxy: that is an error."""
    return has_answered(verdict) is True and verdict.log_level < logging.ERROR
