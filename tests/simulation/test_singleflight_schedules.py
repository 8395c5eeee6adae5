"""Random schedules over `SingleFlight`: callers arrive, leave and are cancelled at any step.

After each checkpoint the invariants at the top of `_core/singleflight.py` are checked, on private
attributes. tests/simulation/scheduler.py describes how to run a failed schedule again.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import define, field, frozen

from oxaigen_auth._core.flight import Flight, FlightError
from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._core.task_groups import collapsing_task_group
from tests.simulation.scheduler import (
    SEED,
    Dice,
    NativeCancellation,
    check_flights,
    check_no_flight_is_left,
    checkpoints,
    is_dying,
    running_tasks,
    schedule,
    seeds,
)
from tests.simulation.scheduler import replayable as replayable  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

pytestmark = pytest.mark.anyio

SHORT, LONG = 750, 100_000  # schedules for each backend
LAST = 14  # the first step without new events
HANG = 30  # checkpoints that a hanging lookup takes
MAX_STEPS = 500  # until every caller must have left
NEVER = 10**6

LOST = "The lookup was cancelled."
CRASHED = "The lookup failed with KeyError."


@frozen
class Plan:
    """The events of a schedule, by step: a checkpoint of the task that runs the schedule."""

    grouped: bool
    capacity: float
    finale: str
    callers: list[PlannedCaller]
    lookups: list[PlannedLookup]
    events: dict[int, list[tuple[str, int]]]


@frozen
class PlannedCaller:
    key: int
    fresh: bool
    arrives: int
    cancelled: int
    how: str


@frozen
class PlannedLookup:
    takes: int  # checkpoints
    returns: bool
    lingers: int  # checkpoints after its cancellation


def draw(seed: int) -> Plan:
    dice = Dice(Random(seed))
    keys = dice.number(1, 3)
    events: dict[int, list[tuple[str, int]]] = {}
    for _ in range(dice.number(0, 4)):
        what = dice.pick("forget", "forget", "start", "start", "cancel_all", "close", "cut", "kill")
        events.setdefault(dice.number(0, LAST - 2), []).append((what, dice.number(1, keys)))
    return Plan(
        grouped=dice.chance(0.6),
        capacity=dice.pick(1, 3, inf),
        finale=dice.pick("wait", "leave", "cancel_all", "close"),
        callers=[draw_caller(dice, keys) for _ in range(dice.number(2, 8))],
        lookups=[draw_lookup(dice) for _ in range(5)],
        events=events,
    )


def draw_caller(dice: Dice, keys: int) -> PlannedCaller:
    arrives = dice.number(0, 6)
    return PlannedCaller(
        key=dice.number(1, keys),
        fresh=dice.chance(0.2),
        arrives=arrives,
        cancelled=arrives + dice.number(0, 6) + NEVER * dice.chance(0.5),
        how=dice.pick("scope", "native"),
    )


def draw_lookup(dice: Dice) -> PlannedLookup:
    hangs = dice.chance(0.15)
    takes = dice.number(0, 6) + HANG * hangs
    return PlannedLookup(takes, not hangs and dice.chance(0.8), dice.pick(0, 0, 1, 3))


@define(eq=False)
class Lookup:
    """A lookup that has begun, the `number`th of all. It is also the value of its flight."""

    flight: Flight[Lookup]
    number: int
    kill: Callable[[], object]
    killed: bool = False


@define(eq=False)
class Caller:
    plan: PlannedCaller
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    kill: Callable[[], object] = field(default=lambda: None)
    cancelled: bool = False
    asked_after: int = 0  # lookups that had begun when it asked
    barred: frozenset[Flight[Lookup]] = frozenset()  # flights that it must not wait for
    losses: int = 0  # how often flights had been cancelled when it asked
    outcome: Lookup | str | None = None
    left_over: int = 0

    def cancel(self) -> None:
        self.cancelled = True
        {"scope": self.scope.cancel, "native": self.kill}[self.plan.how]()


@define(eq=False)
class World:
    """One schedule while it runs."""

    plan: Plan
    tasks: TaskGroup
    natively: NativeCancellation
    flights: SingleFlight[Lookup] = field(init=False)
    home: anyio.CancelScope = field(factory=anyio.CancelScope)
    closing: anyio.Event = field(factory=anyio.Event)
    callers: list[Caller] = field(factory=list)
    running: list[Lookup] = field(factory=list)
    forgotten: dict[int, set[Flight[Lookup]]] = field(factory=dict)
    let_go: set[Flight[Lookup]] = field(factory=set)  # flights that later callers do not join
    begun: int = 0
    asked: int = 0
    coalesced: int = 0
    must_join: int = 0
    started: int = 0
    losses: int = 0

    def __attrs_post_init__(self) -> None:
        self.flights = SingleFlight(capacity=self.plan.capacity, on_join=self.count_join)

    def count_join(self, _: Flight[Lookup]) -> None:
        self.coalesced += 1

    # The tasks.

    async def keep_group(self) -> None:
        """Hold a task group open for the flights until the schedule closes it, or cuts it off."""
        with self.home:
            try:
                async with collapsing_task_group() as group:
                    self.flights.open_group(group)
                    try:
                        await self.closing.wait()
                    finally:
                        self.cancel_all()
                        assert self.closing.is_set() or self.home.cancel_called
            finally:
                self.losses += 1
                self.flights.close_group()

    async def look_up(self, flight: Flight[Lookup]) -> Lookup:
        plan = self.plan.lookups[self.begun % len(self.plan.lookups)]
        self.begun += 1
        lookup = Lookup(flight, self.begun, self.natively.cancel_of_this_task(lambda: None))
        self.running.append(lookup)
        try:
            await checkpoints(plan.takes)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await checkpoints(plan.lingers)
            raise
        finally:
            self.running.remove(lookup)
            self.losses += lookup.killed
        return {True: lookup}[plan.returns]  # or raise KeyError

    async def call(self, caller: Caller) -> None:
        caller.kill = self.natively.cancel_of_this_task(caller.scope.cancel)
        with caller.scope:
            try:
                await self.ask(caller)
                await checkpoints(2)  # a cancellation that was left over would be raised here
            except FlightError as error:
                caller.outcome = str(error)
            except anyio.get_cancelled_exc_class():  # noqa: ASYNC103 (the task ends with it)
                caller.outcome = "cancelled"
        caller.left_over = self.natively.left_over()

    async def ask(self, caller: Caller) -> None:
        key, fresh = caller.plan.key, caller.plan.fresh
        self.asked += 1
        under_way = self.flights._flights.get(key)  # noqa: SLF001
        self.must_join += under_way is not None and (under_way.pending or not fresh)
        self.let_go.update(flight for flight in [under_way] if flight and fresh)
        caller.asked_after = self.begun
        caller.losses = self.losses
        caller.barred = frozenset(self.forgotten.get(key, ()))
        caller.outcome = await self.flights.run(key, self.look_up, fresh=fresh)

    # The events.

    def happen(self, now: int) -> None:
        """Run the events that are planned for this step."""
        for plan in [plan for plan in self.plan.callers if plan.arrives == now]:
            self.callers.append(Caller(plan))
            self.tasks.start_soon(self.call, self.callers[-1])
        for caller in [caller for caller in self.callers if caller.plan.cancelled == now]:
            caller.cancel()
        for what, key in self.plan.events.get(now, ()):
            getattr(self, what)(key)

    def forget(self, key: int) -> None:
        detached = [flight for flight in self.flights._active if flight.key == key]  # noqa: SLF001
        self.forgotten.setdefault(key, set()).update(detached)
        self.let_go.update(detached)
        for flight in detached:
            self.flights.detach(flight)

    def start(self, key: int) -> None:
        self.started += self.flights.start(key, self.look_up)

    def cancel_all(self, _: int = 0) -> None:
        self.losses += 1
        self.flights.cancel_all()
        assert len(self.flights) == 0
        assert all(is_dying(flight) for flight in self.flights._active)  # noqa: SLF001

    def close(self, _: int = 0) -> None:
        """Close the task group as a client does whose block ends."""
        self.closing.set()

    def cut(self, _: int) -> None:
        """Close the task group as a client does whose block is cancelled."""
        self.losses += 1
        self.home.cancel()

    def kill(self, _: int) -> None:
        """Cancel the tasks that look up: on asyncio any code may do so."""
        for lookup in self.running:
            lookup.killed = True
            lookup.kill()

    def leave(self) -> None:
        for caller in self.callers:
            caller.cancel()

    def wait(self) -> None:
        """Let everything end by itself."""

    # The checks.

    @property
    def waiting(self) -> int:
        return sum(caller.outcome is None for caller in self.callers)

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.running or self.flights._active)  # noqa: SLF001

    def check(self) -> None:
        check_flights(self.flights)
        active = self.flights._active  # noqa: SLF001
        for flight in active:
            assert flight.current or flight in self.let_go or is_dying(flight)
        assert sum(flight.waiters for flight in active) <= self.waiting + self.started
        assert active.issuperset(lookup.flight for lookup in self.running)
        joinable = [lookup.flight.key for lookup in self.running if lookup.flight.current]
        assert len(joinable) == len(set(joinable))

    def check_end(self) -> None:
        check_no_flight_is_left(self.flights)
        assert self.begun <= self.asked - self.coalesced + self.started
        assert self.must_join <= self.coalesced
        for caller in self.callers:
            self.check_caller(caller)

    def check_caller(self, caller: Caller) -> None:
        outcome = caller.outcome
        if isinstance(outcome, Lookup):
            assert outcome.flight.key == caller.plan.key
            assert outcome.flight not in caller.barred
            assert outcome.number > caller.asked_after * caller.plan.fresh
        elif outcome == LOST:
            assert self.losses > caller.losses
        else:
            assert outcome == CRASHED or (outcome == "cancelled" and caller.cancelled)
        assert caller.cancelled or not caller.left_over

    def tally(self) -> list[str]:
        """Return the outcome of each caller, in one word."""
        words = {LOST: "lost", CRASHED: "crashed", "cancelled": "cancelled"}
        return [words.get(str(caller.outcome), "answered") for caller in self.callers]


async def run(plan: Plan, natively: NativeCancellation) -> World:
    async with anyio.create_task_group() as tasks:
        world = World(plan, tasks, natively)
        if plan.grouped:
            tasks.start_soon(world.keep_group)
            await checkpoint()
        for now in range(LAST):
            world.happen(now)
            await checkpoint()
            world.check()
        getattr(world, plan.finale)()
        steps = 0
        while world.busy:
            await checkpoint()
            world.check()
            steps += 1
            assert steps < MAX_STEPS, "a caller waits forever"
        world.check_end()
        world.close()
    return world


async def test_no_schedule_fails_a_caller_that_was_not_cancelled_or_leaves_anything_behind(
    anyio_backend_name: str,
    long: bool,  # noqa: FBT001
) -> None:
    natively, before = NativeCancellation(anyio_backend_name), running_tasks()
    tally: Counter[str] = Counter()
    for seed in seeds(LONG if long else SHORT):
        plan = draw(seed)
        with schedule(seed, plan):
            world = await run(plan, natively)
            assert running_tasks() == before
        tally.update(coalesced=world.coalesced, began=world.begun, started=world.started)
        tally.update(world.tally())
    print(tally)  # noqa: T201 (shown with -s)
    assert SEED or len(tally) == 7  # every kind of outcome has occurred


async def test_the_same_seed_is_the_same_run(anyio_backend_name: str) -> None:
    natively = NativeCancellation(anyio_backend_name)
    for seed in range(50):
        with schedule(seed, draw(seed)):
            first = await run(draw(seed), natively)
        with schedule(seed, draw(seed)):
            second = await run(draw(seed), natively)
        assert first.tally() == second.tally()
        assert (first.begun, first.coalesced) == (second.begun, second.coalesced)


def test_a_schedule_that_fails_reports_its_seed() -> None:
    with pytest.raises(AssertionError, match="SCHEDULE_SEED=7 fails: some plan"):
        with schedule(7, "some plan"):
            raise ValueError
