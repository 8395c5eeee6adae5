"""The plots of each run over time: rates, errors, latencies, and lookups in flight."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from attrs import frozen

from oxaigen_auth_load.report.html.axes import Axis, latency_axis, linear_axis
from oxaigen_auth_load.report.html.figures import kind_label
from oxaigen_auth_load.report.html.plots import NO_ANSWER, Kind, Mark, Plot, Point, Series
from oxaigen_auth_load.units import NBSP, format_number, format_seconds

Run = Mapping[str, Any]
Values = Sequence[float | None]
RATES: Final[dict[str, tuple[str, Kind]]] = {
    "arrivals": ("Arrivals", "area"),
    "answers": ("Answers", "line"),
    "upstream_calls": ("Upstream calls", "line"),
}
MAX_KINDS: Final = 5  # of errors, with a colour each; the style has as many
OTHER_ERRORS: Final = "Other errors"
MIN_SCALE: Final = 5  # lookups; the ticks of a shorter scale would be fractions
NEIGHBOURS: Final = 2  # intervals on each side over which a rate is averaged


@frozen
class _Clock:
    """The time axis of a run.

    Attributes:
        is_burst: whether to show totals, as all lookups arrive at once and a rate is of no use.
        unit: "s" or "ms".
        interval: in units.
        steps: the number of intervals.
        warmup: in units.
    """

    axis: Axis
    is_burst: bool
    unit: str
    interval: float
    steps: int
    warmup: float
    marks: Sequence[Mark]

    def amounts(self, line: Mapping[str, Any], counts: Sequence[int]) -> list[float]:
        """Return the rate per second in each interval, or the total at its end."""
        if self.is_burst:
            return list(accumulate(counts))
        return [count / line["interval_seconds"] for count in counts]

    def rows(self) -> list[tuple[str, float]]:
        """Return the label and the middle of each interval."""
        starts = [step * self.interval for step in range(self.steps)]
        return [(self._label(start), start + self.interval / 2) for start in starts]

    def _label(self, start: float) -> str:
        label = f"{round(start, 3):.10g}{NBSP}{self.unit}"
        return f"{label}, warm-up" if start < self.warmup else label

    def points(self, values: Values) -> Iterator[Point | None]:
        """Yield the two ends of each step, and None for each gap."""
        for step, value in enumerate(values):
            if value is None:
                yield None
            else:
                yield step * self.interval, value
                yield (step + 1) * self.interval, value

    def series(self, name: str, css_class: str, values: Values, kind: Kind = "line") -> Series:
        return Series(name, css_class, list(self.points(values)), values, kind)

    def plot(
        self,
        title: str,
        y: Axis,
        series: Sequence[Series],
        *,
        format_value: Callable[[float | None], str] = format_number,
        note: str = "",
    ) -> Plot:
        return Plot(
            title, self.axis, y, series, self.rows(), "From", format_value, note, self.marks
        )


def time_plots(runs: Sequence[Run], scenario: str) -> list[list[Plot]]:
    """Return the plots of each run.

    Plots of a kind have the same scales in all runs, but each burst has a time axis of its own.
    """
    clocks = _clocks(runs, is_burst=scenario == "burst")
    kinds = (_rate_plots, _error_plots, _latency_plots, _in_flight_plots)
    by_kind = [plots(runs, clocks) for plots in kinds]
    return [[plot for plot in plots if plot] for plots in zip(*by_kind, strict=True)]


def _clocks(runs: Sequence[Run], *, is_burst: bool) -> list[_Clock]:
    unit, scale = ("ms", 1000) if is_burst else ("s", 1)
    clocks = []
    durations = [_duration(run["timeline"]) * scale for run in runs]
    for run, duration in zip(runs, durations, strict=True):
        line = run["timeline"]
        end = duration if is_burst else max(durations)
        clocks.append(
            _Clock(
                linear_axis(f"Time since the start ({unit})", end, ends_at_tick=False),
                is_burst,
                unit,
                line["interval_seconds"] * scale,
                len(line["arrivals"]),
                line["warmup_seconds"] * scale,
                list(_marks(line, scale, duration)),
            )
        )
    return clocks


def _duration(line: Mapping[str, Any]) -> float:
    duration: float = len(line["arrivals"]) * line["interval_seconds"]
    return duration


def _marks(line: Mapping[str, Any], scale: int, duration: float) -> Iterator[Mark]:
    warmup, queueing = line["warmup_seconds"] * scale, line["queueing_from_seconds"]
    if warmup:
        yield Mark("Warm-up, not in the figures", "warmup", 0, min(warmup, duration))
    if queueing is not None:
        rate = format_number(round(_arrival_rate(line, queueing)))
        start = queueing * scale
        yield Mark(f"Lookups queue from here: {rate} per second", "queueing", start, start)


def _arrival_rate(line: Mapping[str, Any], seconds: float) -> float:
    """Return the arrivals per second around a time."""
    step = round(seconds / line["interval_seconds"])
    some = line["arrivals"][max(0, step - NEIGHBOURS) : step + NEIGHBOURS + 1]
    rate: float = sum(some) / (len(some) * line["interval_seconds"])
    return rate


def _amount_axis(clocks: Sequence[_Clock], highest: float) -> Axis:
    is_burst = any(clock.is_burst for clock in clocks)
    return linear_axis("Total until then" if is_burst else "Per second", highest, ends_at_tick=True)


def _rate_plots(runs: Sequence[Run], clocks: Sequence[_Clock]) -> list[Plot]:
    lines = [run["timeline"] for run in runs]
    rates = [
        {key: clock.amounts(line, line[key]) for key in RATES if line[key] is not None}
        for line, clock in zip(lines, clocks, strict=True)
    ]
    highest = max((rate for each in rates for some in each.values() for rate in some), default=0)
    y = _amount_axis(clocks, highest)
    note = "The target does not count upstream calls over time."
    return [
        clock.plot(
            f"{'Totals' if clock.is_burst else 'Rates'} of {run['name']}",
            y,
            [clock.series(RATES[key][0], key, some, RATES[key][1]) for key, some in known.items()],
            note="" if "upstream_calls" in known else note,
        )
        for run, clock, known in zip(runs, clocks, rates, strict=True)
    ]


def _error_plots(runs: Sequence[Run], clocks: Sequence[_Clock]) -> list[Plot | None]:
    """Stack the errors by kind; there is no plot for a run without errors."""
    classes = _error_classes(runs)
    stacks = [_error_stack(clock, run, classes) for run, clock in zip(runs, clocks, strict=True)]
    tops = (top or 0 for stack in stacks for series in stack for top in series.tops)
    y = _amount_axis(clocks, max(tops, default=0))
    return [
        clock.plot(f"Errors of {run['name']}", y, stack) if stack else None
        for run, clock, stack in zip(runs, clocks, stacks, strict=True)
    ]


def _error_classes(runs: Sequence[Run]) -> dict[str, str]:
    """Return a class for each of the most frequent kinds, the same in all runs."""
    totals: Counter[str] = Counter()
    for run in runs:
        totals.update({kind: sum(counts) for kind, counts in run["timeline"]["errors"].items()})
    return {kind: f"error-{rank}" for rank, (kind, _) in enumerate(totals.most_common(MAX_KINDS))}


def _error_stack(clock: _Clock, run: Run, classes: Mapping[str, str]) -> list[Series]:
    """Return the series from the top of the stack to its bottom."""
    line, below, stack = run["timeline"], [0.0] * clock.steps, list[Series]()
    for name, css_class, counts in _named_errors(line["errors"], classes):
        rates = clock.amounts(line, counts)
        tops = [low + rate for low, rate in zip(below, rates, strict=True)]
        drawn = [top if rate else None for top, rate in zip(tops, rates, strict=True)]
        stack.append(Series(name, css_class, list(clock.points(drawn)), rates, "bars", drawn))
        below = tops
    return stack[::-1]


def _named_errors(
    errors: Mapping[str, Sequence[int]], classes: Mapping[str, str]
) -> Iterator[tuple[str, str, Sequence[int]]]:
    """Yield the label, the class and the counts of each frequent kind, then those of the rest."""
    for kind, css_class in classes.items():
        if kind in errors:
            yield kind_label(kind), css_class, errors[kind]
    rest = [counts for kind, counts in errors.items() if kind not in classes]
    if rest:
        yield OTHER_ERRORS, "error-other", [sum(each) for each in zip(*rest, strict=True)]


def _latency_plots(runs: Sequence[Run], clocks: Sequence[_Clock]) -> list[Plot]:
    lines = [run["timeline"]["latency_seconds"] for run in runs]
    known = [each for line in lines for some in line.values() for each in some if each is not None]
    y = latency_axis(known)
    return [
        clock.plot(
            f"Latency of {run['name']} over time",
            y,
            [clock.series(name, f"latency-{name}", some) for name, some in line.items()],
            format_value=format_seconds,
            note="" if any(map(any, line.values())) else NO_ANSWER,
        )
        for run, clock, line in zip(runs, clocks, lines, strict=True)
    ]


def _in_flight_plots(runs: Sequence[Run], clocks: Sequence[_Clock]) -> list[Plot]:
    counts = [run["timeline"]["in_flight"] for run in runs]
    highest = max((count for each in counts for count in each), default=0)
    y = linear_axis("Lookups", max(highest, MIN_SCALE), ends_at_tick=True)
    return [
        clock.plot(
            f"In flight of {run['name']}",
            y,
            [clock.series("In flight", "in_flight", some, "area")],
        )
        for run, clock, some in zip(runs, clocks, counts, strict=True)
    ]
