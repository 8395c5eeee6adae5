"""The single-flight, with and without a task group of its own, in virtual time.

Each test that answers a fault of comparable systems says which, by its number in PITFALLS.
"""

from __future__ import annotations

import gc
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import define, field

from oxaigen_auth._core.flight import Flight, FlightError
from oxaigen_auth._core.singleflight import SingleFlight
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.anyio


@define(eq=False)
class CountingLookup:
    """A lookup that takes a second and counts how often it began, ended and was cut off."""

    flights: SingleFlight[str]
    began: int = 0
    finished: int = 0
    running: int = 0
    most_at_once: int = 0
    answers: list[str] = field(factory=list)
    raises: Exception | None = None

    async def look_up(self, _: Flight[str]) -> str:
        self.began += 1
        mine = self.began
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await anyio.sleep(1)
        finally:
            self.running -= 1
        if self.raises is not None:
            raise self.raises
        self.finished += 1
        return f"answer {mine}"

    async def ask(self, key: str = "key", *, fresh: bool = False) -> str:
        answer = await self.flights.run(key, self.look_up, fresh=fresh)
        self.answers.append(answer)
        return answer


@pytest.fixture(params=["in a group", "hosted by the first caller"])
async def counting(request: pytest.FixtureRequest) -> AsyncIterator[CountingLookup]:
    if request.param == "hosted by the first caller":
        yield CountingLookup(SingleFlight())
        return
    async with anyio.create_task_group() as group:
        yield CountingLookup(SingleFlight(group))
        group.cancel_scope.cancel()


def detach(flights: SingleFlight[Any]) -> None:
    """Remove all flights from the table, as a fresh caller does with its key's."""
    for flight in list(flights._active):  # noqa: SLF001
        flights.detach(flight)


async def settle() -> None:
    await anyio.wait_all_tasks_blocked()


def cancellable(
    group: anyio.abc.TaskGroup, call: Callable[[], Awaitable[object]]
) -> anyio.CancelScope:
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            await call()

    group.start_soon(run)
    return scope


async def test_a_burst_of_equal_questions_makes_one_lookup(counting: CountingLookup) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(counting.ask)
    assert counting.answers == ["answer 1"] * 100
    assert (counting.began, len(counting.flights)) == (1, 0)


async def test_different_questions_do_not_wait_for_each_other(counting: CountingLookup) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(counting.ask, "one")
        group.start_soon(counting.ask, "two")
    assert (counting.began, counting.most_at_once) == (2, 2)


async def test_a_later_question_starts_a_new_lookup(counting: CountingLookup) -> None:
    assert [await counting.ask(), await counting.ask()] == ["answer 1", "answer 2"]


async def test_pitfall_1_the_first_callers_cancellation_fails_nobody_else(
    counting: CountingLookup,
) -> None:
    async with anyio.create_task_group() as group:
        first = cancellable(group, counting.ask)
        await settle()
        for _ in range(4):
            group.start_soon(counting.ask)
        await settle()
        first.cancel()
    assert counting.answers == ["answer 1"] * 4
    assert counting.began == 1


async def test_pitfall_2_a_waiters_cancellation_leaves_the_lookup_alone(
    counting: CountingLookup,
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(counting.ask)
        await settle()
        waiters = [cancellable(group, counting.ask) for _ in range(4)]
        await settle()
        for waiter in waiters:
            waiter.cancel()
    assert counting.answers == ["answer 1"]
    assert (counting.began, counting.finished) == (1, 1)


async def test_pitfall_3_a_late_joiner_outlives_the_first_callers_deadline(
    counting: CountingLookup,
) -> None:
    async def first() -> None:
        with anyio.move_on_after(0.5):
            await counting.ask()

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        await anyio.sleep(0.4)
        group.start_soon(counting.ask)
    assert counting.answers == ["answer 1"]
    assert counting.began == 1


async def test_a_cancelled_owner_returns_when_the_flight_has_finished_and_not_before() -> None:
    counting = CountingLookup(SingleFlight())
    left_at: list[float] = []
    start = anyio.current_time()

    async def host() -> None:
        with anyio.move_on_after(0.25):
            await counting.ask()
        left_at.append(anyio.current_time() - start)

    async with anyio.create_task_group() as group:
        group.start_soon(host)
        await settle()
        group.start_soon(counting.ask)
    assert left_at == [pytest.approx(1)]
    assert counting.answers == ["answer 1"]


async def test_a_cancelled_owner_without_waiters_returns_at_once() -> None:
    counting = CountingLookup(SingleFlight())
    start = anyio.current_time()
    with anyio.move_on_after(0.25):
        await counting.ask()
    assert anyio.current_time() - start == pytest.approx(0.25)
    assert (counting.running, len(counting.flights)) == (0, 0)


async def test_a_cancelled_owner_returns_when_the_last_waiter_has_left() -> None:
    counting = CountingLookup(SingleFlight())
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        host = cancellable(group, counting.ask)
        await settle()
        other = cancellable(group, counting.ask)
        await settle()
        host.cancel()
        await anyio.sleep(0.5)
        other.cancel()
    assert anyio.current_time() - start == pytest.approx(0.5, abs=0.3)  # settling takes time
    assert (counting.finished, counting.running, len(counting.flights)) == (0, 0, 0)


async def test_pitfalls_4_12_13_after_failures_callers_still_share_one_lookup(
    counting: CountingLookup,
) -> None:
    failures: list[FlightError] = []

    async def ask() -> None:
        try:
            await counting.ask()
        except FlightError as error:
            failures.append(error)

    for expected in (1, 2, 3):
        counting.raises = RuntimeError("no") if expected < 3 else None
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        assert counting.began == expected
    assert len(failures) == 10
    assert counting.answers == ["answer 3"] * 5


async def test_pitfall_5_the_first_callers_context_does_not_reach_the_lookup(
    counting: CountingLookup,
) -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    seen: list[str] = []

    async def look_up(_: Flight[str]) -> str:
        await checkpoint()
        seen.append(tenant.get())
        return "answer"

    tenant.set("first caller")
    await counting.flights.run("key", look_up)
    assert seen == ["nobody"]
    assert tenant.get() == "first caller"


async def test_pitfall_6_nobody_boards_a_flight_that_is_being_cancelled(
    counting: CountingLookup,
) -> None:
    async def slow_to_die(_: Flight[str]) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)

    async with anyio.create_task_group() as group:
        first = cancellable(group, lambda: counting.flights.run("key", slow_to_die))
        await settle()
        first.cancel()
        await settle()
        assert len(counting.flights) == 0
        with anyio.fail_after(2):
            assert await counting.ask() == "answer 1"


async def test_pitfall_7_a_cancellation_does_not_let_a_second_lookup_in(
    counting: CountingLookup,
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(counting.ask)
        await settle()
        cancellable(group, counting.ask).cancel()
        await settle()
        group.start_soon(counting.ask)
    assert (counting.began, counting.most_at_once) == (1, 1)


async def test_pitfall_8_an_old_flights_end_does_not_evict_its_successor(
    counting: CountingLookup,
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(counting.ask)
        await anyio.sleep(0.5)
        detach(counting.flights)
        group.start_soon(counting.ask)
        await anyio.sleep(0.75)  # the old one has finished
        assert len(counting.flights) == 1
        group.start_soon(counting.ask)
    assert sorted(counting.answers) == ["answer 1", "answer 2", "answer 2"]


async def test_pitfall_9_after_forget_nobody_joins_the_older_flight(
    counting: CountingLookup,
) -> None:
    current: list[bool] = []

    async def look_up(flight: Flight[str]) -> str:
        await anyio.sleep(1)
        current.append(flight.current)
        return "old"

    async with anyio.create_task_group() as group:
        group.start_soon(counting.flights.run, "key", look_up)
        await anyio.sleep(0.5)
        detach(counting.flights)
        assert await counting.ask() == "answer 1"
    assert current == [False]


async def test_pitfall_10_each_waiter_gets_an_exception_of_its_own(
    counting: CountingLookup,
) -> None:
    counting.raises = RuntimeError("a secret")
    errors: list[FlightError] = []

    async def ask() -> None:
        with pytest.raises(FlightError) as caught:
            await counting.ask()
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        assert str(error) == "The lookup failed with RuntimeError."
        assert error.__cause__ is error.__context__ is None


async def test_pitfall_11_keys_are_forgotten_with_their_flights(counting: CountingLookup) -> None:
    for n in range(100):
        with anyio.move_on_after(0.1 if n % 2 else 2):
            await counting.ask(f"key {n}")
    await settle()
    gc.collect()
    assert len(counting.flights) == 0
    alive = [x for x in gc.get_objects() if isinstance(x, Flight)]
    assert alive == []


async def test_pitfall_15_a_flight_that_cannot_start_leaves_no_trace() -> None:
    async with anyio.create_task_group() as group:
        pass
    flights: SingleFlight[str] = SingleFlight(group)
    counting = CountingLookup(flights)
    for _ in range(2):
        with pytest.raises(FlightError):
            await counting.ask()
        assert len(flights) == 0
    flights.task_group = None
    assert await counting.ask() == "answer 1"


async def test_pitfall_16_cancelled_waiters_leave_no_count_behind(counting: CountingLookup) -> None:
    async with anyio.create_task_group() as group:
        scopes = [cancellable(group, counting.ask) for _ in range(10)]
        await settle()
        for scope in reversed(scopes):
            scope.cancel()
    await settle()
    assert (len(counting.flights), counting.running) == (0, 0)
    assert await counting.ask() == "answer 2"


async def test_a_caller_that_is_cancelled_before_its_first_step_leaves_no_flight(
    counting: CountingLookup,
) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await counting.ask()
    await settle()
    assert (len(counting.flights), counting.running, counting.finished) == (0, 0, 0)


async def test_a_fresh_caller_does_not_join_a_lookup_that_has_begun(
    counting: CountingLookup,
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(counting.ask)
        await anyio.sleep(0.5)
        assert await counting.ask(fresh=True) == "answer 2"
    assert counting.answers == ["answer 1", "answer 2"]


async def test_fresh_callers_at_the_same_moment_share_one_lookup(counting: CountingLookup) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(lambda: counting.ask(fresh=True))
    assert counting.answers == ["answer 1"] * 10


async def test_a_fresh_caller_makes_the_flight_it_joins_fresh(counting: CountingLookup) -> None:
    seen: list[bool] = []

    async def look_up(flight: Flight[str]) -> str:
        await checkpoint()
        seen.append(flight.fresh)
        return "answer"

    async with anyio.create_task_group() as group:
        group.start_soon(counting.flights.run, "key", look_up)
        group.start_soon(lambda: counting.flights.run("key", look_up, fresh=True))
    assert len(seen) in {1, 2}
    assert seen[-1]


async def test_cancelling_all_flights_includes_detached_ones(
    counting: CountingLookup,
) -> None:
    lost: list[bool] = []

    async def ask(*, fresh: bool) -> None:
        with pytest.raises(FlightError):
            await counting.ask(fresh=fresh)
        lost.append(fresh)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: ask(fresh=False))
        await settle()
        group.start_soon(lambda: ask(fresh=True))
        await settle()
        assert counting.running == 2
        counting.flights.cancel_all()
    assert sorted(lost) == [False, True]
    assert counting.running == 0


async def test_an_exception_raised_in_an_owner_from_outside_is_not_wrapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counting = CountingLookup(SingleFlight())

    async def interrupted(_: object) -> None:
        await checkpoint()
        raise KeyboardInterrupt

    monkeypatch.setattr(Flight, "wait", interrupted)  # as a signal interrupts it
    with pytest.raises(KeyboardInterrupt):
        await counting.ask()
    assert (len(counting.flights), counting.running) == (0, 0)


async def test_cancelling_all_flights_raises_for_the_waiters(counting: CountingLookup) -> None:
    lost: list[str] = []

    async def ask(key: str) -> None:
        with pytest.raises(FlightError) as caught:
            await counting.ask(key)
        lost.append(str(caught.value))

    async with anyio.create_task_group() as group:
        for key in ("one", "one", "two"):
            group.start_soon(ask, key)
        await settle()
        counting.flights.cancel_all()
        assert len(counting.flights) == 0
    assert lost == ["The lookup was cancelled."] * 3
    assert counting.running == 0


async def test_a_task_group_that_ends_releases_the_waiters() -> None:
    async with anyio.create_task_group() as callers:
        async with anyio.create_task_group() as group:
            counting = CountingLookup(SingleFlight(group))

            async def ask() -> None:
                with pytest.raises(FlightError):
                    await counting.ask()

            callers.start_soon(ask)
            await settle()
            group.cancel_scope.cancel()
    assert len(counting.flights) == 0


@pytest.fixture
async def one_at_a_time() -> AsyncIterator[CountingLookup]:
    """A counting that lets one flight after another fly."""
    async with anyio.create_task_group() as group:
        yield CountingLookup(SingleFlight(group, capacity=1))
        group.cancel_scope.cancel()


async def test_lookups_run_within_the_capacity_and_start_in_order() -> None:
    order: list[str] = []
    async with anyio.create_task_group() as group:
        counting = CountingLookup(SingleFlight(group, capacity=3))

        async def ask(key: str) -> None:
            async def look_up(flight: Flight[str]) -> str:
                order.append(key)
                return await counting.look_up(flight)

            await counting.flights.run(key, look_up)

        start = anyio.current_time()
        async with anyio.create_task_group() as callers:
            for n in range(6):
                callers.start_soon(ask, f"key {n}")
                await checkpoint()
        assert anyio.current_time() - start == pytest.approx(3)
    # Which of two that begin at one moment is first, trio draws by lot.
    assert [sorted(order[n : n + 2]) for n in (0, 2, 4)] == [
        [f"key {n}", f"key {n + 1}"] for n in (0, 2, 4)
    ]
    assert counting.most_at_once == 2


async def test_a_queued_flight_without_waiters_never_looks_up(
    one_at_a_time: CountingLookup,
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(one_at_a_time.ask, "first")
        await settle()
        second = cancellable(group, lambda: one_at_a_time.ask("second"))
        group.start_soon(one_at_a_time.ask, "third")
        await settle()
        second.cancel()
        await settle()
        assert len(one_at_a_time.flights) == 2
    assert one_at_a_time.answers == ["answer 1", "answer 2"]
    assert one_at_a_time.began == 2


async def test_a_fresh_caller_joins_a_queued_flight(
    one_at_a_time: CountingLookup,
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(one_at_a_time.ask, "first")
        await settle()
        group.start_soon(one_at_a_time.ask, "second")
        await settle()
        assert await one_at_a_time.ask("second", fresh=True) == "answer 2"
    assert one_at_a_time.began == 2


async def test_cancelling_all_flights_includes_queued_ones(
    one_at_a_time: CountingLookup,
) -> None:
    lost: list[str] = []

    async def ask(key: str) -> None:
        with pytest.raises(FlightError, match="was cancelled"):
            await one_at_a_time.ask(key)
        lost.append(key)

    async with anyio.create_task_group() as group:
        for key in ("one", "two", "three"):
            group.start_soon(ask, key)
        await settle()
        one_at_a_time.flights.cancel_all()
    assert sorted(lost) == ["one", "three", "two"]
    assert (one_at_a_time.began, one_at_a_time.running) == (1, 0)
    assert await one_at_a_time.ask() == "answer 2"


async def test_a_task_group_that_ends_releases_queued_flights() -> None:
    lost: list[str] = []
    async with anyio.create_task_group() as callers:
        async with anyio.create_task_group() as group:
            counting = CountingLookup(SingleFlight(group, capacity=3))

            async def ask(key: str) -> None:
                with pytest.raises(FlightError):
                    await counting.ask(key)
                lost.append(key)

            for n in range(7):
                callers.start_soon(ask, f"key {n}")
            await settle()
            group.cancel_scope.cancel()
    assert len(lost) == 7
    assert (len(counting.flights), counting.running, counting.finished) == (0, 0, 0)


async def test_one_share_may_use_four_fifths_of_the_capacity() -> None:
    async with anyio.create_task_group() as group:
        fair = SingleFlight[str](group, capacity=375, share_of=lambda _: "share", proven={"share"})
        counting = CountingLookup(fair)
        async with anyio.create_task_group() as callers:
            for number in range(400):
                callers.start_soon(counting.ask, f"key {number}")
    assert (counting.most_at_once, counting.finished) == (300, 400)


async def test_the_repr_of_a_flight_does_not_show_its_key(counting: CountingLookup) -> None:
    async def look_up(flight: Flight[str], secret: str) -> str:
        await checkpoint()
        return repr(flight).replace(secret, "shown")

    shown = await counting.flights.run("key", partial(look_up, secret="s3cret-t0ken"))
    assert "key" in shown
    assert not any(name in shown for name in ("shown", "_lookup", "_table", "_queue", "_active"))


async def test_joining_calls_on_join() -> None:
    joined: list[Flight[str]] = []
    counting = CountingLookup(SingleFlight(on_join=joined.append))
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(counting.ask)
    assert len(joined) == 4
    assert len(set(joined)) == 1


async def test_a_caller_owned_flight_that_is_cancelled_before_its_first_step_never_looks_up() -> (
    None
):
    async def look(_: object) -> None: ...

    flights: SingleFlight[None] = SingleFlight()
    async with anyio.create_task_group() as group:
        flight = flights._launch("key", look, group, fresh=False)  # noqa: SLF001
        flights.cancel_all()
    with pytest.raises(FlightError):
        await flight.wait()
    assert flight.pending


async def test_pitfall_23_a_flight_that_is_over_does_not_know_what_it_looked_up(
    counting: CountingLookup,
) -> None:
    flights: list[Flight[str]] = []

    async def look_up(flight: Flight[str]) -> str:
        flights.append(flight)
        return await counting.look_up(flight)

    assert await counting.flights.run("key", look_up) == "answer 1"
    with anyio.move_on_after(0.5):
        await counting.flights.run("key", look_up)
    await settle()
    assert [flight.done.is_set() for flight in flights] == [True, True]
    assert not [flight for flight in flights if look_up in gc.get_referents(flight)]
