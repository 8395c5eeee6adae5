"""One running lookup per key, shared by all callers that ask while it runs.

Invariants, checked by the state machine in the tests after every step:

    - The table has one flight per key. A flight in the table has a caller, or was begun by `start`.
    - A caller waits only for a flight that is not finished. A flight removes only itself.
    - At most `capacity` flights have a slot: those that run or are about to. No flight waits for a
      slot that `FairQueue` would give it.

Each change of state is synchronous: between two awaits the table and the counts always agree.

A flight runs in `task_group` if there is one. Without it, the first caller owns the flight: it runs
shielded in a task group of that caller, as structured concurrency lets no task outlive its parent.
If that caller is cancelled while others wait, it returns only when the flight is finished. A task
would be most of a flight's cost, so one that waits for a slot has none.

On asyncio any code may cancel a task natively, even before its first step. It then never runs, and
its task group is cancelled. So the owner of a group reports its end (`close_group`, or the
owning caller), and each of its flights that is not finished is cancelled.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Container, Hashable
from contextvars import Context
from math import inf
from typing import Any, Generic, TypeVar

from anyio import CancelScope, sleep_forever, sleep_until
from anyio.abc import TaskGroup
from attrs import define, field

from oxaigen_auth._core.fair_queue import FairQueue
from oxaigen_auth._core.flight import Flight, FlightCancelledError
from oxaigen_auth._core.task_groups import collapsing_task_group

V = TypeVar("V")


@define(eq=False)
class SingleFlight(Generic[V]):
    """Runs at most one lookup per key at a time, in one event loop.

    Args:
        on_start: called for each new flight, and whether `start` began it.
        on_join: called for each caller that joins the flight of another one.
        on_finish: called for each flight that was started, when it is finished.
        on_timeout: called with the key of each flight that got no slot in time.
        capacity: how many lookups run at once.
        max_wait: for how many seconds a flight waits for a slot.
        share_of: returns the share of a key. `FairQueue` divides the slots fairly between shares.
        proven: the shares that have a turn of their own in `FairQueue`.
    """

    task_group: TaskGroup | None = None
    on_start: Callable[[Flight[V], bool], None] = lambda _, __: None
    on_join: Callable[[Flight[V]], None] = lambda _: None
    on_finish: Callable[[Flight[V]], None] = lambda _: None
    on_timeout: Callable[[Any], None] = lambda _: None
    capacity: float = inf
    max_wait: float = inf
    share_of: Callable[[Any], str] = lambda _: ""
    proven: Container[str] = ()
    _flights: dict[Hashable, Flight[V]] = field(factory=dict, init=False)
    _queue: FairQueue[Flight[V]] = field(init=False)
    _waiting: OrderedDict[Flight[V], None] = field(factory=OrderedDict, init=False)
    _active: set[Flight[V]] = field(factory=set, init=False)
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

        With `fresh`, join only a pending flight, so that the value is newer than this call. The
        lookup sees none of the caller's context variables.

        Raises:
            FlightError: the flight finished without a value.
        """
        flight = self.join(key, fresh=fresh)
        if flight is None and (group := self._open_group()) is not None:
            flight = self._launch(key, lookup, group, fresh=fresh)
        if flight is not None:
            return await flight.wait()
        return await self._run_caller_owned(key, lookup, fresh=fresh)

    def start(self, key: Hashable, lookup: Callable[[Flight[V]], Awaitable[V]]) -> bool:
        """Start a lookup that no caller waits for.

        Return False without a task group, or if one is already running for the key.
        """
        group = self._open_group()
        if group is None or key in self._flights:
            return False
        flight = self._launch(key, lookup, group, fresh=False, background=True)
        flight.waiters += 1  # so it is never abandoned
        return True

    def join(self, key: Hashable, *, fresh: bool) -> Flight[V] | None:
        """Return the flight that `run` would join. The caller must await its `wait`."""
        flight = self._flights.get(key)
        if flight is None or (fresh and not flight.pending):
            return None
        flight.fresh |= fresh
        self.on_join(flight)
        return flight

    def cancel_all(self) -> None:
        """Cancel every flight, detached ones too. Their callers get `FlightCancelledError`."""
        self._cancel(list(self._active))

    def open_group(self, group: TaskGroup) -> None:
        """Run later flights in this task group."""
        self.task_group = group
        self._expiring = False

    def close_group(self) -> None:
        """Cancel the flights of the task group, which has ended. Callers own later flights."""
        group, self.task_group = self.task_group, None
        self._cancel([flight for flight in self._active if flight.group is group])

    def _open_group(self) -> TaskGroup | None:
        """Return the task group, unless it is about to end."""
        group = self.task_group
        return None if group is None or group.cancel_scope.cancel_called else group

    def is_current(self, flight: Flight[V]) -> bool:
        """Whether later callers would join this flight."""
        return self._flights.get(flight.key) is flight

    def detach(self, flight: Flight[V]) -> None:
        """Remove a flight from the table, so that no caller joins it any more."""
        if self.is_current(flight):
            del self._flights[flight.key]

    def finish(self, flight: Flight[V]) -> None:
        """Remove a finished flight, and give its slot to another one."""
        self.detach(flight)
        self._active.discard(flight)
        if flight.has_slot:
            self._queue.release(flight.share)
            self._advance()
        else:
            self._stop_waiting(flight)
            self._queue.remove(flight, flight.share)
        self.on_finish(flight)

    async def _run_caller_owned(
        self, key: Hashable, lookup: Callable[[Flight[V]], Awaitable[V]], *, fresh: bool
    ) -> V:
        """Run a flight in a task group of its first caller, which returns when it is finished.

        Until then the group always has a task: the lookup, or the one that watches the deadline.
        Both are shielded, so that the group outlasts the cancellation of the caller.
        """
        flight: Flight[V] | None = None
        try:
            async with collapsing_task_group() as group:
                flight = self._launch(key, lookup, group, fresh=fresh)
                if flight in self._waiting:
                    deadline = flight.started_at + self.max_wait
                    flight.deadline_scope = CancelScope(deadline=deadline, shield=True)
                    group.start_soon(self._watch_deadline, flight, flight.deadline_scope)
                return await flight.wait()
        finally:
            if flight is not None:
                flight.cancel()  # no effect, unless a task of the group was cancelled natively
        raise FlightCancelledError("The lookup was cancelled together with its task group.")

    def _launch(
        self,
        key: Hashable,
        lookup: Callable[[Flight[V]], Awaitable[V]],
        group: TaskGroup,
        *,
        fresh: bool,
        background: bool = False,
    ) -> Flight[V]:
        shield = group is not self.task_group  # it is a caller's
        flight = Flight(key, self.share_of(key), fresh, shield, lookup, self, group)
        self.on_start(flight, background)
        self._flights[key] = flight
        self._active.add(flight)
        self._waiting[flight] = None
        self._queue.push(flight, flight.share)
        self._advance()
        return flight

    def _advance(self) -> None:
        """Start the flights that get a slot, and watch the deadline of the others."""
        if self._advancing:
            return  # a flight that could not start has finished; the loop below goes on
        self._advancing = True
        try:
            while (turn := self._queue.pop()) is not None:
                self._start_task(turn[0])
        finally:
            self._advancing = False
        if not self._waiting or self._expiring or self.max_wait == inf:
            return
        if (group := self._open_group()) is not None:
            self._expiring = True
            Context().run(group.start_soon, self._watch_deadlines)

    def _start_task(self, flight: Flight[V]) -> None:
        flight.has_slot = True
        try:
            Context().run(flight.group.start_soon, flight.run)
        except RuntimeError:  # the task group is not active any more
            flight.cancel()
        self._stop_waiting(flight)

    def _stop_waiting(self, flight: Flight[V]) -> None:
        self._waiting.pop(flight, None)
        if flight.deadline_scope is not None:
            flight.deadline_scope.cancel()

    def _cancel(self, flights: list[Flight[V]]) -> None:
        # Those without a slot first, so that they get none of those that become free.
        for flight in sorted(flights, key=lambda flight: flight.has_slot):
            flight.cancel()

    async def _watch_deadlines(self) -> None:
        """Expire the flights that wait too long, as long as there are any that wait."""
        try:
            while self._waiting:
                flight = next(iter(self._waiting))
                await sleep_until(flight.started_at + self.max_wait)
                self._expire(flight)
        finally:
            self._expiring = False

    async def _watch_deadline(self, flight: Flight[V], scope: CancelScope) -> None:
        """Expire one flight at its deadline, unless it stops waiting before."""
        with scope:
            await sleep_forever()
        self._expire(flight)

    def _expire(self, flight: Flight[V]) -> None:
        """Cancel a flight that still waits at its deadline."""
        if flight in self._waiting:
            flight.expire(self.max_wait)
            self.on_timeout(flight.key)
