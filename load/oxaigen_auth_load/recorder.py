"""Records how lookups end: counts, latencies and a time line."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from attrs import define, field
from hdrh.histogram import HdrHistogram

from oxaigen_auth_load.metrics import QUANTILES

MICROSECONDS = 1_000_000  # in a second
MAX_LATENCY = 3600 * MICROSECONDS  # longer ones are recorded as this one
SIGNIFICANT_DIGITS = 3  # of a latency
MAX_INTERVALS = 100  # of a time line


@define(eq=False)
class TimeLine:
    """Counts of events per interval, in constant memory: many intervals are merged."""

    interval: float = 0.05  # seconds
    counts: dict[str, list[int]] = field(factory=dict)

    def add(self, kind: str, at: float, number: int = 1) -> None:
        index = int(at / self.interval)
        while index >= MAX_INTERVALS:
            self._merge_pairs()
            index = int(at / self.interval)
        counts = self.counts.setdefault(kind, [])
        counts.extend([0] * (index + 1 - len(counts)))
        counts[index] += number

    def _merge_pairs(self) -> None:
        self.interval *= 2
        for kind, counts in self.counts.items():
            padded = [*counts, 0]
            pairs = zip(padded[::2], padded[1::2], strict=False)
            self.counts[kind] = [first + second for first, second in pairs]

    def report(self, *kinds: str) -> dict[str, Any]:
        length = max(map(len, self.counts.values()), default=0)
        counts = {kind: self.counts.get(kind, []) for kind in kinds}
        padded = {kind: some + [0] * (length - len(some)) for kind, some in counts.items()}
        return {"interval_seconds": self.interval, **padded}


@define(eq=False)
class Latencies:
    """A histogram of latencies, in constant memory and precise to three digits."""

    count: int = 0
    _max: float = 0.0
    _histogram: Any = field(factory=lambda: HdrHistogram(1, MAX_LATENCY, SIGNIFICANT_DIGITS))

    def add(self, seconds: float) -> None:
        self.count += 1
        self._max = max(self._max, seconds)
        self._histogram.record_value(min(max(round(seconds * MICROSECONDS), 1), MAX_LATENCY))

    def summary(self) -> dict[str, float | None]:
        """Return quantiles, maximum and mean in seconds; each is None if nothing was added."""
        if not self.count:
            return dict.fromkeys((*QUANTILES, "max", "mean"))
        quantiles = {name: self._at(quantile) for name, quantile in QUANTILES.items()}
        mean = self._histogram.get_mean_value() / MICROSECONDS
        return {**quantiles, "max": self._max, "mean": float(mean)}

    def distribution(self) -> list[tuple[float, float]]:
        """Return percentiles, ever closer to 100, and their latencies in seconds."""
        if not self.count:
            return []
        steps = [0.0, 10.0, 25.0, *(100 - 50 * 0.5 ** (n / 2) for n in range(36))]
        known = [p for p in steps if p == 0 or (100 - p) / 100 * self.count >= 1]
        return [*((round(p, 5), self._at(p)) for p in known), (100.0, self._max)]

    def _at(self, percentile: float) -> float:
        value: int = self._histogram.get_value_at_percentile(percentile)
        return min(value / MICROSECONDS, self._max)


@define(eq=False)
class Recording:
    """The record of one run of a plan.

    A lookup ends with an answer or an error. An answer is a correct verdict: a valid token was
    accepted, or an invalid one rejected. Latencies of answers and of errors are separate, because
    errors are often quick and would improve the percentiles of the answers.

    Attributes:
        clock: returns the time in seconds.
        seconds: from the start of the run to the end of the last lookup.
        lookups: the number of lookups that have ended.
        rejected: the number of invalid tokens that were rejected.
        start_delays: how late lookups started.
    """

    clock: Callable[[], float]
    started_at: float = field(init=False)
    seconds: float = 0.0
    lookups: int = 0
    accepted: int = 0
    rejected: int = 0
    errors: Counter[str] = field(factory=Counter)
    active: int = 0
    max_concurrency: int = 0
    time_line: TimeLine = field(factory=TimeLine)
    answer_latencies: Latencies = field(factory=Latencies)
    error_latencies: Latencies = field(factory=Latencies)
    start_delays: Latencies = field(factory=Latencies)

    def __attrs_post_init__(self) -> None:
        self.started_at = self.clock()

    @property
    def answered(self) -> int:
        return self.accepted + self.rejected

    def elapsed(self) -> float:
        """Return the seconds since the run started."""
        return self.clock() - self.started_at

    def begin(self, intended: float) -> None:
        """Record the start of a lookup that the plan has at `intended` seconds."""
        self.time_line.add("arrivals", intended)
        self.start_delays.add(self.elapsed() - intended)
        self.active += 1
        self.max_concurrency = max(self.max_concurrency, self.active)

    def end(self, intended: float, outcome: str, *, invalid: bool) -> None:
        """Record the outcome of a lookup.

        Latency counts from the intended start, so it includes the time that the lookup had to wait
        before it could start (no coordinated omission).

        Args:
            intended: when the plan starts the lookup, in seconds from the start of the run.
            outcome: `accepted`, `rejected`, or the kind of error.
            invalid: whether the token should be rejected.
        """
        self.seconds = self.elapsed()
        self.active -= 1
        self.lookups += 1
        latency = self.seconds - intended
        if outcome == ("rejected" if invalid else "accepted"):
            self.accepted += not invalid
            self.rejected += invalid
            self.answer_latencies.add(latency)
        else:
            wrong_verdicts = {"accepted": "wrong_accept", "rejected": "wrong_reject"}
            self.errors[wrong_verdicts.get(outcome, outcome)] += 1
            self.error_latencies.add(latency)
            self.time_line.add("errors", self.seconds)

    def report(self) -> dict[str, Any]:
        """Return the figures of the run for the report of the load."""
        return {
            "seconds": self.seconds,
            "lookups": self.lookups,
            "unfinished": self.active,
            "max_concurrency": self.max_concurrency,
            "throughput_per_second": self.answered / self.seconds if self.seconds else 0.0,
            "latency_seconds": self.answer_latencies.summary(),
            "distribution": self.answer_latencies.distribution(),
            "answered": self.answered,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "errors": dict(self.errors),
            "error_latency_seconds": self.error_latencies.summary(),
            "start_delay_seconds": self.start_delays.summary(),
        }
