"""Native cancellation, which only asyncio has: any code may cancel a task."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import anyio
import pytest

from oxaigen_auth._core.flight import Flight, FlightError
from oxaigen_auth._core.singleflight import SingleFlight

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_natively_cancelled_owner_waits_for_the_others_and_stays_cancelled() -> None:
    flights: SingleFlight[str] = SingleFlight()
    finished = asyncio.Event()

    async def look_up(_: Flight[str]) -> str:
        await finished.wait()
        return "answer"

    host = asyncio.create_task(flights.run("key", look_up))
    await asyncio.sleep(0)
    other = asyncio.create_task(flights.run("key", look_up))
    await asyncio.sleep(0)
    for _ in range(3):
        host.cancel()
        await asyncio.sleep(0)
    assert not host.done()
    finished.set()
    assert await other == "answer"
    with pytest.raises(asyncio.CancelledError):
        await host


async def test_a_natively_cancelled_waiter_does_not_affect_the_owner() -> None:
    flights: SingleFlight[str] = SingleFlight()
    finished = asyncio.Event()

    async def look_up(_: Flight[str]) -> str:
        await finished.wait()
        return "answer"

    host = asyncio.create_task(flights.run("key", look_up))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flights.run("key", look_up), 0.01)
    finished.set()
    assert await host == "answer"


async def test_a_lone_owner_under_asyncio_timeout_leaves_no_flight() -> None:
    flights: SingleFlight[str] = SingleFlight()

    async def look_up(_: Flight[str]) -> Any:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.run("key", look_up)
    assert len(flights) == 0


async def test_queued_flights_run_after_the_task_of_a_running_one_was_cancelled() -> None:
    async def look_up(_: Flight[str]) -> str:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0.01)
        return "answer"

    tasks: list[Any] = []
    async with anyio.create_task_group() as group:
        flights: SingleFlight[str] = SingleFlight(group, capacity=1)
        cut_off = asyncio.create_task(flights.run("first", look_up))
        others = [asyncio.create_task(flights.run(f"key {n}", look_up)) for n in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(FlightError, match="was cancelled"):
            await cut_off
        async with asyncio.timeout(60):
            assert await asyncio.gather(*others) == ["answer", "answer"]
    assert len(flights) == 0


async def test_a_flight_whose_task_alone_is_cancelled_ends_nothing_else() -> None:
    async def look_up(_: Flight[str]) -> Any:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(60)

    tasks: list[Any] = []
    async with anyio.create_task_group() as group:
        flights: SingleFlight[str] = SingleFlight(group)
        caller = asyncio.create_task(flights.run("key", look_up))
        await anyio.wait_all_tasks_blocked()
        tasks[0].cancel()
        with pytest.raises(FlightError, match="was cancelled"):
            await caller
        await anyio.wait_all_tasks_blocked()  # the block goes on
        assert not group.cancel_scope.cancel_called
    assert len(flights) == 0


never_awaited = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")


async def cancel_new_tasks(before: set[Any], steps: int) -> None:
    """Cancel the tasks that a flight started, after some steps of theirs."""
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before:
        task.cancel()


@never_awaited
@pytest.mark.parametrize("steps", range(3))
async def test_a_cancelled_task_of_a_caller_owned_flight_hangs_nobody(steps: int) -> None:
    async def look_up(_: Flight[str]) -> Any:
        await asyncio.sleep(60)

    flights: SingleFlight[str] = SingleFlight(capacity=1, max_wait=30)
    before = asyncio.all_tasks()
    host = asyncio.create_task(flights.run("key", look_up))
    waiting = asyncio.create_task(flights.run("other key", look_up))  # its timer is cancelled
    await asyncio.sleep(0)
    others = [asyncio.create_task(flights.run("key", look_up)) for _ in range(2)]
    callers = {host, waiting, *others}
    await cancel_new_tasks(before | callers, steps)
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(outcome, FlightError) for outcome in outcomes] == [True] * 4
    assert len(flights) == flights._queue._held == 0  # noqa: SLF001
    assert not flights._waiting  # noqa: SLF001
    gc.collect()


@never_awaited
async def test_a_flight_whose_task_never_begins_hangs_no_cancelled_owner() -> None:
    """The host was cancelled while the flight waited for its turn, and stays for another caller."""
    finished = asyncio.Event()

    async def look_up(_: Flight[str]) -> str:
        await finished.wait()
        return "answer"

    flights: SingleFlight[str] = SingleFlight(capacity=1)
    first = asyncio.create_task(flights.run("first", look_up))
    await asyncio.sleep(0)
    host = asyncio.create_task(flights.run("key", look_up))
    await asyncio.sleep(0)
    other = asyncio.create_task(flights.run("key", look_up))
    await asyncio.sleep(0.01)
    host.cancel()
    await asyncio.sleep(0.01)
    assert not host.done()
    before = asyncio.all_tasks()
    finished.set()
    while not (new := asyncio.all_tasks() - before):  # noqa: ASYNC110 (its first step is awaited)
        await asyncio.sleep(0)
    new.pop().cancel()  # before its first step
    async with asyncio.timeout(5):
        assert await first == "answer"
        with pytest.raises(FlightError, match="was cancelled"):
            await other
        with pytest.raises(asyncio.CancelledError):
            await host
    assert len(flights) == flights._queue._held == 0  # noqa: SLF001
    gc.collect()


async def test_an_owner_that_is_cancelled_while_its_flight_waits_lets_it_run_for_the_others() -> (
    None
):
    finished = asyncio.Event()

    async def look_up(_: Flight[str]) -> str:
        await finished.wait()
        return "answer"

    flights: SingleFlight[str] = SingleFlight(capacity=1, max_wait=30)
    first = asyncio.create_task(flights.run("first", look_up))
    await asyncio.sleep(0)
    host = asyncio.create_task(flights.run("key", look_up))
    await asyncio.sleep(0)
    other = asyncio.create_task(flights.run("key", look_up))
    await asyncio.sleep(0.01)
    for _ in range(3):
        host.cancel()
        await asyncio.sleep(0.01)
    assert not host.done()
    finished.set()
    assert [await first, await other] == ["answer", "answer"]
    with pytest.raises(asyncio.CancelledError):
        await host
