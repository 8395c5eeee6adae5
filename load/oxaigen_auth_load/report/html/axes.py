"""The axes of plots: the place of a value, in percent of the length, and the ticks."""

from collections.abc import Callable, Iterable
from itertools import takewhile
from math import ceil, floor, log10
from typing import Final

from attrs import frozen

from oxaigen_auth_load.units import format_seconds, nines

MAX_LABELS: Final = 7
MAX_ROOM: Final = 0.6  # between the last percentile and the maximum, in nines
FOUR_NINES: Final = 4


@frozen
class Tick:
    """A line across the plot.

    Attributes:
        spare: the label is left out on narrow screens.
    """

    at: float
    label: str = ""
    spare: bool = False


@frozen
class Axis:
    """A scale with its title.

    Attributes:
        place: returns the place of a value, from 0 to 100.
    """

    title: str
    ticks: tuple[Tick, ...]
    place: Callable[[float], float]


def percentile_axis(percentiles: Iterable[float]) -> Axis:
    """Give each further nine the same length, as plots of HdrHistogram do; the maximum is last.

    >>> axis = percentile_axis([0, 50, 90, 99, 99.9, 100])
    >>> [tick.label for tick in axis.ticks]
    ['0', '50', '90', '99', '99.9', 'max']
    """
    last = max((nines(each) for each in percentiles if each < 100), default=0)  # noqa: PLR2004
    end = max(last, 1) + MAX_ROOM

    def place(value: float) -> float:
        return min(100.0, 100 * nines(value) / end) if value < 100 else 100.0  # noqa: PLR2004

    ticks = [Tick(0.0, "0"), Tick(place(50), "50", last > FOUR_NINES)]
    for step in range(1, floor(last + 1e-9) + 1):
        mark = 100 - 10 ** (2 - step)
        ticks.append(Tick(place(mark), f"{mark:.10g}", step > FOUR_NINES and step % 2 == 1))
    return Axis("Percentile of lookups (%)", (*ticks, Tick(100.0, "max")), place)


def latency_axis(latencies: Iterable[float]) -> Axis:
    """Fit a log scale around latencies in seconds; values of zero are at its start.

    >>> [tick.label for tick in latency_axis([0.03, 0.1]).ticks if tick.label][-1].split()
    ['100', 'ms']
    """
    known = [each for each in latencies if each > 0] or [0.001, 1.0]
    marks = _log_marks(min(known), max(known))
    start, end = log10(marks[0]), log10(marks[-1])

    def place(value: float) -> float:
        return max(0.0, 100 * (log10(value) - start) / (end - start)) if value > 0 else 0.0

    sparse = len(marks) > MAX_LABELS
    ticks = (
        Tick(place(each), "" if sparse and not _is_decade(each) else format_seconds(each))
        for each in marks
    )
    return Axis("Latency (log scale)", tuple(ticks), place)


def _log_marks(lowest: float, highest: float) -> list[float]:
    """Return 1, 2 and 5 of each decade, from the last <= `lowest` to the first >= `highest`."""
    decades = range(floor(log10(lowest)) - 1, ceil(log10(highest)) + 2)
    marks = [float(f"{step}e{decade}") for decade in decades for step in (1, 2, 5)]
    first = max(index for index, mark in enumerate(marks) if mark <= lowest)
    last = min(index for index, mark in enumerate(marks) if mark >= highest)
    return marks[first : max(last, first + 1) + 1]


def _is_decade(value: float) -> bool:
    return f"{value:e}".startswith("1.0")


def linear_axis(title: str, highest: float, *, ends_at_tick: bool) -> Axis:
    """Return a scale from zero with ticks at multiples of 1, 2 or 5 times a power of ten.

    Args:
        title: includes the unit.
        highest: the highest value that has to fit.
        ends_at_tick: extend the axis to the next tick above the highest value.

    >>> [tick.label for tick in linear_axis("Time (s)", 9.5, ends_at_tick=False).ticks]
    ['0', '2', '4', '6', '8']
    """
    highest = highest or 1.0
    step = _step(highest)
    end = step * ceil(highest / step - 1e-9) if ends_at_tick else highest

    def place(value: float) -> float:
        return 100 * value / end

    marks = takewhile(lambda mark: mark <= end * (1 + 1e-9), (step * n for n in range(10)))
    return Axis(title, tuple(Tick(place(each), f"{each:,.10g}") for each in marks), place)


def _step(highest: float) -> float:
    decade = floor(log10(highest))
    steps = (float(f"{step}e{power}") for power in (decade - 1, decade) for step in (1, 2, 5))
    return next(step for step in steps if highest / step <= 6)  # noqa: PLR2004 - more crowd a phone
