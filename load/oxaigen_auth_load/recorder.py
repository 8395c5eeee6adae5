"""Records how lookups end: counts, latencies and a time line."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from attrs import define, field, frozen
from hdrh.histogram import HdrHistogram

from oxaigen_auth_load.metrics import QUANTILES
from oxaigen_auth_load.timeline import MICROSECONDS, TimeLine, rounded_microseconds

MAX_LATENCY = 3600 * MICROSECONDS  # longer ones are recorded as this one
SIGNIFICANT_DIGITS = 3  # of a latency
WRONG_VERDICTS = {"accepted": "wrong_accept", "rejected": "wrong_reject"}


def _new_histogram() -> HdrHistogram:
    return HdrHistogram(1, MAX_LATENCY, SIGNIFICANT_DIGITS)


@define(eq=False)
class Latencies:
    """A histogram of latencies, in constant memory and precise to three digits."""

    count: int = 0
    _max: float = 0.0
    _histogram: Any = field(factory=_new_histogram)

    def add(self, seconds: float) -> None:
        self.count += 1
        self._max = max(self._max, seconds)
        self._histogram.record_value(min(max(round(seconds * MICROSECONDS), 1), MAX_LATENCY))

    def merge(self, other: Self) -> None:
        self.count += other.count
        self._max = max(self._max, other._max)
        self._histogram.add(other._histogram)

    def __getstate__(self) -> tuple[int, float, bytes]:
        return self.count, self._max, self._histogram.encode()

    def __setstate__(self, state: tuple[int, float, bytes]) -> None:
        self.count, self._max, encoded = state
        self._histogram = HdrHistogram.decode(encoded)

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


@frozen
class Progress:
    """How far a run has come."""

    lookups: int = 0
    errors: int = 0
    active: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.lookups + other.lookups, self.errors + other.errors, self.active + other.active
        )


@define(eq=False)
class Recording:
    """The record of one run of a plan.

    A lookup ends with an answer or an error. An answer is a correct verdict: a valid token was
    accepted, or an invalid one rejected. Latencies of answers and of errors are separate, because
    errors are often quick and would improve the percentiles of the answers.

    Attributes:
        clock: returns the time in seconds.
        warmup: lookups before this second are in the time line only.
        seconds: from the start of the run to the end of the last lookup.
        lookups: the number of lookups that have ended.
        rejected: the number of invalid tokens that were rejected.
        in_flight: the number of lookups that are sent and have not ended; `max_concurrency` is its
            maximum.
        sent_before_first_end: the number of lookups that were sent before the first one ended.
        send_delays: how long after their intended starts lookups were sent.
    """

    clock: Callable[[], float]
    warmup: float = 0.0
    time_line: TimeLine = field(factory=TimeLine)
    started_at: float = field(init=False)
    seconds: float = field(default=0.0, init=False)
    lookups: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    rejected: int = field(default=0, init=False)
    errors: Counter[str] = field(factory=Counter, init=False)
    active: int = field(default=0, init=False)
    in_flight: int = field(default=0, init=False)
    max_concurrency: int = field(default=0, init=False)
    sent_before_first_end: int = field(default=0, init=False)
    answer_latencies: Latencies = field(factory=Latencies, init=False)
    error_latencies: Latencies = field(factory=Latencies, init=False)
    send_delays: Latencies = field(factory=Latencies, init=False)
    _has_end: bool = field(default=False, init=False)

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
        self.time_line.at(intended).arrivals += 1
        self.active += intended >= self.warmup

    def sent(self, intended: float) -> None:
        """Record that a lookup was sent to its target."""
        now = self.elapsed()
        self.time_line.at(now).sent += 1
        self.in_flight += 1
        if intended < self.warmup:
            return
        self.send_delays.add(now - intended)
        self.max_concurrency = max(self.max_concurrency, self.in_flight)
        self.sent_before_first_end += not self._has_end

    def end(self, intended: float, outcome: str, *, invalid: bool) -> None:
        """Record the outcome of a lookup that was sent.

        Latency counts from the intended start, so it includes the time that the lookup had to wait
        before it could start (no coordinated omission).

        Args:
            intended: when the plan starts the lookup, in seconds from the start of the run.
            outcome: `accepted`, `rejected`, or the kind of error.
            invalid: whether the token should be rejected.
        """
        now = self.elapsed()
        latency = now - intended
        interval = self.time_line.at(now)
        self.in_flight -= 1
        is_answer = outcome == ("rejected" if invalid else "accepted")
        kind = outcome if is_answer else WRONG_VERDICTS.get(outcome, outcome)
        if is_answer:
            interval.latencies[rounded_microseconds(latency)] += 1
        else:
            interval.errors[kind] += 1
        if intended < self.warmup:
            return
        self.seconds = now
        self._has_end = True
        self.active -= 1
        self.lookups += 1
        if is_answer:
            self.accepted += not invalid
            self.rejected += invalid
            self.answer_latencies.add(latency)
        else:
            self.errors[kind] += 1
            self.error_latencies.add(latency)

    def progress(self) -> Progress:
        return Progress(self.lookups, self.errors.total(), self.active)

    def merge(self, other: Self) -> None:
        """Add the record of another process that ran another part of the plan at the same time."""
        self.seconds = max(self.seconds, other.seconds)
        for name in ("lookups", "accepted", "rejected", "active", "sent_before_first_end"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors.update(other.errors)
        self.time_line.merge(other.time_line)
        self.max_concurrency = self.time_line.max_in_flight()
        self.answer_latencies.merge(other.answer_latencies)
        self.error_latencies.merge(other.error_latencies)
        self.send_delays.merge(other.send_delays)

    def report(self) -> dict[str, Any]:
        """Return the figures of the run for the report of the load."""
        measured = self.seconds - self.warmup
        return {
            "seconds": self.seconds,
            "lookups": self.lookups,
            "unfinished": self.active,
            "max_concurrency": self.max_concurrency,
            "sent_before_first_end": self.sent_before_first_end,
            "throughput_per_second": self.answered / measured if measured > 0 else 0.0,
            "latency_seconds": self.answer_latencies.summary(),
            "distribution": self.answer_latencies.distribution(),
            "answered": self.answered,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "errors": dict(self.errors),
            "error_latency_seconds": self.error_latencies.summary(),
            "send_delay_seconds": self.send_delays.summary(),
        }
