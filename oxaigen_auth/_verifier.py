"""Who the bearer of a token is: memory → flight → proxy, as a verdict. Knows no web framework."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import RunVar
from attrs import define, field

from oxaigen_auth._core.singleflight import FlightLostError, SingleFlight
from oxaigen_auth._core.throttle import Throttle
from oxaigen_auth._lookup import Lookups
from oxaigen_auth._loop import LoopState
from oxaigen_auth._memory import Memory
from oxaigen_auth._proxy import Proxy
from oxaigen_auth._stats import ClientStats
from oxaigen_auth._syntax import is_token
from oxaigen_auth.verdict import Accepted, Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable
    from ssl import SSLContext

    from oxaigen_auth.settings import OxaigenAuthSettings
    from oxaigen_auth.verdict import Verdict

_log = logging.getLogger("oxaigen_auth")

_NO_TOKEN = Rejected("Invalid token")


@define(eq=False, repr=False)
class Verifier:
    """What a client knows and does; the client says it in its users' words.

    Serves several event loops: what is remembered is shared, connections and flights are not. A
    base URL ends without a slash, and `mark` is always the token's fingerprint.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    ssl_context: SSLContext | None
    memory: Memory = field(init=False)
    stats: ClientStats = field(factory=ClientStats, init=False)
    closed: bool = field(default=False, init=False)
    _lookups: Lookups = field(init=False)
    _throttle: Throttle = field(init=False)
    _ahead: float = field(init=False)
    _silent_until: float = field(default=-inf, init=False)
    _here: RunVar[LoopState | None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.memory = Memory(self.settings, self.clock)
        self._lookups = Lookups(self.settings, self.clock, self.memory, self.stats)
        self._throttle = Throttle(self.settings.max_rejected_per_minute, self.clock)
        self._ahead = self.settings.refresh_ahead_seconds
        self._here = RunVar("oxaigen_auth.here", None)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run this loop's lookups in a task group of the block, and end them with it.

        For frameworks, whose servers start and stop: the client can be used again afterwards.
        """
        self._check_open()
        here = self._here.get() or await self._start_here()
        if here.flights.task_group is not None:
            yield
            return
        async with here.open():
            try:
                yield
            finally:
                await self._leave_loop()  # noqa: ASYNC102 (shielded and bounded where it waits)

    async def aclose(self) -> None:
        """End this loop's lookups and connections; every later call raises `RuntimeError`."""
        self.closed = True
        await self._leave_loop()

    def recall(self, token: str, mark: bytes, base: str, *name: str) -> Verdict[Any] | None:
        """Return what is known of a user, or of a permission of theirs; None: `learn` it.

        Of a permission only that of a user who has just been identified.
        """
        self._check_open()
        key = self.memory.key(mark, base, *name)
        verdict = self.memory.grant(key) if name else self.memory.user(key)
        if verdict is not None:
            self.stats.hits += 1
            if self._ahead and isinstance(verdict, Accepted):
                self._refresh(token, key, base, *name)
        return verdict

    async def learn(
        self, token: str, mark: bytes, base: str, *name: str, fresh: bool = False
    ) -> Verdict[Any]:
        """Ask the proxy, together with whoever asks the same; what is remembered is no help.

        A caller holds as little as may be while it waits, since the garbage collector goes through
        it all again and again: this one coroutine, and no callable where it joins a lookup.
        """
        self._check_open()
        if not is_token(token):
            return _NO_TOKEN
        self.stats.misses += 1
        here = self._here.get() or await self._start_here()
        key = self.memory.key(mark, base, *name)
        verdict: Verdict[Any]
        try:
            flight = here.flights.joinable(key, fresh=fresh)
            if flight is None:
                look_up = self._lookup(here, base, token, *name)
                verdict = await here.flights.run(key, look_up, fresh=fresh)
            else:
                verdict = await flight.wait()
        except FlightLostError as error:
            verdict = Unavailable(str(error))
        now = self.memory.key(mark, base, *name)
        if isinstance(verdict, Accepted) and now != key:
            return await self.learn(token, mark, base, *name, fresh=fresh)  # forgotten meanwhile
        if isinstance(verdict, Unavailable) and not fresh:
            return self._stale(now, base, *name) or verdict
        return verdict

    def shuts_out(self, address: str) -> bool:
        """Tell whether so many bad tokens came from an address that it gets no lookup for now."""
        shut = self._throttle.is_shut(address)
        self.stats.throttled += shut
        return shut

    def note_bad_token(self, address: str, mark: bytes) -> None:
        """Count a token that the proxy turned down, and that came from this address."""
        self._throttle.note(address, mark)

    def _lookup(self, here: LoopState, base: str, token: str, *name: str) -> Callable[..., Any]:
        ask: Callable[..., Any] = self._lookups.permission if name else self._lookups.user
        return partial(ask, here.proxy, base, token, *name)

    def _stale(self, key: Hashable, base: str, *name: str) -> Verdict[Any] | None:
        """Return what the proxy, which cannot be asked, said not too long ago."""
        if not self.settings.stale_if_error_seconds:
            return None
        verdict = self.memory.stale(key, *name)
        if verdict is not None:
            self.stats.stale += 1
            self._say_stale(base)
        return verdict

    def _say_stale(self, base: str) -> None:
        """Log it once a second at most: every request of an outage comes by."""
        now = self.clock()
        if now >= self._silent_until:
            self._silent_until = now + 1
            said = "Auth proxy %s unavailable: answered from memory, past its time (%d so far)"
            _log.warning(said, base, self.stats.stale)

    def _refresh(self, token: str, key: Hashable, base: str, *name: str) -> None:
        """Start a lookup for what was just served and ends soon, unless one is under way."""
        here = self._here.get()
        if here is None or not self.memory.is_due(key, *name):
            return
        if here.flights.start(key, self._lookup(here, base, token, *name)):
            self.stats.refreshed += 1

    def _check_open(self) -> None:
        if self.closed:
            raise RuntimeError("This ProxyAuthClient is closed; make a new one.")

    async def _start_here(self) -> LoopState:
        """Make what belongs to this event loop. Does not yield to it."""
        at_once = self.settings.max_connections
        proxy = Proxy(
            self.settings.proxy_timeout_seconds,
            at_once,
            self.ssl_context,
            self._count_call,
            refuse_mock=self.settings.is_production,
        )
        here = LoopState(proxy, SingleFlight(on_join=self._count_join, max_pilots=at_once))
        self._here.set(here)
        await here.start()
        return here

    async def _leave_loop(self) -> None:
        here = self._here.get()
        if here is not None:
            self._here.set(None)
            await here.aclose()

    def _count_call(self) -> None:
        self.stats.upstream_calls += 1

    def _count_join(self) -> None:
        self.stats.joined += 1
