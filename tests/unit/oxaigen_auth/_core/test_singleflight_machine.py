"""The single-flight as a state machine: any schedule of callers, ends and closings.

After every step the invariants of the module's docstring hold, as seen from outside: by the
lookups that run, the callers that wait, and the table.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oxaigen_auth._core.flight import Flight, FlightError
from oxaigen_auth._core.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup, TaskStatus

KEYS = st.sampled_from(["a", "b"])


@define(eq=False)
class Lookup:
    """A lookup under way: the test decides when and how it ends."""

    flight: Flight[int]
    number: int
    end: anyio.Event = field(factory=anyio.Event)
    fails: bool = False


@define(eq=False)
class Caller:
    key: str
    fresh: bool
    asked_after: int  # how many lookups had begun when it asked
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    cancelled: bool = False
    outcome: int | str | None = None

    def cancel(self) -> None:
        self.cancelled = True
        self.scope.cancel()


@define(eq=False)
class World:
    """Everything that lives in the event loop. Its methods settle before they return."""

    tasks: TaskGroup
    flights: SingleFlight[int]
    over: anyio.Event = field(factory=anyio.Event)
    lookups: list[Lookup] = field(factory=list)
    callers: list[Caller] = field(factory=list)
    ahead: list[Flight[int]] = field(factory=list)  # begun by `start`
    begun: int = 0

    async def look_up(self, flight: Flight[int]) -> int:
        self.begun += 1
        lookup = Lookup(flight, self.begun)
        self.lookups.append(lookup)
        try:
            await lookup.end.wait()
        finally:
            self.lookups.remove(lookup)
        if lookup.fails:
            raise ValueError
        return lookup.number

    async def call(self, caller: Caller) -> None:
        with caller.scope:
            try:
                caller.outcome = await self.flights.run(
                    caller.key, self.look_up, fresh=caller.fresh
                )
            except FlightError:
                caller.outcome = "lost"
        caller.outcome = caller.outcome or "cancelled"

    async def do(self, *steps: Callable[[], object]) -> None:
        """Take the steps at one moment, then let everything happen that can."""
        for step in steps:
            step()
        for _ in range(12):
            await checkpoint()

    def join(self, key: str, *, fresh: bool) -> None:
        caller = Caller(key, fresh, self.begun)
        self.callers.append(caller)
        self.tasks.start_soon(self.call, caller)

    def start(self, key: str) -> None:
        if self.flights.start(key, self.look_up):
            self.ahead.append(self.flights._flights[key])  # noqa: SLF001 (seen nowhere else)

    def detach(self, key: str) -> None:
        """Remove a key's flight from the table, as a fresh caller does."""
        flight = self.flights._flights.get(key)  # noqa: SLF001
        if flight is not None:
            self.flights.detach(flight)

    @property
    def waiting(self) -> list[Caller]:
        return [caller for caller in self.callers if caller.outcome is None]


async def live(where: str, *, task_status: TaskStatus[World]) -> None:
    async with anyio.create_task_group() as group:
        world = World(group, SingleFlight(None if where == "hosted" else group))
        if where == "one by one":
            world = World(group, SingleFlight(group, capacity=1))
        task_status.started(world)
        await world.over.wait()
        group.cancel_scope.cancel()


class Machine(RuleBasedStateMachine):
    backend: ClassVar[str]
    where: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.portal = self.stack.enter_context(start_blocking_portal(self.backend))
        self.end, self.world = self.portal.start_task(live, self.where)

    def teardown(self) -> None:
        self.portal.call(self.world.over.set)
        self.end.result()
        self.stack.close()

    def pick(self, items: list[Any], index: int) -> Any:
        return items[index % len(items)]

    @rule(key=KEYS, fresh=st.booleans(), how_many=st.integers(1, 3))
    def callers_join(self, key: str, fresh: bool, how_many: int) -> None:  # noqa: FBT001
        steps = [lambda: self.world.join(key, fresh=fresh)] * how_many
        self.portal.call(self.world.do, *steps)

    @rule(key=KEYS)
    def callers_join_and_one_leaves_at_once(self, key: str) -> None:
        world = self.world
        self.portal.call(
            world.do,
            lambda: world.join(key, fresh=False),
            lambda: world.join(key, fresh=False),
            lambda: world.callers[-2].cancel(),  # noqa: PLW0108 (looked up when it is called)
        )

    @rule(key=KEYS)
    def a_flight_starts_on_behalf_of_nobody(self, key: str) -> None:
        taken = {flight.key for flight in self.active if flight.current}
        expected = len(self.world.ahead) + (self.where != "hosted" and key not in taken)
        self.portal.call(self.world.do, lambda: self.world.start(key))
        assert len(self.world.ahead) == expected

    @precondition(lambda self: self.world.waiting)
    @rule(index=st.integers(0, 9))
    def a_caller_is_cancelled(self, index: int) -> None:
        self.portal.call(self.world.do, self.pick(self.world.waiting, index).cancel)

    @precondition(lambda self: self.world.lookups)
    @rule(index=st.integers(0, 9), fails=st.booleans())
    def a_flight_lands_or_fails(self, index: int, fails: bool) -> None:  # noqa: FBT001
        lookup = self.pick(self.world.lookups, index)
        lookup.fails = fails
        self.portal.call(self.world.do, lookup.end.set)

    @precondition(lambda self: self.world.lookups)
    @rule(key=KEYS, index=st.integers(0, 9))
    def a_flight_lands_while_another_caller_joins(self, key: str, index: int) -> None:
        lookup = self.pick(self.world.lookups, index)
        self.portal.call(self.world.do, lambda: self.world.join(key, fresh=False), lookup.end.set)

    @rule(key=KEYS)
    def a_key_is_forgotten(self, key: str) -> None:
        self.portal.call(self.world.do, lambda: self.world.detach(key))

    @rule()
    def the_client_closes(self) -> None:
        self.portal.call(self.world.do, self.world.flights.cancel_all)
        assert len(self.world.flights) == 0

    @invariant()
    def at_most_one_running_lookup_per_key_can_be_joined(self) -> None:
        joinable = [x.flight.key for x in self.world.lookups if x.flight.current]
        assert len(joinable) == len(set(joinable))

    @property
    def active(self) -> set[Flight[int]]:
        """The flights whose lookup runs, and those that wait for their turn."""
        running = {x.flight for x in self.world.lookups}
        queued: set[Flight[int]] = set(self.world.flights._waiting)  # noqa: SLF001 (seen nowhere else)
        assert not running & queued
        return running | queued

    @invariant()
    def every_table_entry_is_a_flight_with_callers_or_one_that_was_started(self) -> None:
        joinable = [flight for flight in self.active if flight.current]
        assert len(self.world.flights) == len(joinable)
        assert all(flight.waiters > 0 for flight in joinable)

    @invariant()
    def a_flight_waits_only_while_as_many_fly_as_may(self) -> None:
        if self.where == "one by one":
            assert len(self.world.lookups) == bool(self.active)
        else:
            assert len(self.world.lookups) == len(self.active)

    @invariant()
    def every_lookup_has_callers_or_was_started_and_every_caller_has_a_flight(self) -> None:
        waiters = sum(flight.waiters for flight in self.active)
        # A cancelled host stays with its flight without waiting for its value.
        staying = [x for x in self.world.waiting if x.cancelled]
        for_nobody = self.active.intersection(self.world.ahead)
        assert waiters == len(self.world.waiting) - len(staying) + len(for_nobody)
        assert all(flight.waiters > 0 for flight in self.active)

    @invariant()
    def a_fresh_answer_is_newer_than_its_question(self) -> None:
        for caller in self.world.callers:
            if caller.fresh and isinstance(caller.outcome, int):
                assert caller.outcome > caller.asked_after


@pytest.mark.parametrize("where", ["in a group", "one by one", "hosted"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_invariants_hold_after_every_step(backend: str, where: str) -> None:
    run_state_machine_as_test(
        type("Machine", (Machine,), {"backend": backend, "where": where}),
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None),
    )
