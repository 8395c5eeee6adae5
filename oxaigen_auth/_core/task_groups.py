"""A task group that ends with its block and does not wrap the block's exception in a group."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio import create_task_group, get_cancelled_exc_class
from anyio.abc import TaskGroup


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
