"""The plot of the distribution of latencies."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from oxaigen_auth_load.report.html.axes import latency_axis, percentile_axis
from oxaigen_auth_load.report.html.plots import NO_ANSWER, Plot, Point, Series
from oxaigen_auth_load.units import format_percentile, format_seconds

Run = Mapping[str, Any]
TARGETS: Final = ("client", "naive", "app")


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
        note="" if points else NO_ANSWER,
    )


def _latency_at(points: Sequence[Point], percentile: float) -> float | None:
    return next((latency for known, latency in points if known >= percentile), None)
