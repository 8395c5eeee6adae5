"""How figures are printed: in columns. Knows nothing of how they were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.harness import Figure

HEAD = ("figure", "median", "min-max", "target", "")


def row(figure: Figure) -> tuple[str, ...]:
    if not figure.values:
        return figure.name, "", "", figure.target, figure.verdict
    low, middle, high = (
        f"{value:,.{figure.digits}f}"
        for value in (min(figure.values), figure.median, max(figure.values))
    )
    return figure.name, middle, f"{low}-{high}", figure.target, figure.verdict


def table(figures: Iterable[Figure]) -> str:
    rows = [HEAD, *map(row, figures)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in rows
    )
