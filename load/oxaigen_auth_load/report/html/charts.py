"""The plots of a report: the distribution of latencies, and the time line of each run."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any, Final

from attrs import frozen

from oxaigen_auth_load.report.html.axes import latency_axis, linear_axis, percentile_axis
from oxaigen_auth_load.report.html.plots import Kind, Plot, Point, Series
from oxaigen_auth_load.units import NBSP, format_number, format_percentile, format_seconds

Run = Mapping[str, Any]
TARGETS: Final = ("client", "naive", "app")
MAX_STEPS: Final = 120  # more would be narrower than a line
KINDS: Final[dict[str, tuple[str, Kind]]] = {
    "arrivals": ("Arrivals", "area"),
    "upstream_calls": ("Upstream calls", "line"),
    "errors": ("Errors", "bars"),
}


def css_class(run: Run) -> str:
    """Return the class with the colour of a run, which is the same in all plots."""
    return f"run-{run['name']}" if run["name"] in TARGETS else "run-other"


def latency_plot(runs: Sequence[Run]) -> Plot:
    """Plot latency over percentile, a line for each run."""
    points = [point for run in runs for point in run["distribution"]]
    percentiles = sorted({percentile for percentile, _ in points})
    series = [
        Series(
            run["name"],
            css_class(run),
            run["distribution"],
            [_latency_at(run["distribution"], each) for each in percentiles],
        )
        for run in runs
    ]
    return Plot(
        title="Latency by percentile",
        x=percentile_axis(percentiles),
        y=latency_axis([latency for _, latency in points]),
        series=series,
        rows=[(format_percentile(each), each) for each in percentiles],
        column="Percentile",
        format_value=format_seconds,
        note="" if points else "No lookup was answered, so there is nothing to draw.",
    )


def _latency_at(points: Sequence[Point], percentile: float) -> float | None:
    return next((latency for known, latency in points if known >= percentile), None)


@frozen
class _TimeLine:
    """Rates of one run, per second.

    Attributes:
        step: the length of a step in seconds.
        rates: the rate in each step, by kind, without the kinds that were not counted.
    """

    name: str
    step: float
    rates: Mapping[str, Sequence[float]]

    @property
    def steps(self) -> int:
        return max((len(rates) for rates in self.rates.values()), default=0)


def time_line_plots(runs: Sequence[Run]) -> list[Plot]:
    """Plot rates over time, a plot for each run, all with the same scales."""
    lines = [_time_line(run) for run in runs]
    duration = max((line.steps * line.step for line in lines), default=0.0)
    highest = max(
        (rate for line in lines for rates in line.rates.values() for rate in rates), default=0
    )
    return [_time_line_plot(line, duration, highest) for line in lines]


def _time_line(run: Run) -> _TimeLine:
    counted = {kind: run["timeline"][kind] for kind in KINDS}
    known = {kind: counts for kind, counts in counted.items() if counts is not None}
    interval = run["timeline"]["interval_seconds"]
    merged = max(1, ceil(max(map(len, known.values()), default=0) / MAX_STEPS))
    rates = {kind: list(_rates(counts, merged, interval)) for kind, counts in known.items()}
    return _TimeLine(run["name"], interval * merged, rates)


def _rates(counts: Sequence[int], merged: int, interval: float) -> Iterator[float]:
    """Merge this many intervals into each step; the last step may have fewer."""
    for start in range(0, len(counts), merged):
        some = counts[start : start + merged]
        yield sum(some) / (len(some) * interval)


def _time_line_plot(line: _TimeLine, duration: float, highest: float) -> Plot:
    starts = [index * line.step for index in range(line.steps)]
    return Plot(
        title=f"Time line of {line.name}",
        x=linear_axis("Time since the start (s)", duration, ends_at_tick=False),
        y=linear_axis("Per second", highest, ends_at_tick=True),
        series=[_time_line_series(line, kind) for kind in KINDS if kind in line.rates],
        rows=[(f"{round(start, 3):.10g}{NBSP}s", start + line.step / 2) for start in starts],
        column="From",
        format_value=format_number,
        note="" if "upstream_calls" in line.rates else "The target does not count upstream calls.",
    )


def _time_line_series(line: _TimeLine, kind: str) -> Series:
    name, shape = KINDS[kind]
    rates = line.rates[kind]
    ends = [(at * line.step, rate) for index, rate in enumerate(rates) for at in (index, index + 1)]
    return Series(name, kind, ends, [*rates, *[None] * (line.steps - len(rates))], shape)
