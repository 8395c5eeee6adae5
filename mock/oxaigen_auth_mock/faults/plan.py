"""The faults of one mock: which are placed, how often they hit, and which hit a call."""

from collections.abc import Collection, Iterable
from random import Random

from attrs import Factory, define, field

from oxaigen_auth_mock.config.validation_errors import did_you_mean
from oxaigen_auth_mock.faults.kinds import Fault


def unknown_persona(name: str | None, names: Collection[str]) -> str | None:
    """Return a message if a fault is for a persona that does not exist; None is any persona.

    >>> unknown_persona("quest", ["guest", "admin"])
    "no persona is called 'quest'; there are guest, admin; did you mean 'guest'?"
    """
    if name is None or name in names:
        return None
    there = f"there are {', '.join(names)}" if names else "there are none"
    return f"no persona is called {name!r}; {there}{did_you_mean(name, names)}"


@define(eq=False)
class _PlannedFault:
    """A fault with the number of calls that matched it and the number of calls it hit."""

    fault: Fault
    matched: int = 0
    hits: int = 0
    _random: Random = Factory(lambda self: Random(self.fault.seed), takes_self=True)  # noqa: S311 (no secret)

    @property
    def exhausted(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times

    def count_match(self) -> bool:
        """Count a call that matches, and return whether to hit it.

        Each n-th call draws one random number, hit or not, so that other faults cannot shift them.
        """
        self.matched += 1
        due = self.matched % self.fault.every == 0
        return due and self._random.random() < self.fault.probability and not self.exhausted

    def hit(self) -> Fault:
        self.hits += 1
        return self.fault.sampled(self._random)

    def report(self) -> dict[str, object]:
        return {
            "fault": self.fault.model_dump(mode="json"),
            "description": self.fault.describe(),
            "matched": self.matched,
            "hits": self.hits,
            "exhausted": self.exhausted,
        }


@define(eq=False)
class FaultPlan:
    """The faults of a mock, in the order in which they were added.

    Of the matching faults that are not stackable, only the first hits a call; the others skip
    it. Stackable ones, latencies and cookies, all hit.

    >>> from oxaigen_auth_mock.faults.kinds import Status
    >>> plan = FaultPlan()
    >>> plan.add(Status(every=2, times=1))
    1
    >>> [len(plan.apply("get-me", None)) for _ in range(4)]
    [0, 1, 0, 0]
    """

    _planned: dict[int, _PlannedFault] = field(factory=dict[int, _PlannedFault], init=False)
    _last_id: int = field(default=0, init=False)

    @property
    def faults(self) -> list[Fault]:
        return [planned.fault for planned in self._planned.values()]

    def items(self) -> list[tuple[int, Fault]]:
        """Return each fault with its id."""
        return [(fault_id, planned.fault) for fault_id, planned in self._planned.items()]

    def add(self, fault: Fault) -> int:
        """Add a fault and return its id, which this plan never uses again."""
        self._last_id += 1
        self._planned[self._last_id] = _PlannedFault(fault)
        return self._last_id

    def remove(self, fault_id: int) -> bool:
        """Remove a fault. Return False if there is none with this id."""
        return self._planned.pop(fault_id, None) is not None

    def remove_unchanged(self, fault_id: int, fault: Fault) -> None:
        """Remove a fault, unless another one has its id by now."""
        planned = self._planned.get(fault_id)
        if planned is not None and planned.fault is fault:
            self.remove(fault_id)

    def remove_for(self, persona: str) -> None:
        """Remove the faults that only apply to the calls of this persona."""
        for fault_id, planned in list(self._planned.items()):
            if planned.fault.persona == persona:
                self.remove(fault_id)

    def replace(self, faults: Iterable[Fault]) -> None:
        """Replace all faults; the new ones start counting at zero."""
        self._planned.clear()
        for fault in faults:
            self.add(fault)

    def apply(self, endpoint: str, persona: str | None) -> tuple[Fault, ...]:
        """Count a call and return the faults that hit it, with their random values fixed."""
        if not self._planned:
            return ()
        replaced = False
        hits: list[Fault] = []
        for planned in self._planned.values():
            stackable = planned.fault.stackable
            if not planned.fault.matches(endpoint, persona) or not planned.count_match():
                continue
            if replaced and not stackable:
                continue
            replaced = replaced or not stackable
            hits.append(planned.hit())
        return tuple(hits)

    def report(self) -> list[dict[str, object]]:
        """Return each fault with its id, its JSON, its description and its counts."""
        return [{"id": fault_id, **each.report()} for fault_id, each in self._planned.items()]
