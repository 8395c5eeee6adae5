"""Task groups that do not wrap an exception in a group."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from anyio import create_task_group, get_cancelled_exc_class
from anyio.abc import TaskGroup

A = TypeVar("A")
T = TypeVar("T")


@asynccontextmanager
async def collapsing_task_group() -> AsyncGenerator[TaskGroup]:
    """Open a task group that is cancelled when its block ends.

    An exception of the block itself is raised as it is, not in an `ExceptionGroup`.
    """
    failure: BaseException | None = None
    try:
        async with create_task_group() as group:
            try:
                yield group
            except get_cancelled_exc_class():
                raise
            except BaseException as error:  # noqa: BLE001 (raised below, outside the group)
                failure = error
            group.cancel_scope.cancel()
    finally:
        if failure is not None:
            raise failure


async def side_by_side(
    call: Callable[[A], Awaitable[T]], values: Sequence[A], *, until: Callable[[T], bool]
) -> list[T | None]:
    """Call an async function with each value at once. Return the results in order.

    The calls that still run are cancelled after a result that `until` accepts, and their results
    are None. They are also cancelled if a call raises an exception, which is raised as it is.
    """
    if len(values) == 1:
        return [await call(values[0])]
    results: list[T | None] = [None] * len(values)
    failures: list[Exception] = []

    async def run(index: int, value: A) -> None:
        try:
            result = results[index] = await call(value)
            is_last = until(result)
        except Exception as error:  # noqa: BLE001 (raised below, outside the group)
            failures.append(error)
            is_last = True
        if is_last:
            group.cancel_scope.cancel()

    async with create_task_group() as group:
        for index, value in enumerate(values):
            group.start_soon(run, index, value)
    if failures:
        raise failures[0]
    return results
