"""What happens during a load, and what is observed of it.

Only the first process of a load runs the event. It records the times of the event in seconds since
the start of its own part of the run. Each process records its lookups in the same way, and the
machine's monotonic time at its start. So the lookups of all processes can be placed on the clock of
the first one, and the figures are computed once, from all of them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol, Self

from anyio import sleep
from attrs import define, field

from oxaigen_auth_load.events.samples import Samples


class EventError(Exception):
    """An event could not be carried out, so that the load shows nothing of it."""


async def wait_until(at: float, elapsed: Callable[[], float]) -> None:
    """Wait until a time, in seconds from the start of the run."""
    await sleep(max(0.0, at - elapsed()))


class Event(Protocol):
    """Something that happens during a load."""

    async def run(
        self, tokens: Sequence[str], facts: dict[str, float], elapsed: Callable[[], float]
    ) -> None:
        """Carry out the event, and record its times and counts.

        Raises:
            EventError: that failed.
        """
        ...

    def allows_rejection(self, token: int, ended: float) -> bool:
        """Return whether an answer to a valid token, at this time, may be a rejection."""
        ...

    def report(
        self, samples: Samples, facts: Mapping[str, float], invalid: Collection[int]
    ) -> dict[str, Any]:
        """Return the figures, with details under `event`."""
        ...


@define(eq=False)
class Observation:
    """What one process observed of an event.

    Attributes:
        facts: what the event recorded; empty in other processes than the first.
        has_ended: whether the event was carried out.
        problem: why it could not.
        origin: the machine's monotonic time when the run started.
    """

    event: Event
    samples: Samples = field(factory=Samples)
    facts: dict[str, float] = field(factory=dict[str, float])
    has_ended: bool = False
    problem: str | None = None
    origin: float = field(factory=monotonic)

    async def carry_out(
        self, tokens: Sequence[str], elapsed: Callable[[], float], stop: Callable[[], None]
    ) -> None:
        """Run the event; if it fails, stop the load."""
        try:
            await self.event.run(tokens, self.facts, elapsed)
            self.has_ended = True
        except EventError as error:
            self.problem = str(error)
            stop()

    def merge(self, other: Self) -> None:
        """Add the lookups of another process."""
        self.samples.merge(other.samples, other.origin - self.origin)

    def report(self, invalid: Collection[int]) -> dict[str, Any]:
        """Return the figures; none if the load was stopped before the event ended."""
        if not self.has_ended:
            return {}
        return self.event.report(self.samples, self.facts, invalid)
