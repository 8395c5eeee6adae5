"""What a client keeps for one event loop: connections and flights. Never outlives the loop."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import create_task_group, get_cancelled_exc_class, move_on_after
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import TaskGroup

    from oxaigen_auth._core.singleflight import SingleFlight
    from oxaigen_auth._proxy import Proxy
    from oxaigen_auth.verdict import Verdict

CLOSE_TIMEOUT = 1.0  # seconds


@define(eq=False)
class LoopState:
    """The proxy's connections and the running lookups of one client in one event loop."""

    proxy: Proxy
    flights: SingleFlight[Verdict[Any]]
    _closer: AsyncGenerator[None] = field(init=False)

    async def start(self) -> None:
        """Tie the connections to the loop. Does not yield to it."""
        self._closer = _close_with_loop(self.proxy)
        await anext(self._closer)

    async def aclose(self) -> None:
        """End every flight, then the connections. Safe to call twice."""
        self.flights.cancel_all()
        await self._closer.aclose()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Give the flights a task group, so that no caller has to host one."""
        async with _group_that_ends() as group:
            self.flights.task_group = group
            try:
                yield
            finally:
                self.flights.task_group = None


async def _close_with_loop(proxy: Proxy) -> AsyncGenerator[None]:
    """Close the proxy when this generator ends: by hand, or when the event loop does.

    Both backends end the async generators that are left when they shut down, which is the one
    moment they offer for closing what belongs to a loop.
    """
    try:
        yield
    finally:
        with move_on_after(CLOSE_TIMEOUT, shield=True):
            await proxy.aclose()


@asynccontextmanager
async def _group_that_ends() -> AsyncGenerator[TaskGroup]:
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
