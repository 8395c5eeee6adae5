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
    from the table; while a flight waits for its turn in a task group, as many fly as may.

Each state change is synchronous: between two awaits the table and the counts always agree.

Where a flight runs: in `task_group` when there is one. There each task flies one flight after
another, first come, first served: a flight that waits for its turn costs no task, which would be
most of what it costs. Without a group, the first caller hosts the flight in a task group of its
own, shielded, because structured concurrency lets no task outlive its parent: that caller, when
cancelled while others wait, leaves only when the flight is over.
"""

from __future__ import annotations

from collections import OrderedDict
from contextvars import Context
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio import CancelScope, Event, current_time, get_cancelled_exc_class
from attrs import define, field

from oxaigen_auth._core.groups import quiet_task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from anyio.abc import TaskGroup

V = TypeVar("V")


class FlightLostError(Exception):
    """The flight ended without a value: it was cancelled from outside, or its lookup crashed.

    Holds no traceback of the lookup, whose frames may know secrets: only the crash's type.
    """


async def _nothing(_: object) -> Any:
    """Be what an ended flight looks up."""


@define(eq=False)
class Flight(Generic[V]):
    """A lookup that runs or waits for its turn, and the number of those who wait for it.

    `took_off` is a reading of the event loop's clock, in seconds.
    """

    key: Hashable
    fresh: bool
    _lookup: Callable[[Flight[V]], Awaitable[V]] = field(repr=False)
    _table: dict[Hashable, Flight[V]] = field(repr=False)
    _queue: OrderedDict[Flight[V], None] = field(repr=False)
    _aloft: set[Flight[V]] = field(repr=False)
    took_off: float = field(factory=current_time)
    callers: int = 0
    over: Event = field(factory=Event)
    values: tuple[V, ...] = ()
    crash: str = "it was cancelled"
    _scope: CancelScope | None = field(default=None, init=False)

    @property
    def boarding(self) -> bool:
        """Whether the lookup has not begun."""
        return self._scope is None

    @property
    def current(self) -> bool:
        """Whether later callers would join this flight."""
        return self._table.get(self.key) is self

    async def wait(self) -> V:
        self.callers += 1
        try:
            await self.over.wait()
        finally:
            self.callers -= 1
            if not self.callers and not self.over.is_set():
                self.lose()
        if not self.values:
            raise FlightLostError(f"The lookup did not finish: {self.crash}.")
        return self.values[0]

    async def fly(self, *, shield: bool = False) -> bool:
        """Look up. Return whether the task may go on, because nobody has cancelled the task."""
        if self.over.is_set():
            return True
        try:
            with CancelScope(shield=shield) as self._scope:
                self.values = (await self._lookup(self),)
        except Exception as crash:  # noqa: BLE001 (a bug in a lookup must not end the others)
            self.crash = f"its lookup raised {type(crash).__name__}"
        except get_cancelled_exc_class():  # noqa: ASYNC103
            # The task ends here all the same. Raised, a cancellation of this one task, which
            # asyncio lets anybody do, would end the whole group.
            return False  # noqa: ASYNC104
        finally:
            self._end()
        return True

    def lose(self) -> None:
        """Cancel the lookup, or see to it that it never begins."""
        self.detach()
        if self._scope is not None:
            self._scope.cancel()
        else:
            self._queue.pop(self, None)
            self._end()

    def detach(self) -> None:
        if self.current:
            del self._table[self.key]

    def _end(self) -> None:
        self._lookup = _nothing  # what it knew may be secret, and an exception may keep the flight
        self.detach()
        self._aloft.discard(self)
        self.over.set()


@define(eq=False)
class SingleFlight(Generic[V]):
    """Runs at most one lookup per key at a time, in one event loop.

    At most `max_pilots` lookups run at once in the task group. `on_join` is called for each caller
    that boards a flight which another one started.
    """

    task_group: TaskGroup | None = None
    on_join: Callable[[], None] = lambda: None
    max_pilots: float = inf
    _flights: dict[Hashable, Flight[V]] = field(factory=dict, init=False)
    _queue: OrderedDict[Flight[V], None] = field(factory=OrderedDict, init=False)
    _aloft: set[Flight[V]] = field(factory=set, init=False)
    _pilots: int = field(default=0, init=False)

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
            FlightLostError: the flight was cancelled from outside, or `lookup` raised.
        """
        flight = self.joinable(key, fresh=fresh)
        if flight is None and self.task_group is not None:
            flight = self._take_off(key, lookup, self.task_group, fresh=fresh)
        if flight is not None:
            return await flight.wait()
        async with quiet_task_group() as own:
            hosted = self._take_off(key, lookup, own, fresh=fresh, hosted=True)
            return await hosted.wait()

    def start(self, key: Hashable, lookup: Callable[[Flight[V]], Awaitable[V]]) -> bool:
        """Start a fresh flight on behalf of nobody: without a task group, or beside another, none.

        It has one caller more than wait for it, so that it is never abandoned.
        """
        if self.task_group is None or key in self._flights:
            return False
        self._take_off(key, lookup, self.task_group, fresh=True).callers += 1
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
        for flight in list(self._aloft):
            flight.lose()

    def _take_off(
        self,
        key: Hashable,
        lookup: Callable[[Flight[V]], Awaitable[V]],
        group: TaskGroup,
        *,
        fresh: bool,
        hosted: bool = False,
    ) -> Flight[V]:
        flight = Flight(key, fresh, lookup, self._flights, self._queue, self._aloft)
        self._flights[key] = flight
        self._aloft.add(flight)
        try:
            if hosted:
                Context().run(group.start_soon, partial(flight.fly, shield=True))
            else:
                self._queue[flight] = None
                self._hire(group)
        except BaseException:
            flight.lose()
            raise
        return flight

    def _hire(self, group: TaskGroup) -> None:
        """Start a pilot if there is one too few."""
        if self._queue and self._pilots < self.max_pilots:
            Context().run(group.start_soon, self._pilot, group)
            self._pilots += 1

    async def _pilot(self, group: TaskGroup) -> None:
        """Fly one flight after another until none waits, or somebody cancels this task."""
        try:
            may_go_on = True
            while may_go_on and self._queue:
                flight, _ = self._queue.popitem(last=False)
                may_go_on = await flight.fly()
        finally:
            self._pilots -= 1
            self._hire(group)
