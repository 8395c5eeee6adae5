"""The plot of how latencies are distributed: one line per run."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from oxaigen_auth_load.report.html.axes import latency_axis, percentile_axis
from oxaigen_auth_load.report.html.markup import Markup
from oxaigen_auth_load.report.html.plots import Plot, Series, figure
from oxaigen_auth_load.report.units import percentile, seconds

NAMES: Final = ("client", "naive", "app")


def look(run: Mapping[str, Any]) -> str:
    """Give the class with the colour of a run; the same run has it everywhere."""
    return f"run-{run['name']}" if run["name"] in NAMES else "run-other"


def distribution(runs: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw latency over percentile for all runs."""
    points = [point for run in runs for point in run["distribution"]]
    percentiles = sorted({at for at, _ in points})
    return figure(
        Plot(
            title="Latency by percentile",
            x=percentile_axis(percentiles),
            y=latency_axis([latency for _, latency in points]),
            series=[_line(run, percentiles) for run in runs],
            rows=[(percentile(each), each) for each in percentiles],
            column="Percentile",
            write=seconds,
            note="" if points else "No lookup was answered, so there is nothing to draw.",
        )
    )


def _line(run: Mapping[str, Any], percentiles: Sequence[float]) -> Series:
    points: Sequence[tuple[float, float]] = run["distribution"]
    return Series(run["name"], look(run), points, [_at(points, each) for each in percentiles])


def _at(points: Sequence[tuple[float, float]], wanted: float) -> float | None:
    """Give the latency that the wanted part of lookups did not exceed."""
    return next((latency for at, latency in points if at >= wanted), None)
