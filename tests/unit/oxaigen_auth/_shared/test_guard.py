from __future__ import annotations

import anyio
import pytest

from oxaigen_auth._shared.guard import MAX_BACKOFF, EngineGuard
from oxaigen_auth._shared.store import SharedStoreError
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio


class Engine:
    """Fails while `problem` is set, after `delay` seconds."""

    def __init__(self) -> None:
        self.problem = ""
        self.delay = 0.0
        self.calls = 0
        self.changes: list[str | None] = []
        self.guard = EngineGuard(anyio.current_time, 0.25, self.changes.append)

    async def answer(self) -> int:
        self.calls += 1
        await anyio.sleep(self.delay)
        if self.problem:
            raise SharedStoreError(self.problem)
        return self.calls

    async def call(self) -> int | None:
        return await self.guard.call(self.answer)


async def test_a_call_returns_the_result_of_the_engine() -> None:
    engine = Engine()
    assert await engine.call() == 1
    assert engine.changes == []


async def test_a_call_is_bounded() -> None:
    engine = Engine()
    engine.delay = 9
    started = anyio.current_time()
    assert await engine.call() is None
    assert anyio.current_time() - started == pytest.approx(0.25)


async def test_after_three_failures_in_a_row_calls_are_skipped() -> None:
    engine = Engine()
    engine.problem = "broken"
    for _ in range(10):
        assert await engine.call() is None
    assert engine.calls == 3
    assert engine.changes == ["broken"]


async def test_failures_of_calls_that_run_at_once_count_once() -> None:
    engine = Engine()
    engine.problem, engine.delay = "connection lost", 0.1
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(engine.call)
    engine.problem = ""
    assert await engine.call() == 21
    assert engine.changes == []


async def test_a_success_between_failures_resets_their_number() -> None:
    engine = Engine()
    for _ in range(5):
        engine.problem = "broken"
        await engine.call()
        await engine.call()
        engine.problem = ""
        assert await engine.call() is not None
    assert engine.changes == []


async def test_one_call_after_each_backoff_tries_again() -> None:
    engine = Engine()
    engine.problem = "broken"
    for _ in range(3):
        await engine.call()
    engine.delay = 0.2
    await anyio.sleep(0.51)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(engine.call)
    assert engine.calls == 4
    await anyio.sleep(0.7)
    await engine.call()
    assert engine.calls == 4  # the second backoff is twice as long
    engine.problem = ""
    await anyio.sleep(MAX_BACKOFF)
    assert await engine.call() == 5
    assert await engine.call() == 6
    assert engine.changes == ["broken", None]


async def test_a_backoff_has_a_limit() -> None:
    engine = Engine()
    engine.problem = "broken"
    for _ in range(20):
        await engine.call()
        await anyio.sleep(MAX_BACKOFF)
    assert engine.calls == 20


async def test_a_cancelled_caller_counts_neither_as_success_nor_as_failure() -> None:
    engine = Engine()
    engine.delay = 0.2
    for _ in range(5):
        with anyio.move_on_after(0.1):
            await engine.call()
    assert engine.changes == []
    assert await engine.call() == 6


async def test_other_errors_are_failures_too() -> None:
    changes: list[str | None] = []
    guard = EngineGuard(anyio.current_time, 1, changes.append)

    async def fail() -> None:
        raise KeyError

    for _ in range(3):
        await guard.call(fail)
    assert changes == ["the engine failed with KeyError"]
