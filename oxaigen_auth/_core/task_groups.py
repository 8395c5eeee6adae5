"""A task group that is nobody's business: it ends with its block, and wraps no exception of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import create_task_group, get_cancelled_exc_class

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import TaskGroup


@asynccontextmanager
async def quiet_task_group() -> AsyncGenerator[TaskGroup]:
    """Give a task group that ends with its block, and hand on the block's own exception bare."""
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
