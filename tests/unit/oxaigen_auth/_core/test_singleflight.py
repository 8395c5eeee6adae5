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
class Tower:
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
async def tower(request: pytest.FixtureRequest) -> AsyncIterator[Tower]:
    if request.param == "hosted by the first caller":
        yield Tower(SingleFlight())
        return
    async with anyio.create_task_group() as group:
        yield Tower(SingleFlight(group))
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


async def test_a_burst_of_equal_questions_makes_one_lookup(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(tower.ask)
    assert tower.answers == ["answer 1"] * 100
    assert (tower.began, len(tower.flights)) == (1, 0)


async def test_different_questions_do_not_wait_for_each_other(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(tower.ask, "one")
        group.start_soon(tower.ask, "two")
    assert (tower.began, tower.most_at_once) == (2, 2)


async def test_a_later_question_is_asked_anew(tower: Tower) -> None:
    assert [await tower.ask(), await tower.ask()] == ["answer 1", "answer 2"]


async def test_pitfall_1_the_first_callers_cancellation_fails_nobody_else(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        first = cancellable(group, tower.ask)
        await settle()
        for _ in range(4):
            group.start_soon(tower.ask)
        await settle()
        first.cancel()
    assert tower.answers == ["answer 1"] * 4
    assert tower.began == 1


async def test_pitfall_2_a_waiters_cancellation_leaves_the_lookup_alone(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(tower.ask)
        await settle()
        waiters = [cancellable(group, tower.ask) for _ in range(4)]
        await settle()
        for waiter in waiters:
            waiter.cancel()
    assert tower.answers == ["answer 1"]
    assert (tower.began, tower.finished) == (1, 1)


async def test_pitfall_3_a_late_joiner_outlives_the_first_callers_deadline(tower: Tower) -> None:
    async def first() -> None:
        with anyio.move_on_after(0.5):
            await tower.ask()

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        await anyio.sleep(0.4)
        group.start_soon(tower.ask)
    assert tower.answers == ["answer 1"]
    assert tower.began == 1


async def test_a_cancelled_host_leaves_when_the_flight_has_landed_and_not_before() -> None:
    tower = Tower(SingleFlight())
    left_at: list[float] = []
    start = anyio.current_time()

    async def host() -> None:
        with anyio.move_on_after(0.25):
            await tower.ask()
        left_at.append(anyio.current_time() - start)

    async with anyio.create_task_group() as group:
        group.start_soon(host)
        await settle()
        group.start_soon(tower.ask)
    assert left_at == [pytest.approx(1)]
    assert tower.answers == ["answer 1"]


async def test_a_host_nobody_waits_with_leaves_at_once() -> None:
    tower = Tower(SingleFlight())
    start = anyio.current_time()
    with anyio.move_on_after(0.25):
        await tower.ask()
    assert anyio.current_time() - start == pytest.approx(0.25)
    assert (tower.running, len(tower.flights)) == (0, 0)


async def test_a_cancelled_host_leaves_with_the_last_of_the_others() -> None:
    tower = Tower(SingleFlight())
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        host = cancellable(group, tower.ask)
        await settle()
        other = cancellable(group, tower.ask)
        await settle()
        host.cancel()
        await anyio.sleep(0.5)
        other.cancel()
    assert anyio.current_time() - start == pytest.approx(0.5, abs=0.3)  # settling takes time
    assert (tower.finished, tower.running, len(tower.flights)) == (0, 0, 0)


async def test_pitfalls_4_12_13_after_failures_callers_still_share_one_lookup(
    tower: Tower,
) -> None:
    failures: list[FlightError] = []

    async def ask() -> None:
        try:
            await tower.ask()
        except FlightError as error:
            failures.append(error)

    for expected in (1, 2, 3):
        tower.raises = RuntimeError("no") if expected < 3 else None
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        assert tower.began == expected
    assert len(failures) == 10
    assert tower.answers == ["answer 3"] * 5


async def test_pitfall_5_the_first_callers_context_does_not_reach_the_lookup(
    tower: Tower,
) -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    seen: list[str] = []

    async def look_up(_: Flight[str]) -> str:
        await checkpoint()
        seen.append(tenant.get())
        return "answer"

    tenant.set("first caller")
    await tower.flights.run("key", look_up)
    assert seen == ["nobody"]
    assert tenant.get() == "first caller"


async def test_pitfall_6_nobody_boards_a_flight_that_is_being_cancelled(tower: Tower) -> None:
    async def slow_to_die(_: Flight[str]) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)

    async with anyio.create_task_group() as group:
        first = cancellable(group, lambda: tower.flights.run("key", slow_to_die))
        await settle()
        first.cancel()
        await settle()
        assert len(tower.flights) == 0
        with anyio.fail_after(2):
            assert await tower.ask() == "answer 1"


async def test_pitfall_7_a_cancellation_does_not_let_a_second_lookup_in(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(tower.ask)
        await settle()
        cancellable(group, tower.ask).cancel()
        await settle()
        group.start_soon(tower.ask)
    assert (tower.began, tower.most_at_once) == (1, 1)


async def test_pitfall_8_an_old_flights_end_does_not_evict_its_successor(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(tower.ask)
        await anyio.sleep(0.5)
        detach(tower.flights)
        group.start_soon(tower.ask)
        await anyio.sleep(0.75)  # the old one has landed
        assert len(tower.flights) == 1
        group.start_soon(tower.ask)
    assert sorted(tower.answers) == ["answer 1", "answer 2", "answer 2"]


async def test_pitfall_9_after_forget_nobody_joins_the_older_flight(tower: Tower) -> None:
    current: list[bool] = []

    async def look_up(flight: Flight[str]) -> str:
        await anyio.sleep(1)
        current.append(flight.current)
        return "old"

    async with anyio.create_task_group() as group:
        group.start_soon(tower.flights.run, "key", look_up)
        await anyio.sleep(0.5)
        detach(tower.flights)
        assert await tower.ask() == "answer 1"
    assert current == [False]


async def test_pitfall_10_each_waiter_gets_an_exception_of_its_own(tower: Tower) -> None:
    tower.raises = RuntimeError("a secret")
    errors: list[FlightError] = []

    async def ask() -> None:
        with pytest.raises(FlightError) as caught:
            await tower.ask()
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        assert str(error) == "The lookup failed with RuntimeError."
        assert error.__cause__ is error.__context__ is None


async def test_pitfall_11_keys_are_forgotten_with_their_flights(tower: Tower) -> None:
    for n in range(100):
        with anyio.move_on_after(0.1 if n % 2 else 2):
            await tower.ask(f"key {n}")
    await settle()
    gc.collect()
    assert len(tower.flights) == 0
    alive = [x for x in gc.get_objects() if isinstance(x, Flight)]
    assert alive == []


async def test_pitfall_15_a_flight_that_cannot_start_leaves_no_trace() -> None:
    async with anyio.create_task_group() as group:
        pass
    flights: SingleFlight[str] = SingleFlight(group)
    tower = Tower(flights)
    for _ in range(2):
        with pytest.raises(FlightError):
            await tower.ask()
        assert len(flights) == 0
    flights.task_group = None
    assert await tower.ask() == "answer 1"


async def test_pitfall_16_cancelled_waiters_leave_no_count_behind(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        scopes = [cancellable(group, tower.ask) for _ in range(10)]
        await settle()
        for scope in reversed(scopes):
            scope.cancel()
    await settle()
    assert (len(tower.flights), tower.running) == (0, 0)
    assert await tower.ask() == "answer 2"


async def test_a_caller_that_is_cancelled_before_it_asks_starts_nothing_that_stays(
    tower: Tower,
) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await tower.ask()
    await settle()
    assert (len(tower.flights), tower.running, tower.finished) == (0, 0, 0)


async def test_a_fresh_caller_does_not_join_a_lookup_that_has_begun(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(tower.ask)
        await anyio.sleep(0.5)
        assert await tower.ask(fresh=True) == "answer 2"
    assert tower.answers == ["answer 1", "answer 2"]


async def test_fresh_callers_at_the_same_moment_share_one_lookup(tower: Tower) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(lambda: tower.ask(fresh=True))
    assert tower.answers == ["answer 1"] * 10


async def test_a_fresh_caller_makes_the_flight_it_boards_fresh(tower: Tower) -> None:
    seen: list[bool] = []

    async def look_up(flight: Flight[str]) -> str:
        await checkpoint()
        seen.append(flight.fresh)
        return "answer"

    async with anyio.create_task_group() as group:
        group.start_soon(tower.flights.run, "key", look_up)
        group.start_soon(lambda: tower.flights.run("key", look_up, fresh=True))
    assert len(seen) in {1, 2}
    assert seen[-1]


async def test_losing_all_flights_includes_those_that_nobody_can_board(tower: Tower) -> None:
    lost: list[bool] = []

    async def ask(*, fresh: bool) -> None:
        with pytest.raises(FlightError):
            await tower.ask(fresh=fresh)
        lost.append(fresh)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: ask(fresh=False))
        await settle()
        group.start_soon(lambda: ask(fresh=True))
        await settle()
        assert tower.running == 2
        tower.flights.cancel_all()
    assert sorted(lost) == [False, True]
    assert tower.running == 0


async def test_an_exception_that_hits_a_host_from_outside_comes_out_bare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tower = Tower(SingleFlight())

    async def interrupted(_: object) -> None:
        await checkpoint()
        raise KeyboardInterrupt

    monkeypatch.setattr(Flight, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await tower.ask()
    assert (len(tower.flights), tower.running) == (0, 0)


async def test_losing_all_flights_tells_those_who_wait(tower: Tower) -> None:
    lost: list[str] = []

    async def ask(key: str) -> None:
        with pytest.raises(FlightError) as caught:
            await tower.ask(key)
        lost.append(str(caught.value))

    async with anyio.create_task_group() as group:
        for key in ("one", "one", "two"):
            group.start_soon(ask, key)
        await settle()
        tower.flights.cancel_all()
        assert len(tower.flights) == 0
    assert lost == ["The lookup was cancelled."] * 3
    assert tower.running == 0


async def test_a_group_that_ends_releases_those_who_wait() -> None:
    async with anyio.create_task_group() as callers:
        async with anyio.create_task_group() as group:
            tower = Tower(SingleFlight(group))

            async def ask() -> None:
                with pytest.raises(FlightError):
                    await tower.ask()

            callers.start_soon(ask)
            await settle()
            group.cancel_scope.cancel()
    assert len(tower.flights) == 0


@pytest.fixture
async def single_track() -> AsyncIterator[Tower]:
    """A tower that lets one flight after another fly."""
    async with anyio.create_task_group() as group:
        yield Tower(SingleFlight(group, capacity=1))
        group.cancel_scope.cancel()


async def test_no_more_lookups_run_at_once_than_may_and_they_begin_in_order() -> None:
    order: list[str] = []
    async with anyio.create_task_group() as group:
        tower = Tower(SingleFlight(group, capacity=3))

        async def ask(key: str) -> None:
            async def look_up(flight: Flight[str]) -> str:
                order.append(key)
                return await tower.look_up(flight)

            await tower.flights.run(key, look_up)

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
    assert tower.most_at_once == 2


async def test_a_flight_that_is_left_before_its_turn_never_looks_up(single_track: Tower) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(single_track.ask, "first")
        await settle()
        second = cancellable(group, lambda: single_track.ask("second"))
        group.start_soon(single_track.ask, "third")
        await settle()
        second.cancel()
        await settle()
        assert len(single_track.flights) == 2
    assert single_track.answers == ["answer 1", "answer 2"]
    assert single_track.began == 2


async def test_a_fresh_caller_boards_a_flight_whose_turn_has_not_come(single_track: Tower) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(single_track.ask, "first")
        await settle()
        group.start_soon(single_track.ask, "second")
        await settle()
        assert await single_track.ask("second", fresh=True) == "answer 2"
    assert single_track.began == 2


async def test_losing_all_flights_includes_those_whose_turn_has_not_come(
    single_track: Tower,
) -> None:
    lost: list[str] = []

    async def ask(key: str) -> None:
        with pytest.raises(FlightError, match="was cancelled"):
            await single_track.ask(key)
        lost.append(key)

    async with anyio.create_task_group() as group:
        for key in ("one", "two", "three"):
            group.start_soon(ask, key)
        await settle()
        single_track.flights.cancel_all()
    assert sorted(lost) == ["one", "three", "two"]
    assert (single_track.began, single_track.running) == (1, 0)
    assert await single_track.ask() == "answer 2"


async def test_a_group_that_ends_releases_those_whose_turn_has_not_come() -> None:
    lost: list[str] = []
    async with anyio.create_task_group() as callers:
        async with anyio.create_task_group() as group:
            tower = Tower(SingleFlight(group, capacity=3))

            async def ask(key: str) -> None:
                with pytest.raises(FlightError):
                    await tower.ask(key)
                lost.append(key)

            for n in range(7):
                callers.start_soon(ask, f"key {n}")
            await settle()
            group.cancel_scope.cancel()
    assert len(lost) == 7
    assert (len(tower.flights), tower.running, tower.finished) == (0, 0, 0)


async def test_of_one_share_four_fifths_of_the_capacity_fly_at_once() -> None:
    async with anyio.create_task_group() as group:
        fair = SingleFlight[str](group, capacity=375, share_of=lambda _: "share", proven={"share"})
        tower = Tower(fair)
        async with anyio.create_task_group() as callers:
            for number in range(400):
                callers.start_soon(tower.ask, f"key {number}")
    assert (tower.most_at_once, tower.finished) == (300, 400)


async def test_a_flight_does_not_show_what_it_asks(tower: Tower) -> None:
    async def look_up(flight: Flight[str], secret: str) -> str:
        await checkpoint()
        return repr(flight).replace(secret, "shown")

    shown = await tower.flights.run("key", partial(look_up, secret="s3cret-t0ken"))
    assert "key" in shown
    assert not any(name in shown for name in ("shown", "_lookup", "_table", "_queue", "_active"))


async def test_joining_is_counted() -> None:
    joined: list[None] = []
    tower = Tower(SingleFlight(on_join=lambda: joined.append(None)))
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(tower.ask)
    assert len(joined) == 4


async def test_a_hosted_flight_that_is_lost_before_it_begins_never_looks() -> None:
    async def look(_: object) -> None: ...

    flights: SingleFlight[None] = SingleFlight()
    async with anyio.create_task_group() as group:
        flight = flights._launch("key", look, group, fresh=False)  # noqa: SLF001
        flights.cancel_all()
    with pytest.raises(FlightError):
        await flight.wait()
    assert flight.pending


async def test_pitfall_23_a_flight_that_is_over_does_not_know_what_it_looked_up(
    tower: Tower,
) -> None:
    flights: list[Flight[str]] = []

    async def look_up(flight: Flight[str]) -> str:
        flights.append(flight)
        return await tower.look_up(flight)

    assert await tower.flights.run("key", look_up) == "answer 1"
    with anyio.move_on_after(0.5):
        await tower.flights.run("key", look_up)
    await settle()
    assert [flight.done.is_set() for flight in flights] == [True, True]
    assert not [flight for flight in flights if look_up in gc.get_referents(flight)]
