"""The connections and running lookups of a client, for each event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from anyio import CancelScope, move_on_after
from attrs import define, field

from oxaigen_auth._core.background import (
    CLOSE_TIMEOUT,
    BackgroundTaskGroup,
    call_soon_in_task,
    has_ended,
    in_event_loop,
    keep_alive,
    running_loop,
)
from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._validation.question import Question, Secret
from oxaigen_auth._validation.verdict import Verdict

if TYPE_CHECKING:
    from oxaigen_auth._shared.store import SharedStore


class Upstream(Protocol):
    """Answers questions over connections that belong to one event loop."""

    async def ask(
        self, question: Question, secret: Secret, *, since: float | None = None
    ) -> Verdict[Any]:
        """Return the proxy's verdict. `since`: when the timeout began, on the loop's clock."""
        ...

    def prepare(self) -> None:
        """Load in advance what the first call needs, outside its timeout."""

    async def aclose(self) -> None:
        """Close the connections."""


@define(eq=False)
class LoopState:
    """The connections and the running lookups of one client in one event loop.

    `users` counts the blocks that have the client open on this loop. `on_close` is called when the
    connections are being closed: by `aclose`, or because the event loop ends.
    """

    upstream: Upstream
    flights: SingleFlight[Verdict[Any]]
    pings: SingleFlight[bool]
    shared: SharedStore | None = None
    on_close: Callable[[], None] = field(default=lambda: None)
    users: int = field(default=0, init=False)
    closed: bool = field(default=False, init=False)
    _group: BackgroundTaskGroup | None = field(default=None, init=False)
    _closer: AsyncGenerator[None] = field(init=False)
    _release: Callable[[], None] = field(default=lambda: None, init=False)

    async def start(self) -> None:
        """Arrange for the connections to close with the loop. Does not yield to it."""
        self._closer = self._close_with_loop()
        await anext(self._closer)
        self._release = keep_alive(self)

    async def enter(self) -> None:
        """Open the task group in which the flights run, unless another user has opened it.

        Each call is paired with one of `leave`, even if it is cancelled.
        """
        self.users += 1
        if self._group is None:
            self._group = BackgroundTaskGroup(self.flights.open_group, self.flights.close_group)
            await self._group.open()

    async def leave(self) -> None:
        """Close everything if this was the last user."""
        self.users -= 1
        if not self.users:
            await self.aclose()

    async def aclose(self) -> None:
        """End every flight, then the connections and the task group. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self.flights.cancel_all()
        self.pings.cancel_all()
        with CancelScope(shield=True):  # each of the two is bounded
            await self._closer.aclose()
            if self._group is not None:
                await self._group.aclose()

    async def _close_with_loop(self) -> AsyncGenerator[None]:
        """Close the connections when this generator is closed, or the event loop ends.

        Both backends close remaining async generators at shutdown. They have no other hook for
        closing what belongs to a loop.
        """
        try:
            yield
        finally:
            self._release()
            self.on_close()
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await self.upstream.aclose()
            if self.shared is not None:
                with move_on_after(CLOSE_TIMEOUT, shield=True):
                    await self.shared.aclose()


@define(eq=False)
class LoopStates:
    """The states of one client by event loop, and whether the client is closed.

    `on_close` is called when it has been closed, perhaps more than once.
    """

    new_state: Callable[[], LoopState]
    on_close: Callable[[], None]
    shared: SharedStore | None = None
    closed: bool = field(default=False, init=False)
    _closing: bool = field(default=False, init=False)
    _states: dict[Hashable, LoopState] = field(factory=dict, init=False)

    def current(self) -> LoopState | None:
        """Return the state of the running event loop, if it has one."""
        return self._states.get(running_loop())

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in an event loop: in that of this thread, or else soon in one of ours."""
        if in_event_loop():
            function()
        elif self._states:
            call_soon_in_task(next(iter(list(self._states))), function)

    async def open(self) -> LoopState:
        """Make the state of the running event loop. Does not yield to it."""
        for loop in [loop for loop in list(self._states) if has_ended(loop)]:
            self._discard(loop)  # it ended without closing its async generators
        loop = running_loop()
        state = self.new_state()
        state.on_close = lambda: self._discard(loop)
        self._states[loop] = state
        await state.start()
        return state

    @asynccontextmanager
    async def running(self, *, last_closes: bool = False) -> AsyncGenerator[None]:
        """Run this loop's lookups in a task group while any such block on this loop lasts.

        The end of the last block also ends the lookups and connections. With `last_closes` for any
        of them, it closes the client as well. Otherwise the client can be used again,
        for example after a restart of the server.
        """
        await self.enter(last_closes=last_closes)
        try:
            yield
        finally:
            await self.leave(last_closes=last_closes)  # noqa: ASYNC102 (shielded and bounded)

    async def enter(self, *, last_closes: bool = False) -> None:
        """Begin such a block. `leave` must follow, in any task of this event loop."""
        if self.closed:
            raise client_closed()
        state = self.current() or await self.open()
        state.upstream.prepare()
        try:
            await state.enter()
        except BaseException:
            await self.leave(last_closes=last_closes)  # noqa: ASYNC102 (shielded and bounded)
            raise

    async def leave(self, *, last_closes: bool = False) -> None:
        """End such a block. Its state is gone if the client was closed meanwhile."""
        self._closing |= last_closes
        is_last = sum(state.users for state in list(self._states.values())) <= 1
        if self._closing and is_last:
            self._close()
        state = self.current()
        if state is not None:
            await state.leave()

    async def aclose(self) -> None:
        """Close the client, and the state of this event loop."""
        self._close()
        state = self.current()
        if state is not None:
            await state.aclose()
        elif self.shared is not None:
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await self.shared.aclose()  # it may still have to send what was forgotten

    def _close(self) -> None:
        self.closed = True
        self.on_close()

    def _discard(self, loop: Hashable) -> None:
        self._states.pop(loop, None)


def client_closed() -> RuntimeError:
    return RuntimeError("This client is closed; make a new one.")
