"""One running lookup per key, shared by everyone who asks meanwhile. Knows only anyio.

A flight's life, and who may change it:

    boarding ──its turn──▶ flying ──lookup returns──▶ landed
        └──────────────────────┴──── cancelled ─────▶ lost

    in the table   from take-off until it lands, is lost, or is detached; nobody boards a flight
                   that is not in the table.
    fresh          a caller wants a value newer than its call: the lookup must not use a cache.
    detached       `forget` or a fresh caller took it out of the table; it flies on for those who
                   are aboard.
    abandoned      the last caller left: taken out of the table first, cancelled second.

Invariants, checked by the state machine in the tests after every step:

    one flight per key in the table; a flight in the table has a caller, or was begun by `start`;
    a caller waits only for a flight that is neither landed nor lost; a flight removes only itself
    from the table; at most `capacity` flights have a place, a flight has one only while it runs or
    is about to, and no flight waits that `FairQueue` would let run.

Each state change is synchronous: between two awaits the table and the counts always agree.

Where a flight runs: in `task_group` when there is one. Without a group, the first caller hosts the
flight in a task group of its own, shielded, because structured concurrency lets no task outlive its
parent: that caller, when cancelled while others wait, leaves only when the flight is over. A flight
that waits for its turn has no task in either case: a task would be most of what it costs.

On asyncio anybody may cancel a task natively, also before its first step; then its code never runs,
and its task group is cancelled. So whoever owns the group says when it is over (`close_group`, or
the hosting caller), and each flight of it that has not ended is lost then.
"""

from __future__ import annotations

from collections import OrderedDict
from contextvars import Context
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio import (
    CancelScope,
    Event,
    current_time,
    get_cancelled_exc_class,
    sleep_forever,
    sleep_until,
)
from attrs import define, field

from oxaigen_auth._core.fair_queue import FairQueue
from oxaigen_auth._core.task_groups import quiet_task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Hashable

    from anyio.abc import TaskGroup

V = TypeVar("V")


class FlightLostError(Exception):
    """The flight ended without a value, because its lookup crashed or as its subclasses say.

    Holds no traceback of the lookup, whose frames may know secrets: only the crash's type.
    """


class FlightCancelledError(FlightLostError):
    """The flight was cancelled from outside."""


class FlightExpiredError(FlightLostError):
    """The flight got no turn in time."""


async def _nothing(_: object) -> Any:
    """Be what an ended flight looks up."""


@define(eq=False)
class Flight(Generic[V]):
    """A lookup that runs or waits for its turn, and the number of those who wait for it.

    `took_off` is a reading of the event loop's clock, in seconds. `placed` says whether the flight
    holds a place among those that may run, `watch` is what the task runs in that watches the
    deadline of this one flight while it waits.
    """

    key: Hashable
    share: str
    fresh: bool
    shield: bool
    _lookup: Callable[[Flight[V]], Awaitable[V]] = field(repr=False)
    _flights: SingleFlight[V] = field(repr=False)
    group: TaskGroup = field(repr=False)
    took_off: float = field(factory=current_time)
    callers: int = 0
    over: Event = field(factory=Event)
    values: tuple[V, ...] = ()
    placed: bool = False
    watch: CancelScope | None = None
    _lost_as: type[FlightLostError] = field(default=FlightCancelledError, init=False)
    _reason: str = field(default="it was cancelled", init=False)
    _scope: CancelScope | None = field(default=None, init=False)

    @property
    def boarding(self) -> bool:
        """Whether the lookup has not begun."""
        return self._scope is None

    @property
    def current(self) -> bool:
        """Whether later callers would join this flight."""
        return self._flights.is_current(self)

    async def wait(self) -> V:
        self.callers += 1
        try:
            await self.over.wait()
        finally:
            self.callers -= 1
            if not self.callers and not self.over.is_set():
                self.lose()
        if not self.values:
            raise self._lost_as(f"The lookup did not finish: {self._reason}.")
        return self.values[0]

    async def fly(self) -> None:
        """Look up."""
        if self.over.is_set():
            return
        try:
            with CancelScope(shield=self.shield) as self._scope:
                self.values = (await self._lookup(self),)
        except Exception as crash:  # noqa: BLE001 (a bug in a lookup must not end the others)
            self._lost_as = FlightLostError
            self._reason = f"its lookup raised {type(crash).__name__}"
        except get_cancelled_exc_class():  # noqa: ASYNC103
            # The task ends here all the same. Raised, a cancellation of this one task, which
            # asyncio lets anybody do, would end the whole group.
            return  # noqa: ASYNC104
        finally:
            self._end()

    def lose(self) -> None:
        """Cancel the lookup, or see to it that it never begins."""
        self._flights.detach(self)
        if self._scope is not None:
            self._scope.cancel()
        elif not self.over.is_set():
            self._end()

    def expire(self, seconds: float) -> None:
        """Lose a flight that waited in vain for its turn."""
        self._lost_as = FlightExpiredError
        self._reason = f"it got no turn within {seconds:g} seconds"
        self.lose()

    def _end(self) -> None:
        self._lookup = _nothing  # what it knew may be secret, and an exception may keep the flight
        self.over.set()
        self._flights.end(self)


@define(eq=False)
class SingleFlight(Generic[V]):
    """Runs at most one lookup per key at a time, in one event loop.

    At most `capacity` lookups run at once, shared out fairly between the shares that `share_of`
    finds in their keys; `FairQueue` says how, and what `proven` is. A lookup that gets no turn
    within `max_wait` seconds is lost, and `on_expire` is called with its key. `on_join` is called
    for each caller that boards a flight which another one started.
    """

    task_group: TaskGroup | None = None
    on_join: Callable[[], None] = lambda: None
    on_expire: Callable[[Any], None] = lambda _: None
    capacity: float = inf
    max_wait: float = inf
    share_of: Callable[[Any], str] = lambda _: ""
    proven: Container[str] = ()
    _flights: dict[Hashable, Flight[V]] = field(factory=dict, init=False)
    _queue: FairQueue[Flight[V]] = field(init=False)
    _waiting: OrderedDict[Flight[V], None] = field(factory=OrderedDict, init=False)
    _aloft: set[Flight[V]] = field(factory=set, init=False)
    _advancing: bool = field(default=False, init=False)
    _expiring: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._queue = FairQueue(self.capacity, self.proven)

    def __len__(self) -> int:
        return len(self._flights)

    async def run(
        self,
        key: Hashable,
        lookup: Callable[[Flight[V]], Awaitable[V]],
        *,
        fresh: bool = False,
    ) -> V:
        """Return the value of the flight for `key`, starting one with `lookup` if there is none.

        `fresh` boards only a flight that has not begun to look, so that the value is newer than
        this call. The lookup sees none of the caller's context variables.

        Raises:
            FlightCancelledError: the flight was cancelled from outside.
            FlightExpiredError: it got no turn in time.
            FlightLostError: `lookup` raised.
        """
        flight = self.joinable(key, fresh=fresh)
        if flight is None and (group := self._open_group()) is not None:
            flight = self._take_off(key, lookup, group, fresh=fresh)
        if flight is not None:
            return await flight.wait()
        return await self._host(key, lookup, fresh=fresh)

    def start(self, key: Hashable, lookup: Callable[[Flight[V]], Awaitable[V]]) -> bool:
        """Start a fresh flight on behalf of nobody: without a task group, or beside another, none.

        It has one caller more than wait for it, so that it is never abandoned.
        """
        group = self._open_group()
        if group is None or key in self._flights:
            return False
        self._take_off(key, lookup, group, fresh=True).callers += 1
        return True

    def joinable(self, key: Hashable, *, fresh: bool) -> Flight[V] | None:
        """Return the flight that `run` would board, for a caller that now awaits its `wait`."""
        flight = self._flights.get(key)
        if flight is None or (fresh and not flight.boarding):
            return None
        flight.fresh |= fresh
        self.on_join()
        return flight

    def forget(self, key: Hashable) -> None:
        """Let nobody else board the flight for `key`; those aboard still get its value."""
        self._flights.pop(key, None)

    def cancel_all(self) -> None:
        """Lose every flight, detached ones too; their callers get `FlightLostError`."""
        self._lose_all(list(self._aloft))

    def open_group(self, group: TaskGroup) -> None:
        """Let later flights run in this task group."""
        self.task_group = group
        self._expiring = False

    def close_group(self) -> None:
        """Lose what ran in the task group, which has ended; callers host later flights."""
        group, self.task_group = self.task_group, None
        self._lose_all([flight for flight in self._aloft if flight.group is group])

    def _open_group(self) -> TaskGroup | None:
        """Return the task group, unless it is about to end."""
        group = self.task_group
        return None if group is None or group.cancel_scope.cancel_called else group

    def is_current(self, flight: Flight[V]) -> bool:
        """Whether later callers would join this flight."""
        return self._flights.get(flight.key) is flight

    def detach(self, flight: Flight[V]) -> None:
        """Let nobody else board this flight."""
        if self.is_current(flight):
            del self._flights[flight.key]

    def end(self, flight: Flight[V]) -> None:
        """Forget a flight that is over, and let another one have its place."""
        self.detach(flight)
        self._aloft.discard(flight)
        if flight.placed:
            self._queue.release(flight.share)
            self._advance()
        else:
            self._wait_no_longer(flight)
            self._queue.remove(flight, flight.share)

    async def _host(
        self, key: Hashable, lookup: Callable[[Flight[V]], Awaitable[V]], *, fresh: bool
    ) -> V:
        """Run a flight in a task group of its first caller, who stays until it is over.

        Until then the group always has a task: the lookup, or what watches the deadline. Both are
        shielded, so that the group outlasts a cancellation of the caller.
        """
        flight: Flight[V] | None = None
        try:
            async with quiet_task_group() as own:
                flight = self._take_off(key, lookup, own, fresh=fresh, shield=True)
                if flight in self._waiting:
                    deadline = flight.took_off + self.max_wait
                    flight.watch = CancelScope(deadline=deadline, shield=True)
                    own.start_soon(self._watch, flight, flight.watch)
                return await flight.wait()
        finally:
            if flight is not None:
                flight.lose()  # if it is not over, a task of the group was cancelled natively
        raise FlightCancelledError("The lookup did not finish: its task group was cancelled.")

    def _take_off(
        self,
        key: Hashable,
        lookup: Callable[[Flight[V]], Awaitable[V]],
        group: TaskGroup,
        *,
        fresh: bool,
        shield: bool = False,
    ) -> Flight[V]:
        flight = Flight(key, self.share_of(key), fresh, shield, lookup, self, group)
        self._flights[key] = flight
        self._aloft.add(flight)
        self._waiting[flight] = None
        self._queue.push(flight, flight.share)
        self._advance()
        return flight

    def _advance(self) -> None:
        """Let all flights run that may, and watch the deadline of those that wait."""
        if self._advancing:
            return  # a flight that could not start has ended; the loop below goes on
        self._advancing = True
        try:
            while (turn := self._queue.pop()) is not None:
                self._begin(turn[0])
        finally:
            self._advancing = False
        if self._waiting and not self._expiring and self.max_wait < inf:
            group = self._open_group()
            if group is not None:
                self._expiring = True
                Context().run(group.start_soon, self._expire_all)

    def _begin(self, flight: Flight[V]) -> None:
        flight.placed = True
        try:
            Context().run(flight.group.start_soon, flight.fly)
        except RuntimeError:  # the task group is not active any more
            flight.lose()
        self._wait_no_longer(flight)

    def _wait_no_longer(self, flight: Flight[V]) -> None:
        self._waiting.pop(flight, None)
        if flight.watch is not None:
            flight.watch.cancel()

    def _lose_all(self, flights: list[Flight[V]]) -> None:
        for flight in sorted(flights, key=lambda one: one.placed):  # no place may become free first
            flight.lose()

    async def _expire_all(self) -> None:
        try:
            while self._waiting:
                flight = next(iter(self._waiting))
                await sleep_until(flight.took_off + self.max_wait)
                self._expire(flight)
        finally:
            self._expiring = False

    async def _watch(self, flight: Flight[V], scope: CancelScope) -> None:
        """Watch the deadline of one flight until it waits no longer."""
        with scope:
            await sleep_forever()
        self._expire(flight)

    def _expire(self, flight: Flight[V]) -> None:
        """Lose a flight that still waits at its deadline."""
        if flight in self._waiting:
            flight.expire(self.max_wait)
            self.on_expire(flight.key)
