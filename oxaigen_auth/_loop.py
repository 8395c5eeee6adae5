"""What a client keeps for one event loop: connections and flights. Never outlives the loop."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import move_on_after
from attrs import define, field

from oxaigen_auth._core.groups import quiet_task_group

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

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
        async with quiet_task_group() as group:
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
