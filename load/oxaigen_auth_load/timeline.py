"""The time line of a run: what happened in each interval."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import define, field

MICROSECONDS = 1_000_000  # in a second
MIN_INTERVAL = 0.001  # seconds
MAX_INTERVALS = 100  # of a report
MIN_BACKLOG = 10  # lookups; fewer are no queue
_PRECISION_BITS = 7  # of a latency: to 1.6 %


def rounded_microseconds(seconds: float) -> int:
    """Round a latency, so that a time line has few different ones.

    >>> rounded_microseconds(0.000_005), rounded_microseconds(1.0)
    (5, 1003520)
    """
    exact = max(1, round(seconds * MICROSECONDS))
    dropped = max(0, exact.bit_length() - _PRECISION_BITS)
    return (exact >> dropped << dropped) + (1 << dropped >> 1)


@define(eq=False)
class Interval:
    """The events of one interval.

    Attributes:
        latencies: the number of answers by latency, in microseconds, rounded.
    """

    arrivals: int = 0
    sent: int = 0
    upstream_calls: int = 0
    errors: Counter[str] = field(factory=Counter)
    latencies: Counter[int] = field(factory=Counter)

    def merge(self, other: "Interval") -> None:
        self.arrivals += other.arrivals
        self.sent += other.sent
        self.upstream_calls += other.upstream_calls
        self.errors.update(other.errors)
        self.latencies.update(other.latencies)

    @property
    def answers(self) -> int:
        return self.latencies.total()

    @property
    def ended(self) -> int:
        return self.answers + self.errors.total()

    def quantile(self, share: float) -> float | None:
        """Return a latency in seconds; None without answers."""
        left = share * self.answers
        for latency in sorted(self.latencies):
            left -= self.latencies[latency]
            if left <= 0:
                return latency / MICROSECONDS
        return None


@define(eq=False)
class TimeLine:
    """The intervals of a run, by their number.

    Nothing is merged while the load runs, as that would delay it. A report merges pairs until there
    are few.

    Attributes:
        interval: the length in seconds: a power of two milliseconds, so that those of several
            processes can be merged.
    """

    interval: float = MIN_INTERVAL
    intervals: dict[int, Interval] = field(factory=dict)

    def at(self, seconds: float) -> Interval:
        number = int(seconds / self.interval)
        found = self.intervals.get(number)
        if found is None:
            found = self.intervals[number] = Interval()
        return found

    def merge(self, other: "TimeLine") -> None:
        """Add the events of another process, whose intervals have the same length."""
        for number, interval in other.intervals.items():
            self.at((number + 0.5) * self.interval).merge(interval)

    def merged(self, most: int = MAX_INTERVALS) -> "TimeLine":
        """Return a time line with at most this many intervals."""
        merged, factor = TimeLine(self.interval), 1
        while max(self.intervals, default=0) // factor >= most:
            factor *= 2
        merged.interval *= factor
        for number, interval in self.intervals.items():
            merged.at((number // factor + 0.5) * merged.interval).merge(interval)
        return merged

    def sequence(self) -> list[Interval]:
        length = max(self.intervals, default=-1) + 1
        return [self.intervals.get(number, Interval()) for number in range(length)]

    def report(self, *, counts_upstream: bool) -> dict[str, Any]:
        """Return a list per kind of event, with an entry for each interval.

        Args:
            counts_upstream: whether the target counts upstream calls while the load runs.
        """
        line = self.merged()
        intervals = line.sequence()
        kinds = sorted({kind for interval in intervals for kind in interval.errors})
        return {
            "interval_seconds": line.interval,
            "arrivals": [each.arrivals for each in intervals],
            "sent": [each.sent for each in intervals],
            "answers": [each.answers for each in intervals],
            "errors": {kind: [each.errors[kind] for each in intervals] for kind in kinds},
            "in_flight": list(_differences(intervals, lambda each: each.sent)),
            "upstream_calls": [each.upstream_calls for each in intervals]
            if counts_upstream
            else None,
            "latency_seconds": {
                name: [each.quantile(share) for each in intervals]
                for name, share in (("p50", 0.5), ("p99", 0.99))
            },
        }

    def max_in_flight(self) -> int:
        """Return the most lookups in flight at the end of an interval."""
        return max(_differences(self.sequence(), lambda each: each.sent), default=0)

    def queueing_from(self) -> float | None:
        """Return the time in seconds at which lookups begin to queue, or None if they do not.

        Without a queue as many are unanswered as arrive during their latency (Little's law), which
        is taken from the first quarter of the load. They queue if there are twice as many when the
        arrivals end; the queue began when there were as many for the last time.
        """
        line = self.merged()
        intervals = line.sequence()
        while intervals and not intervals[-1].arrivals:
            intervals.pop()
        first = Interval()
        for each in intervals[: max(1, len(intervals) // 4)]:
            first.merge(each)
        duration = (first.quantile(0.5) or 0.0) / line.interval + 1
        excess = [
            unanswered - duration * each.arrivals
            for each, unanswered in zip(
                intervals, _differences(intervals, lambda each: each.arrivals), strict=True
            )
        ]
        if not intervals or excess[-1] <= duration * intervals[-1].arrivals + MIN_BACKLOG:
            return None
        normal = (number for number, each in enumerate(excess) if each <= 0)
        return (max(normal, default=-1) + 1) * line.interval


def _differences(
    intervals: Iterable[Interval], started: Callable[[Interval], int]
) -> Iterator[int]:
    """Yield how many lookups have started and not ended, at the end of each interval."""
    active = 0
    for each in intervals:
        active += started(each) - each.ended
        yield active
