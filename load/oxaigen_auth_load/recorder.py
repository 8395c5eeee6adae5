"""What became of each lookup: counts, latencies, a time line. Knows no target and no display."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import define, field
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Callable

MICROSECONDS = 1_000_000  # in a second
LONGEST = 3600 * MICROSECONDS  # that the histogram tells apart
DIGITS = 3  # of a latency that count
QUANTILES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9}
MAX_INTERVALS = 100  # of a time line


@define(eq=False)
class TimeLine:
    """How often something happened in each interval. Two intervals become one when it gets long."""

    interval: float = 0.05  # seconds
    counts: dict[str, list[int]] = field(factory=dict)

    def add(self, what: str, at: float, number: int = 1) -> None:
        place = int(at / self.interval)
        while place >= MAX_INTERVALS:
            self._halve()
            place = int(at / self.interval)
        counts = self.counts.setdefault(what, [])
        counts.extend([0] * (place + 1 - len(counts)))
        counts[place] += number

    def _halve(self) -> None:
        self.interval *= 2
        for what, counts in self.counts.items():
            padded = [*counts, 0]
            pairs = zip(padded[::2], padded[1::2], strict=False)
            self.counts[what] = [first + second for first, second in pairs]

    def report(self, *kinds: str) -> dict[str, Any]:
        length = max(map(len, self.counts.values()), default=0)
        filled = {
            kind: self.counts.get(kind, []) + [0] * (length - len(self.counts.get(kind, [])))
            for kind in kinds
        }
        return {"interval_seconds": self.interval, **filled}


@define(eq=False)
class Latencies:
    """How long some lookups took, as a histogram: in constant memory, to three digits."""

    count: int = 0
    _longest: float = 0.0
    _histogram: Any = field(factory=lambda: HdrHistogram(1, LONGEST, DIGITS))

    def add(self, seconds: float) -> None:
        self.count += 1
        self._longest = max(self._longest, seconds)
        self._histogram.record_value(min(max(round(seconds * MICROSECONDS), 1), LONGEST))

    def summary(self) -> dict[str, float | None]:
        """Return quantiles, maximum and mean in seconds; each is None if nothing was added."""
        if not self.count:
            return dict.fromkeys((*QUANTILES, "max", "mean"))
        quantiles = {name: self._at(quantile) for name, quantile in QUANTILES.items()}
        mean = self._histogram.get_mean_value() / MICROSECONDS
        return {**quantiles, "max": self._longest, "mean": float(mean)}

    def distribution(self) -> list[tuple[float, float]]:
        """Return percentiles and their latencies in seconds, ever closer to 100."""
        if not self.count:
            return []
        steps = [0.0, 10.0, 25.0, *(100 - 50 * 0.5 ** (n / 2) for n in range(36))]
        known = [p for p in steps if p == 0 or (100 - p) / 100 * self.count >= 1]
        return [*((round(p, 5), self._at(p)) for p in known), (100.0, self._longest)]

    def _at(self, percentile: float) -> float:
        value: int = self._histogram.get_value_at_percentile(percentile)
        return min(value / MICROSECONDS, self._longest)


@define(eq=False)
class Recording:
    """One run of a plan. `clock` is read in seconds.

    A lookup that ended is either an answer or an error. An answer is a right verdict: a good token
    was accepted, or a bad one rejected. Latencies of answers and of errors are kept apart, because
    errors are often quick and would make percentiles look better than the answers were.
    """

    clock: Callable[[], float]
    started: float = field(init=False)
    seconds: float = 0.0  # until the last lookup ended
    lookups: int = 0  # that ended
    accepted: int = 0
    rejected: int = 0  # of bad tokens, as it should be
    errors: Counter[str] = field(factory=Counter)
    at_once: int = 0
    most_at_once: int = 0
    time_line: TimeLine = field(factory=TimeLine)
    answer_latencies: Latencies = field(factory=Latencies)
    error_latencies: Latencies = field(factory=Latencies)
    start_delays: Latencies = field(factory=Latencies)  # how late lookups started

    def __attrs_post_init__(self) -> None:
        self.started = self.clock()

    @property
    def answered(self) -> int:
        return self.accepted + self.rejected

    def now(self) -> float:
        """Return the seconds since the run began."""
        return self.clock() - self.started

    def begin(self, intended: float) -> None:
        self.time_line.add("arrivals", intended)
        self.start_delays.add(self.now() - intended)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)

    def end(self, intended: float, outcome: str, *, bad: bool) -> None:
        """Record how a lookup ended that was to start at `intended`, in seconds from the beginning.

        So what a lookup waited before it could start at all counts as latency (no coordinated
        omission).
        """
        self.seconds = self.now()
        self.at_once -= 1
        self.lookups += 1
        latency = self.seconds - intended
        if outcome == ("rejected" if bad else "accepted"):
            self.accepted += not bad
            self.rejected += bad
            self.answer_latencies.add(latency)
        else:
            wrong = {"accepted": "wrong_accept", "rejected": "wrong_reject"}
            self.errors[wrong.get(outcome, outcome)] += 1
            self.error_latencies.add(latency)
            self.time_line.add("errors", self.seconds)
