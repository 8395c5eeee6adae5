"""A plot: series over two axes, and the same numbers as a table.

Positions are percentages: the lines are in an SVG that is stretched to the width of the page, the
text is not. The table is for people who cannot see the plot, and for the script that shows values.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final, Literal, TypeAlias

from attrs import frozen

from oxaigen_auth_load.report.html.axes import Axis

Kind: TypeAlias = Literal["line", "area", "bars"]
Point: TypeAlias = tuple[float, float]
NO_ANSWER: Final = "No lookup was answered, so there is nothing to draw."
MAX_BAR_TOP: Final = 97  # percent from the top, so that the smallest bar can be seen


@frozen
class Series:
    """A line, an area or bars.

    Attributes:
        name: in the legend and at the head of its column.
        css_class: has its colour.
        points: x and y of each, and None for a gap; bars have two points each.
        values: one for each row of the table; None for unknown.
        heights: the place of each value on the y axis, if it is stacked on others.
    """

    name: str
    css_class: str
    points: Sequence[Point | None]
    values: Sequence[float | None]
    kind: Kind = "line"
    heights: Sequence[float | None] | None = None

    @property
    def tops(self) -> Sequence[float | None]:
        """The place of each value on the y axis."""
        return self.values if self.heights is None else self.heights

    @property
    def swatch(self) -> str:
        """The path of its sample in the legend."""
        return "M0 6H26" if self.kind == "line" else "M0 1H26V11H0Z"


@frozen
class Mark:
    """A part of the x axis that the legend explains; a line if it ends where it starts."""

    name: str
    css_class: str
    start: float
    end: float

    @property
    def swatch(self) -> str:
        """The path of its sample in the legend."""
        return "M13 0V12" if self.start == self.end else "M0 1H26V11H0Z"


@frozen
class Plot:
    """A plot and its table.

    Attributes:
        rows: the label of each row of the table, and its place on the x axis.
        column: the heading of the labels.
        format_value: formats a value of a series; None is unknown.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    rows: Sequence[tuple[str, float]]
    column: str
    format_value: Callable[[float | None], str]
    note: str = ""
    marks: Sequence[Mark] = ()

    def path(self, series: Series) -> str:
        """Return the SVG path of a series; "" without points."""
        draw = {"line": _line, "area": _area, "bars": _bars}[series.kind]
        return "".join(map(draw, self._stretches(series)))

    def _stretches(self, series: Series) -> Iterator[list[Point]]:
        """Yield the places of points without a gap between them."""
        for is_known, some in groupby(series.points, key=lambda point: point is not None):
            if is_known:
                yield [(self.x.place(x), 100 - self.y.place(y)) for x, y in filter(None, some)]


def _line(places: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in places)


def _area(places: Sequence[Point]) -> str:
    return f"M{places[0][0]:.2f} 100L{_line(places)[1:]}L{places[-1][0]:.2f} 100Z"


def _bars(places: Sequence[Point]) -> str:
    pairs = zip(places[::2], places[1::2], strict=True)
    return "".join(
        f"M{left:.2f} 100V{min(top, MAX_BAR_TOP):.2f}H{right:.2f}V100Z"
        for (left, top), (right, _) in pairs
    )
