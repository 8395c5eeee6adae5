"""Draws a plot as SVG that fits any width without shrinking its text, with its table below.

Positions are percentages; the lines are in an inner SVG that is stretched, the text is not.
The table has all numbers for people who do not see the plot, and for the script that shows them.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from attrs import frozen

from oxaigen_auth_load.report.html.axes import Axis, Tick
from oxaigen_auth_load.report.html.markup import Markup, join, tag
from oxaigen_auth_load.report.units import UNKNOWN


@frozen
class Series:
    """A line, an area or bars in a plot.

    Attributes:
        name: for the legend, the head of a column and the values shown.
        look: the class that has its colour.
        points: the values, each where it stands on the x axis; those of bars come in pairs.
        values: one for each row of the table, or None.
    """

    name: str
    look: str
    points: Sequence[tuple[float, float]]
    values: Sequence[float | None]
    shape: Literal["line", "area", "bars"] = "line"


@frozen
class Plot:
    """A plot and its table.

    Attributes:
        rows: the name of each row of the table, and where it stands on the x axis.
        column: what the rows are.
        write: turns a value into text.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    rows: Sequence[tuple[str, float]]
    column: str
    write: Callable[[float | None], str]
    note: str = ""


def figure(plot: Plot) -> Markup:
    """Draw a plot with its title, its legend and its table."""
    return tag(
        "figure",
        tag("figcaption", tag("h3", plot.title), _legend(plot.series)),
        tag("p", plot.y.title, class_="unit"),
        tag("div", _drawing(plot), class_="plot"),
        tag("p", plot.note, class_="quiet") if plot.note else "",
        tag("details", tag("summary", "Numbers of this plot"), _table(plot)),
    )


def _legend(series: Sequence[Series]) -> Markup:
    items = (
        tag("li", tag("svg", _swatch(each), class_="swatch", aria_hidden="true"), each.name)
        for each in series
    )
    return tag("ul", *items, class_="legend")


def _swatch(series: Series) -> Markup:
    if series.shape == "line":
        return tag("path", d="M0 6H26", class_=f"line {series.look}")
    return tag("path", d="M0 1H26V11H0Z", class_=f"{series.shape} {series.look}")


def _drawing(plot: Plot) -> Markup:
    return tag(
        "svg",
        *map(_across, plot.y.ticks),
        *map(_upward, plot.x.ticks),
        tag("text", plot.x.title, class_="title", x="50%", y="100%", dy="3em"),
        tag(
            "svg",
            *(_shape(each, plot) for each in plot.series),
            viewBox="0 0 100 100",
            preserveAspectRatio="none",
            width="100%",
            height="100%",
        ),
        role="img",
        aria_label=f"{plot.title}. The table that follows has its numbers.",
    )


def _across(tick: Tick) -> Markup:
    y = f"{100 - tick.at:.2f}%"
    if not tick.label:
        return tag("line", x1="0", x2="100%", y1=y, y2=y, class_="faint grid")
    line = tag("line", x1="0", x2="100%", y1=y, y2=y, class_="grid")
    return join(line, tag("text", tick.label, class_="y", x="0", dx="-8", y=y, dy="0.33em"))


def _upward(tick: Tick) -> Markup:
    x = f"{tick.at:.2f}%"
    look = "x spare" if tick.spare else "x"
    line = tag("line", x1=x, x2=x, y1="0", y2="100%", class_="grid")
    return join(line, tag("text", tick.label, class_=look, x=x, y="100%", dy="1.5em"))


def _shape(series: Series, plot: Plot) -> Markup:
    places = [(plot.x.place(x), 100 - plot.y.place(y)) for x, y in series.points]
    if not places:
        return Markup()
    draw = {"line": _line, "area": _area, "bars": _bars}[series.shape]
    return tag("path", d=draw(places), class_=f"{series.shape} {series.look}")


def _line(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in places)


def _area(places: Sequence[tuple[float, float]]) -> str:
    return f"M{places[0][0]:.2f} 100L{_line(places)[1:]}L{places[-1][0]:.2f} 100Z"


def _bars(places: Sequence[tuple[float, float]]) -> str:
    """Leave out bars without height, and let none be too small to be seen."""
    pairs = zip(places[::2], places[1::2], strict=True)
    return "".join(
        f"M{left:.2f} 100V{min(top, 97):.2f}H{right:.2f}V100Z"
        for (left, top), (right, _) in pairs
        if top < 100  # noqa: PLR2004 - percent
    )


def _table(plot: Plot) -> Markup:
    heads = (tag("th", each.name, scope="col") for each in plot.series)
    return tag(
        "div",
        tag(
            "table",
            tag("caption", plot.title, class_="unseen"),
            tag("thead", tag("tr", tag("th", plot.column, scope="col"), *heads)),
            tag("tbody", *(_row(plot, index) for index in range(len(plot.rows)))),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=f"Numbers: {plot.title}",
    )


def _row(plot: Plot, index: int) -> Markup:
    label, x = plot.rows[index]
    cells = (_cell(plot, each, each.values[index]) for each in plot.series)
    return tag("tr", tag("th", label, scope="row"), *cells, data_x=f"{plot.x.place(x):.2f}")


def _cell(plot: Plot, series: Series, value: float | None) -> Markup:
    if value is None:
        return tag("td", UNKNOWN)
    y = 100 - plot.y.place(value)
    return tag("td", plot.write(value), data_y=f"{y:.2f}", data_look=series.look)
