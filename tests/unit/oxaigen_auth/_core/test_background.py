"""Task groups in a background task of the event loop; in virtual time."""

from __future__ import annotations

import asyncio
import gc
import signal
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from attrs import define, field

from oxaigen_auth._core.background import (
    BackgroundTaskGroup,
    call_soon_in_task,
    call_soon_threadsafe,
    has_ended,
    in_event_loop,
    running_loop,
    start_background_task,
)
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

pytestmark = pytest.mark.anyio
asyncio_only = pytest.mark.parametrize("anyio_backend", ["asyncio"])
# anyio leaves the coroutine of a task that was cancelled before its first step to the collector.
never_awaited = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")


@define(eq=False)
class Owner:
    """What uses the group."""

    group: TaskGroup | None = None
    opened: int = 0
    closed: int = 0
    background: BackgroundTaskGroup = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.background = BackgroundTaskGroup(self.open, self.close)

    def open(self, group: TaskGroup) -> None:
        self.group = group
        self.opened += 1

    def close(self) -> None:
        self.group = None
        self.closed += 1

    def start(self, function: Any, *args: Any) -> None:
        assert self.group is not None
        self.group.start_soon(function, *args)


async def test_pitfall_55_one_task_opens_the_group_and_another_closes_it() -> None:
    owner = Owner()
    cut_off: list[bool] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cut_off.append(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(owner.background.open)
        await anyio.wait_all_tasks_blocked()
        owner.start(work)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(owner.background.aclose)
    assert cut_off == [True]
    assert (owner.opened, owner.closed) == (1, 1)


async def test_a_background_task_runs_without_the_context_of_its_starter() -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    seen: list[str] = []

    async def look() -> None:
        await anyio.lowlevel.checkpoint()
        seen.append(tenant.get())

    tenant.set("somebody")
    done = anyio.Event()
    start_background_task(look, done.set)
    await done.wait()
    assert seen == ["nobody"]


async def test_a_group_whose_opening_was_cancelled_can_be_closed() -> None:
    owner = Owner()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await owner.background.open()
    await owner.background.aclose()
    assert owner.opened == owner.closed
    assert owner.group is None


async def test_a_group_that_was_never_opened_can_be_closed() -> None:
    owner = Owner()
    await owner.background.aclose()
    assert owner.opened == owner.closed == 0


async def test_closing_waits_at_most_a_second_for_a_hanging_task() -> None:
    owner = Owner()
    await owner.background.open()

    async def linger() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(60)

    owner.start(linger)
    await anyio.wait_all_tasks_blocked()
    start = anyio.current_time()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await owner.background.aclose()
    assert anyio.current_time() - start == pytest.approx(1)
    await anyio.sleep(60)
    assert owner.closed == 1


@never_awaited
@asyncio_only
async def test_a_task_that_is_cancelled_before_its_first_step_renews_the_group() -> None:
    owner = Owner()
    await owner.background.open()
    first = owner.group
    before = asyncio.all_tasks()
    owner.start(asyncio.sleep, 60)
    (task,) = asyncio.all_tasks() - before
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert owner.group is not None
    assert owner.group is not first
    await owner.background.aclose()
    assert (owner.opened, owner.closed) == (2, 2)
    del task
    gc.collect()


@asyncio_only
@pytest.mark.parametrize("steps", range(4))
async def test_a_background_task_can_be_cancelled_at_any_step(
    steps: int,
) -> None:
    owner = Owner()
    before = asyncio.all_tasks()
    opening = asyncio.create_task(owner.background.open())
    await asyncio.sleep(0)
    (task,) = asyncio.all_tasks() - before - {opening}
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(1):
        await opening
        await asyncio.gather(task, return_exceptions=True)
        await owner.background.aclose()
    assert owner.group is None
    assert owner.opened == owner.closed


def test_control_c_in_a_task_of_the_group_ends_the_main_task_on_trio() -> None:
    async def interrupted() -> None:
        await trio.lowlevel.checkpoint()
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        owner = Owner()
        await owner.background.open()
        owner.start(interrupted)
        await trio.sleep(10)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored here
    try:
        with pytest.raises(KeyboardInterrupt):
            trio.run(main)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_function_is_called_in_its_loop_and_never_after_the_loop_has_ended(backend: str) -> None:
    called: list[bool] = []

    async def main() -> Any:
        loop, done = running_loop(), anyio.Event()
        call_soon_threadsafe(loop, done.set)
        await done.wait()
        assert not has_ended(loop)
        return loop

    loop = anyio.run(main, backend=backend)
    call_soon_threadsafe(loop, lambda: called.append(True))
    assert has_ended(loop) == (backend == "asyncio")
    assert called == []


async def test_a_function_of_another_thread_is_called_in_a_task_where_anyio_works() -> None:
    loop, called = running_loop(), anyio.Event()
    times: list[float] = []

    def call() -> None:
        times.append(anyio.current_time())
        called.set()

    await anyio.to_thread.run_sync(call_soon_in_task, loop, call)
    await called.wait()
    assert times == [anyio.current_time()]


async def test_an_event_loop_runs_in_the_thread_of_a_task_and_in_no_other() -> None:
    assert in_event_loop()
    assert not await anyio.to_thread.run_sync(in_event_loop)
