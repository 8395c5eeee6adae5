"""One running lookup and the callers that wait for it.

The states of a flight:

    pending ──its turn──▶ active ──lookup returns or raises──▶ finished
       └────────────────────┴─────────── cancelled ──────────▶ finished

    pending    The lookup has not begun: the flight waits for a slot, or its task has not run yet.
    finished   `done` is set, and the flight has a value or an error.
    detached   The flight is not in the table any more, so no caller can join it. It runs on for
               the callers that wait for it.
    abandoned  The last caller has left: the flight is detached first, then cancelled.
    fresh      A caller wants a value that is newer than its call, so the lookup must not use a
               cached one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

from anyio import CancelScope, Event, current_time, get_cancelled_exc_class
from anyio.abc import TaskGroup
from attrs import define, field

V = TypeVar("V")


class FlightError(Exception):
    """The flight finished without a value, because the lookup raised or for a subclass's reason.

    Holds only the type of what the lookup raised, because a traceback's frames may hold secrets.
    """


class FlightCancelledError(FlightError):
    """The flight was cancelled, but not by its last caller."""


class FlightTimeoutError(FlightError):
    """The flight got no slot in time."""


class FlightTable(Protocol):
    """The methods of `SingleFlight` that a flight calls."""

    def is_current(self, flight: Any) -> bool: ...

    def detach(self, flight: Any) -> None: ...

    def finish(self, flight: Any) -> None: ...


async def _nothing(_: object) -> Any:
    """Replace the lookup of a finished flight."""


@define(eq=False)
class Flight(Generic[V]):
    """A lookup that is pending, active or finished, and the number of callers that wait for it.

    Args:
        share: the name of the share of `FairQueue` that the flight belongs to.
        shield: whether the lookup is shielded from the cancellation of its task group.
        started_at: when the first caller arrived, on the event loop's clock, in seconds.
        has_slot: whether the flight may run.
        deadline_scope: the scope of the task that watches the deadline of this one flight.
    """

    key: Hashable
    share: str
    fresh: bool
    shield: bool
    _lookup: Callable[[Flight[V]], Awaitable[V]] = field(repr=False)
    _table: FlightTable = field(repr=False)
    group: TaskGroup = field(repr=False)
    started_at: float = field(factory=current_time)
    waiters: int = 0
    done: Event = field(factory=Event)
    values: tuple[V, ...] = ()
    has_slot: bool = False
    deadline_scope: CancelScope | None = None
    _error: type[FlightError] = field(default=FlightCancelledError, init=False)
    _reason: str = field(default="The lookup was cancelled.", init=False)
    _scope: CancelScope | None = field(default=None, init=False)

    @property
    def pending(self) -> bool:
        """Whether the lookup has not begun."""
        return self._scope is None

    @property
    def current(self) -> bool:
        """Whether later callers would join this flight."""
        return self._table.is_current(self)

    async def wait(self) -> V:
        """Return the value when there is one. The last caller that is cancelled ends the lookup.

        Raises:
            FlightError: the flight finished without a value.
        """
        self.waiters += 1
        try:
            await self.done.wait()
        finally:
            self.waiters -= 1
            if not self.waiters and not self.done.is_set():
                self.cancel()
        return self.result()

    def result(self) -> V:
        """Return the value of a finished flight.

        Raises:
            FlightError: the flight finished without a value.
        """
        if not self.values:
            raise self._error(self._reason)
        return self.values[0]

    async def run(self) -> None:
        """Run the lookup, in a task of its own."""
        if self.done.is_set():
            return
        try:
            with CancelScope(shield=self.shield) as self._scope:
                self.values = (await self._lookup(self),)
        except Exception as error:  # noqa: BLE001 (a bug in a lookup must not end the others)
            self._error = FlightError
            self._reason = f"The lookup failed with {type(error).__name__}."
        except get_cancelled_exc_class():  # noqa: ASYNC103
            # The task ends here anyway. If this were raised, a native cancellation of this one task
            # on asyncio would cancel the whole group.
            return  # noqa: ASYNC104
        finally:
            self._finish()

    def cancel(self) -> None:
        """Cancel the lookup, or prevent it from beginning."""
        self._table.detach(self)
        if self._scope is not None:
            self._scope.cancel()
        elif not self.done.is_set():
            self._finish()

    def expire(self, seconds: float) -> None:
        """Cancel a flight that got no slot in time."""
        self._error = FlightTimeoutError
        self._reason = f"The lookup got no slot within {seconds:g} seconds."
        self.cancel()

    def _finish(self) -> None:
        self._lookup = _nothing  # it may hold secrets, and an exception may hold the flight
        self.done.set()
        self._table.finish(self)
