"""Formats figures as columns, as Markdown for docs/performance.md, and next to another run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.harness import Figure
    from benchmarks.record import Record

HEAD = ("figure", "median", "min-max", "target", "", "")


def table(figures: Iterable[Figure]) -> str:
    return _columns([HEAD, *map(_row, figures)])


def markdown(record: Record) -> str:
    """Return a record as it appears in docs/performance.md."""
    head = ("figure", "median", "minimum-maximum", "target", "", "note")
    rows = [head, ("---",) * len(head), *map(_row, record.figures)]
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return "\n".join(
        [
            f"Measured on {record.date} at commit `{record.commit}`,",
            f"on {record.machine}; {versions}.",
            "",
            *(f"| {' | '.join(cells)} |" for cells in rows),
        ]
    )


def comparison(before: Record, after: Record) -> str:
    """Return both medians, the change, and whether the spreads overlap."""
    olds = {figure.name: figure for figure in before.figures}
    title = f"{before.commit} of {before.date}", f"{after.commit} of {after.date}"
    rows = [("figure", *title, "change", "")]
    rows += [_change(olds.get(new.name), new) for new in after.figures]
    news = {figure.name for figure in after.figures}
    rows += [
        (old.name, _median(old), "-", "", "") for old in before.figures if old.name not in news
    ]
    return _columns(rows)


def _row(figure: Figure) -> tuple[str, ...]:
    if not figure.values:
        return figure.name, "", "", figure.target, figure.verdict, figure.note
    spread = f"{_number(figure, min(figure.values))}-{_number(figure, max(figure.values))}"
    if len(figure.values) == 1:
        spread = ""
    return figure.name, _median(figure), spread, figure.target, figure.verdict, figure.note


def _change(old: Figure | None, new: Figure) -> tuple[str, str, str, str, str]:
    if old is None or not (old.values and new.values):
        return new.name, "-" if old is None else _median(old), _median(new), "", ""
    change = f"{new.median / old.median - 1:+.1%}" if old.median else ""
    apart = max(old.values) < min(new.values) or max(new.values) < min(old.values)
    return new.name, _median(old), _median(new), change, "apart" if apart else "spreads overlap"


def _median(figure: Figure) -> str:
    return _number(figure, figure.median) if figure.values else "-"


def _number(figure: Figure, value: float) -> str:
    return f"{value:,.{figure.digits}f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in rows
    )
