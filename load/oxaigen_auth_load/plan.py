"""A plan: when each lookup of a load starts, and with which token. It is drawn before the load."""

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil, log2

from attrs import Factory, evolve, field, frozen

from oxaigen_auth_load.events.event import Event
from oxaigen_auth_load.timeline import MIN_INTERVAL


class PlanError(ValueError):
    """A plan is impossible; the message says why, and what to change."""


@frozen
class Plan:
    """The lookups of a load. A plan can be run several times, against different targets.

    Attributes:
        scenario: its name.
        starts: when each lookup starts, in seconds from the start of the run, in order; empty for a
            closed model.
        tokens: the number of each lookup's token, from 0 to `distinct` - 1. A closed model repeats
            them.
        distinct: the number of distinct tokens.
        invalid: the numbers of the tokens that a proxy should reject.
        connections: of a closed model, each of which asks again when it is answered; otherwise 0.
        seconds: the time in which lookups start.
        warmup: lookups that start before this second are left out of the figures.
        event: what happens during the load.
        runs_event: whether the process that runs this plan carries it out.
    """

    scenario: str
    starts: Sequence[float]
    tokens: Sequence[int]
    distinct: int
    invalid: frozenset[int] = frozenset()
    connections: int = 0
    seconds: float = field(
        kw_only=True, default=Factory(lambda plan: plan.starts[-1], takes_self=True)
    )
    warmup: float = field(kw_only=True, default=0.0)
    event: Event | None = field(kw_only=True, default=None)
    runs_event: bool = field(kw_only=True, default=True)

    @property
    def is_open(self) -> bool:
        """Whether each lookup has a time of its own at which it starts."""
        return self.scenario not in {"burst", "closed"}

    @property
    def interval(self) -> float:
        """The interval of its time line in seconds: a power of two milliseconds."""
        return MIN_INTERVAL * 2.0 ** max(0, ceil(log2(max(self.seconds, MIN_INTERVAL) * 5)))

    @property
    def warmup_lookups(self) -> int:
        """The number of lookups that are left out of the figures; 0 for a closed model."""
        return bisect_left(self.starts, self.warmup)

    @property
    def lookups(self) -> int | None:
        """The number of lookups in the figures; None for a closed model."""
        return None if self.scenario == "closed" else len(self.starts) - self.warmup_lookups

    def used(self, lookups: int | None = None) -> int:
        """Return the number of distinct tokens in the first `lookups`. None: in all of them."""
        measured = self.tokens[self.warmup_lookups :]
        return len(set(measured[:lookups]))

    def parts(self, number: int) -> list["Plan"]:
        """Divide the lookups among this many processes."""
        return [self._part(index, number) for index in range(number)]

    def _part(self, index: int, number: int) -> "Plan":
        connections = len(range(index, self.connections, number))
        starts, tokens = self.starts[index::number], self.tokens[index::number]
        return evolve(
            self,
            starts=starts,
            tokens=tokens,
            connections=connections,
            runs_event=self.runs_event and index == 0,
        )
