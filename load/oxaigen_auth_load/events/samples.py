"""Each lookup of a run with its times, for figures that depend on when something happened."""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from attrs import define, field

from oxaigen_auth_load.recorder import Latencies


class Sample(NamedTuple):
    """One lookup; times are in seconds from the start of the run.

    Attributes:
        token: its number in the plan.
        outcome: `accepted`, `rejected`, or the kind of error.
        worker: of the app, which answered; "" without an answer.
    """

    intended: float
    sent: float
    ended: float
    token: int
    outcome: str
    worker: str


@define(eq=False)
class Samples:
    """The lookups of a run in the order of their ends, in 48 bytes each."""

    _times: "array[float]" = field(factory=lambda: array("d"))
    _numbers: "array[int]" = field(factory=lambda: array("q"))
    _names: dict[str, int] = field(factory=dict[str, int])

    def add(self, sample: Sample) -> None:
        self._times.extend(sample[:3])
        self._numbers.extend(
            (sample.token, self._number_of(sample.outcome), self._number_of(sample.worker))
        )

    def __iter__(self) -> Iterator[Sample]:
        names = list(self._names)
        times = zip(*(iter(self._times),) * 3, strict=True)
        numbers = zip(*(iter(self._numbers),) * 3, strict=True)
        for (intended, sent, ended), (token, outcome, worker) in zip(times, numbers, strict=True):
            yield Sample(intended, sent, ended, token, names[outcome], names[worker])

    def merge(self, other: Self, later: float) -> None:
        """Add those of another process, whose run started this many seconds later."""
        for sample in other:
            intended, sent, ended = (time + later for time in sample[:3])
            self.add(sample._replace(intended=intended, sent=sent, ended=ended))

    def _number_of(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))


def p99(samples: Iterable[Sample]) -> float | None:
    """Return a quantile of their latencies in seconds; None without samples."""
    latencies = Latencies()
    for sample in samples:
        latencies.add(sample.ended - sample.intended)
    return latencies.summary()["p99"]
