"""Who the bearer of a token is: memory → flight → proxy, as a verdict. Knows no web framework."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from functools import partial
from math import ceil, inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, current_time
from attrs import define, field

from oxaigen_auth._core.background import has_ended, running_loop
from oxaigen_auth._core.rate_limit import Throttle
from oxaigen_auth._core.singleflight import (
    FlightCancelledError,
    FlightExpiredError,
    FlightLostError,
    SingleFlight,
)
from oxaigen_auth._syntax.tokens import is_token
from oxaigen_auth._upstream.proxy import Proxy, load_certificates
from oxaigen_auth._validation.lookup import Lookups
from oxaigen_auth._validation.loop_state import LoopState
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable
from oxaigen_auth._validation.verdict_store import BASE, Memory
from oxaigen_auth.stats import ClientStats

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable
    from ssl import SSLContext

    from oxaigen_auth._core.singleflight import Flight
    from oxaigen_auth._validation.verdict import Verdict
    from oxaigen_auth._validation.verdict_store import Key, Question
    from oxaigen_auth.settings import OxaigenAuthSettings

_log = logging.getLogger("oxaigen_auth")

_NO_TOKEN = Rejected("Invalid token")
_REPEATED = "the lookup was repeated until its deadline"
_NO_TURN = (
    "A lookup got no turn within %g s: too many wait for the auth proxy %s, or for all proxies; it "
    "is slow, or OXAIGEN_AUTH_MAX_CONNECTIONS is too low"
)


@define(eq=False, repr=False)
class Verifier:
    """What a client knows and does; the client says it in its users' words.

    Serves several event loops: what is remembered is shared, connections and flights are not. A
    base URL ends without a slash, and `mark` is always the token's fingerprint.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    ssl_context: SSLContext | None
    wall_clock: Callable[[], float] = time.time
    memory: Memory = field(init=False)
    stats: ClientStats = field(factory=ClientStats, init=False)
    closed: bool = field(default=False, init=False)
    _closing: bool = field(default=False, init=False)
    _lookups: Lookups = field(init=False)
    _throttle: Throttle = field(init=False)
    _ahead: float = field(init=False)
    _silent_until: float = field(default=-inf, init=False)
    _states: dict[Hashable, LoopState] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.memory = Memory(self.settings, self.clock, self.wall_clock)
        self._lookups = Lookups(self.settings, self.clock, self.memory, self.stats)
        self._throttle = Throttle(self.settings.max_rejected_per_minute, self.clock)
        self._ahead = self.settings.refresh_ahead_seconds

    @asynccontextmanager
    async def running(self, *, last_closes: bool = False) -> AsyncGenerator[None]:
        """Run this loop's lookups in a task group while any such block on this loop lasts.

        The last block to end also ends the lookups and connections. If `last_closes` is set for any
        of them, it closes the client as well; otherwise the client can be used again afterwards, as
        frameworks need it, whose servers start and stop.
        """
        await self.enter(last_closes=last_closes)
        try:
            yield
        finally:
            await self.leave(last_closes=last_closes)  # noqa: ASYNC102 (shielded and bounded)

    async def enter(self, *, last_closes: bool = False) -> None:
        """Begin such a block. `leave` must follow, in any task of this event loop."""
        self._check_open()
        if self.ssl_context is None:
            load_certificates()
        state = self._state() or await self._open_state()
        try:
            await state.enter()
        except BaseException:
            await self.leave(last_closes=last_closes)  # noqa: ASYNC102 (shielded and bounded)
            raise

    async def leave(self, *, last_closes: bool = False) -> None:
        """End such a block. Its state is gone if the client was closed meanwhile."""
        self._closing |= last_closes
        is_last = sum(one.users for one in list(self._states.values())) <= 1
        self.closed |= self._closing and is_last
        state = self._state()
        if state is not None:
            await state.leave()

    async def aclose(self) -> None:
        """End this loop's lookups and connections; every later call raises `RuntimeError`."""
        self.closed = True
        state = self._state()
        if state is not None:
            await state.aclose()

    def recall(self, token: str, mark: bytes, base: str, name: str = "") -> Verdict[Any] | None:
        """Return what is known of a user, or of a permission of theirs; None: `learn` it.

        Of a permission only that of a user who has just been identified.
        """
        self._check_open()
        question = mark, base, name
        verdict = self.memory.recall(question)
        if verdict is not None:
            self.stats.hits += 1
            if self._ahead and isinstance(verdict, Accepted):
                self._refresh(token, question)
        return verdict

    async def learn(
        self, token: str, mark: bytes, base: str, name: str = "", *, fresh: bool = False
    ) -> Verdict[Any]:
        """Ask the proxy, together with whoever asks the same; what is remembered is no help.

        A caller holds as little as may be while it waits, since the garbage collector goes through
        it all again and again: this one coroutine, and no callable where it joins a lookup.
        """
        self._check_open()
        if not is_token(token):
            return _NO_TOKEN
        self.stats.misses += 1
        came = current_time()
        state = self._state() or await self._open_state()
        flight: Flight[Verdict[Any]] | None = None
        is_cancelled = False  # by somebody else
        self.memory.begin(mark, base)
        try:
            key = self.memory.key(mark, base, name)
            verdict: Verdict[Any]
            try:
                flight = state.flights.joinable(key, fresh=fresh)
                if flight is None:
                    look_up = partial(self._lookups.look_up, state.proxy, token, key)
                    verdict = await state.flights.run(key, look_up, fresh=fresh)
                else:
                    verdict = await flight.wait()
            except FlightLostError as error:
                verdict = Unavailable(str(error), timed_out=isinstance(error, FlightExpiredError))
                is_cancelled = isinstance(error, FlightCancelledError) and not self.closed
            is_older = flight is not None and flight.took_off < came
            if is_cancelled or self._is_useless(verdict, key, is_older=is_older):
                until = came + self.settings.proxy_timeout_seconds
                verdict = await self._learn_again(token, (mark, base, name), until, fresh=fresh)
        finally:
            self.memory.end(mark, base)
        if isinstance(verdict, Unavailable) and not fresh:
            return self._stale((mark, base, name)) or verdict
        return verdict

    def _is_useless(self, verdict: Verdict[Any], key: Key, *, is_older: bool) -> bool:
        """Tell whether a caller should ask again: nothing that it did made the verdict useless.

        The token was forgotten or rejected meanwhile, or the caller joined an older lookup, which
        ran out of its time.
        """
        if isinstance(verdict, Accepted):
            return self.memory.is_outdated(key, verdict)
        return is_older and isinstance(verdict, Unavailable) and verdict.timed_out

    async def _learn_again(
        self, token: str, question: Question, until: float, *, fresh: bool
    ) -> Verdict[Any]:
        """Ask once more, and again as long as others forget the token, but not beyond `until`."""
        with CancelScope(deadline=until):
            while not self.closed:
                key = self.memory.key(*question)
                verdict = None if fresh else self.memory.recall(question)
                if verdict is not None:
                    return verdict
                self.stats.misses += 1
                state = self._state() or await self._open_state()
                look_up = partial(self._lookups.look_up, state.proxy, token, key)
                try:
                    verdict = await state.flights.run(key, look_up, fresh=fresh)
                except FlightLostError as error:
                    return Unavailable(str(error))
                if not self._is_useless(verdict, key, is_older=False):
                    return verdict
        reason = "the client was closed" if self.closed else _REPEATED
        return Unavailable(reason, timed_out=True)

    def shuts_out(self, address: str) -> int:
        """Return for how many seconds an address gets no lookup: 0 unless it sent bad tokens."""
        seconds = ceil(self._throttle.shut_for(address))
        self.stats.throttled += seconds > 0
        return seconds

    def note_bad_token(self, address: str, mark: bytes) -> None:
        """Count a token that the proxy turned down, and that came from this address."""
        self._throttle.note(address, mark)

    def _stale(self, question: Question) -> Verdict[Any] | None:
        """Return what the proxy, which cannot be asked, said not too long ago."""
        if not self.settings.stale_if_error_seconds:
            return None
        verdict = self.memory.stale(question)
        if verdict is not None:
            self.stats.stale += 1
            self._say_stale(question)
        return verdict

    def _say_stale(self, question: Question) -> None:
        """Log it once a second at most: every request of an outage comes by."""
        now = self.clock()
        if now >= self._silent_until:
            self._silent_until = now + 1
            said = "Auth proxy %s unavailable: answered from memory, past its time (%d so far)"
            _, base, _ = question
            _log.warning(said, base, self.stats.stale)

    def _refresh(self, token: str, question: Question) -> None:
        """Start a lookup for what was just served and ends soon, unless one is under way."""
        state = self._state()
        if state is None or not self.memory.is_due(question):
            return
        key = self.memory.key(*question)
        look_up = partial(self._lookups.look_up, state.proxy, token, key)
        if state.flights.start(key, look_up):
            self.stats.refreshed += 1

    def _check_open(self) -> None:
        if self.closed:
            raise RuntimeError("This ProxyAuthClient is closed; make a new one.")

    def _state(self) -> LoopState | None:
        return self._states.get(running_loop())

    async def _open_state(self) -> LoopState:
        """Make what belongs to this event loop. Does not yield to it."""
        for loop in [loop for loop in list(self._states) if has_ended(loop)]:
            self._states.pop(loop, None)  # it ended without closing its async generators
        loop, seconds = running_loop(), self.settings.proxy_timeout_seconds
        refuse_mock = self.settings.is_production
        state = LoopState(
            Proxy(seconds, self.ssl_context, self._count_call, refuse_mock=refuse_mock),
            SingleFlight(
                on_join=self._count_join,
                on_expire=self._count_expired,
                capacity=self.settings.max_connections,
                max_wait=seconds,
                share_of=itemgetter(BASE),
                proven=self._lookups.proven,
            ),
            lambda: self._forget_state(loop),
        )
        self._states[loop] = state
        await state.start()
        return state

    def _forget_state(self, loop: Hashable) -> None:
        self._states.pop(loop, None)

    def _count_call(self) -> None:
        self.stats.upstream_calls += 1

    def _count_join(self) -> None:
        self.stats.joined += 1

    def _count_expired(self, key: Key) -> None:
        self.stats.unavailable += 1
        _log.warning(_NO_TURN, self.settings.proxy_timeout_seconds, key[BASE])
