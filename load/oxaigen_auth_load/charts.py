"""Line charts as SVG: drawn here, coloured by the page's style. Knows scales, no load.

Each point has a title, which browsers show where the pointer is.
"""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 78, 16, 14, 48


class Scale(Protocol):
    """Where a value is on an axis, from 0 to 1, and where it has ticks."""

    def place(self, value: float) -> float: ...

    def ticks(self) -> list[tuple[float, str]]: ...

    def write(self, value: float, /) -> str: ...


@frozen
class Linear:
    """From 0 to a round number at or beyond `most`."""

    most: float
    unit: str = ""

    @property
    def _step(self) -> float:
        rough = max(self.most, 1e-9) / 5
        unit = 10.0 ** floor(log10(rough))
        return next(unit * n for n in (1, 2, 5, 10) if unit * n >= rough * 0.999)

    @property
    def _end(self) -> float:
        return self._step * max(ceil(self.most / self._step - 1e-9), 1)

    def place(self, value: float) -> float:
        return value / self._end

    def ticks(self) -> list[tuple[float, str]]:
        number = round(self._end / self._step)
        return [(n / number, self.write(n * self._step)) for n in range(number + 1)]

    def write(self, value: float, /) -> str:
        return f"{value:,g}{self.unit}" if value < 1000 else f"{value:,.0f}{self.unit}"  # noqa: PLR2004


@frozen
class Decades:
    """Seconds, logarithmic: between the powers of ten around `least` and `most`."""

    least: float
    most: float

    @property
    def _ends(self) -> tuple[int, int]:
        low = floor(log10(self.least))
        return low, max(ceil(log10(self.most)), low + 1)

    def place(self, value: float) -> float:
        low, high = self._ends
        return (log10(max(value, 10.0**low)) - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        low, high = self._ends
        return [(self.place(10.0**n), self.write(10.0**n)) for n in range(low, high + 1)]

    def write(self, value: float, /) -> str:
        for least, unit in ((1.0, "s"), (1e-3, "ms")):
            if value >= least * 0.9995:
                return f"{value / least:.3g} {unit}"
        return f"{value * 1e6:.3g} µs"


@frozen
class Nines:
    """Percentiles, on which 90, 99, 99.9 … are equally far apart; `last` is the last but 100."""

    last: float

    @property
    def _end(self) -> float:
        return max(log10(100 / (100 - self.last)), 1.0) * 1.04

    def place(self, value: float) -> float:
        return 1.0 if value >= 100 else log10(100 / (100 - value)) / self._end  # noqa: PLR2004

    def ticks(self) -> list[tuple[float, str]]:
        known = [value for value in (0, 50, 90, 99, 99.9, 99.99, 99.999) if value <= self.last]
        return [(self.place(value), self.write(value)) for value in known]

    def write(self, value: float, /) -> str:
        return f"{value:g} %"


@frozen
class Series:
    """A line, its name in the legend, its colour by the name of a class, and its points."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]


def chart(series: Sequence[Series], x: Scale, y: Scale, names: tuple[str, str]) -> str:
    """Draw lines over two axes, which are called by `names`; each class of a colour is the page's.

    Whoever cannot see it needs the numbers as text beside it.
    """
    lines = ", ".join(one.name for one in series)
    label = escape(f"{names[1]} over {names[0]}: {lines}")
    middle, centre = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">',
        *_grid(x, y),
        _axis(f'x="{middle}" y="{HEIGHT - 8}"', names[0]),
        _axis(f'transform="translate(14 {centre}) rotate(-90)"', names[1]),
        *(_line(one, x, y) for one in series),
        "</svg>",
    ]
    return "".join(parts)


def _axis(where: str, name: str) -> str:
    return f'<text class="axis" {where} text-anchor="middle">{escape(name)}</text>'


def _across(place: float) -> float:
    return round(LEFT + place * (WIDTH - LEFT - RIGHT), 1)


def _down(place: float) -> float:
    return round(HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM), 1)


def _grid(x: Scale, y: Scale) -> list[str]:
    lines = []
    for place, text in y.ticks():
        at = _down(place)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{at + 4}" text-anchor="end">{escape(text)}</text>')
    for place, text in x.ticks():
        at, below = _across(place), HEIGHT - BOTTOM
        lines.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{below}"/>')
        lines.append(f'<text x="{at}" y="{below + 18}" text-anchor="middle">{escape(text)}</text>')
    return lines


def _line(series: Series, x: Scale, y: Scale) -> str:
    places = [(_across(x.place(a)), _down(y.place(b))) for a, b in series.points]
    path = " ".join(f"{a},{b}" for a, b in places)
    dots = "".join(
        f'<circle cx="{a}" cy="{b}" r="7"><title>{escape(_said(series, point, x, y))}</title>'
        f"</circle>"
        for (a, b), point in zip(places, series.points, strict=True)
    )
    return f'<g class="{series.colour}"><polyline points="{path}"/>{dots}</g>'


def _said(series: Series, point: tuple[float, float], x: Scale, y: Scale) -> str:
    return f"{series.name}: {y.write(point[1])} at {x.write(point[0])}"
