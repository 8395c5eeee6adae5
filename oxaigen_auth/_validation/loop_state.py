"""What a client keeps for one event loop: connections and flights. Never outlives the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio import CancelScope, move_on_after
from attrs import define, field

from oxaigen_auth._core.background import CLOSE_TIMEOUT, BackgroundTaskGroup

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from oxaigen_auth._core.singleflight import SingleFlight
    from oxaigen_auth._upstream.proxy import Proxy
    from oxaigen_auth._validation.verdict import Verdict


@define(eq=False)
class LoopState:
    """The proxy's connections and the running lookups of one client in one event loop.

    `users` counts the blocks that have the client open on this loop. `on_close` is called when the
    connections are being closed: by `aclose`, or because the event loop ends.
    """

    proxy: Proxy
    flights: SingleFlight[Verdict[Any]]
    on_close: Callable[[], None] = field(default=lambda: None)
    users: int = field(default=0, init=False)
    closed: bool = field(default=False, init=False)
    _group: BackgroundTaskGroup | None = field(default=None, init=False)
    _closer: AsyncGenerator[None] = field(init=False)

    async def start(self) -> None:
        """Tie the connections to the loop. Does not yield to it."""
        self._closer = self._close_with_loop()
        await anext(self._closer)

    async def enter(self) -> None:
        """Open the task group in which the flights run, unless another user has opened it.

        Each call is paired with one of `leave`, also if it is cancelled.
        """
        self.users += 1
        if self._group is None:
            self._group = BackgroundTaskGroup(self.flights.open_group, self.flights.close_group)
            await self._group.open()

    async def leave(self) -> None:
        """Close everything with the last user."""
        self.users -= 1
        if not self.users:
            await self.aclose()

    async def aclose(self) -> None:
        """End every flight, then the connections and the task group. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self.flights.cancel_all()
        with CancelScope(shield=True):  # each of the two is bounded
            await self._closer.aclose()
            if self._group is not None:
                await self._group.aclose()

    async def _close_with_loop(self) -> AsyncGenerator[None]:
        """Close the proxy when this generator ends: by hand, or when the event loop does.

        Both backends end the async generators that are left when they shut down, which is the one
        moment they offer for closing what belongs to a loop.
        """
        try:
            yield
        finally:
            self.on_close()
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await self.proxy.aclose()
