"""The plots of what happened when: arrivals, upstream calls and errors per second of each run."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any, Final, Literal

from attrs import frozen

from oxaigen_auth_load.report.html.axes import linear_axis
from oxaigen_auth_load.report.html.markup import Markup, join
from oxaigen_auth_load.report.html.plots import Plot, Series, figure
from oxaigen_auth_load.report.units import number

MOST_STEPS: Final = 120  # more would be thinner than a line
KINDS: Final[tuple[tuple[str, str, Literal["area", "line", "bars"]], ...]] = (
    ("arrivals", "Arrivals", "area"),
    ("upstream_calls", "Upstream calls", "line"),
    ("errors", "Errors", "bars"),
)


@frozen
class Timeline:
    """Rates of one run, per second.

    Attributes:
        step: how long each rate held, in seconds.
        rates: by kind; a kind that was not counted is not there.
    """

    name: str
    step: float
    rates: Mapping[str, Sequence[float]]

    @property
    def steps(self) -> int:
        return max((len(rates) for rates in self.rates.values()), default=0)


def timelines(runs: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw a time line per run, all with the same scales."""
    lines = [_timeline(run) for run in runs]
    longest = max((line.steps * line.step for line in lines), default=0.0)
    highest = max(
        (rate for line in lines for rates in line.rates.values() for rate in rates), default=0
    )
    return join(*(_drawn(line, longest, highest) for line in lines))


def _timeline(run: Mapping[str, Any]) -> Timeline:
    counted = {kind: run["timeline"][kind] for kind, _, _ in KINDS}
    known = {kind: counts for kind, counts in counted.items() if counts is not None}
    interval = run["timeline"]["interval_seconds"]
    merged = max(1, ceil(max(map(len, known.values()), default=0) / MOST_STEPS))
    rates = {kind: list(_rates(counts, merged, interval)) for kind, counts in known.items()}
    return Timeline(run["name"], interval * merged, rates)


def _rates(counts: Sequence[int], merged: int, interval: float) -> Iterator[float]:
    """Merge this many intervals into one; the last one may be shorter."""
    for start in range(0, len(counts), merged):
        some = counts[start : start + merged]
        yield sum(some) / (len(some) * interval)


def _drawn(line: Timeline, longest: float, highest: float) -> Markup:
    starts = [index * line.step for index in range(line.steps)]
    series = [
        Series(name, kind, list(_outline(line.rates[kind], line.step)), _padded(line, kind), shape)
        for kind, name, shape in KINDS
        if kind in line.rates
    ]
    return figure(
        Plot(
            title=f"Time line of {line.name}",
            x=linear_axis("Time since the start (s)", longest, ends_at_tick=False),
            y=linear_axis("Per second", highest, ends_at_tick=True),
            series=series,
            rows=[
                (f"{round(start, 3):.10g}\N{NO-BREAK SPACE}s", start + line.step / 2)
                for start in starts
            ],
            column="From",
            write=number,
            note="" if "upstream_calls" in line.rates else "The target does not count its calls.",
        )
    )


def _outline(rates: Sequence[float], step: float) -> Iterator[tuple[float, float]]:
    """Give where each rate begins and where it ends."""
    for index, rate in enumerate(rates):
        yield index * step, rate
        yield (index + 1) * step, rate


def _padded(line: Timeline, kind: str) -> list[float | None]:
    rates = line.rates[kind]
    return [*rates, *[None] * (line.steps - len(rates))]
