"""What people see of a load: its progress on stderr, its results on stdout."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

from attrs import define, field
from rich import progress as rich_progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oxaigen_auth_load.report.document import figures
from oxaigen_auth_load.report.units import SPACE, seconds
from oxaigen_auth_load.thresholds import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from oxaigen_auth_load.recorder import Recording

_SECONDS = ("p50", "p90", "p99", "p99.9", "max")
FIGURES = {
    "throughput": "answers per second",
    **{name: name for name in _SECONDS},
    "cache_hits": "cache hits",
    "joined": "joined another's lookup",
    "upstream_calls": "upstream calls",
    "upstream_calls_per_token": "upstream calls per token",
    "most_at_once": "most lookups at once",
    "accepted": "accepted",
    "rejected": "bad tokens rejected",
    "errors": "errors",
}


@define(eq=False)
class Progress:
    """A bar that moves while a plan runs, and is gone afterwards; nothing where nobody looks."""

    name: str
    total: int
    _bar: rich_progress.Progress = field(init=False)
    _task: rich_progress.TaskID = field(init=False)
    _exits: ExitStack = field(factory=ExitStack)

    def __attrs_post_init__(self) -> None:
        console = Console(stderr=True)
        self._bar = rich_progress.Progress(
            "{task.description}",
            rich_progress.BarColumn(),
            "{task.completed:,} of {task.total:,}",
            "{task.fields[errors]:,} errors, {task.fields[at_once]:,} at once",
            rich_progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(self.name, total=self.total, errors=0, at_once=0)

    def show(self, recording: Recording) -> None:
        self._bar.update(
            self._task,
            completed=recording.lookups,
            errors=recording.errors.total(),
            at_once=recording.at_once,
        )

    def __enter__(self) -> Self:
        self._exits.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with suppress(OSError):  # the terminal is gone, and that must not cost the results
            self._exits.close()


def print_table(report: Mapping[str, Any]) -> None:
    """Print the runs side by side, then what was expected of the first."""
    console = Console()
    plan, tool = report["plan"], report["tool"]
    console.print(f"[bold]{escape(_title(report))}[/]")
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    runs = report["runs"]
    numbers = [figures(run) for run in runs]
    for run in runs:
        table.add_column(run["name"], justify="right")
    for name, words in FIGURES.items():
        table.add_row(words, *(written(name, each[name]) for each in numbers))
    for kind in sorted({kind for run in runs for kind in run["errors"]}):
        table.add_row(f"  {kind}", *(f"{run['errors'].get(kind, 0):,}" for run in runs))
    for row in _rows_of_failures(runs):
        table.add_row(*row)
    console.print(table)
    for run in runs:
        for note in run["notes"]:
            console.print(f"[yellow]{run['name']}:[/] {escape(note)}")
    said = f"{plan['tokens']:,} tokens, {plan['bad_tokens']:,} of them bad, seed {plan['seed']}"
    console.print(f"[dim]{escape(said)}; {tool['backend']}, {tool['http_library']}[/dim]")
    if report["partial"]:
        console.print(f"[bold yellow]Partial:[/] {escape(report['partial'])}")
    for each in report["expectations"]:
        mark = "[green]met[/]" if each["met"] else "[bold red]FAILED[/]"
        unanswered = each["value"] is None and each["figure"] in TIMES
        said = each["measured"] if unanswered else f"it was {each['measured']}"
        console.print(f"{mark}  {escape(each['text'])}  ({said})")


def _rows_of_failures(runs: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """Give the rows that only some loads have: of errors, and of what a stopped load left."""
    if any(run["errors"] for run in runs):
        for name in ("p50", "p99", "max"):
            times = (seconds(run["error_latency_seconds"][name]) for run in runs)
            yield f"  {name} of errors", *(each.replace(SPACE, " ") for each in times)
    if any(run["unfinished"] for run in runs):
        yield "unfinished", *(f"{run['unfinished']:,}" for run in runs)


def _title(report: Mapping[str, Any]) -> str:
    plan = report["plan"]
    return f"{plan['shape']}: {plan['lookups']:,} lookups, {report['target']}"


def written(name: str, value: float | None) -> str:
    """Write a figure as people do: times in the unit that suits them."""
    if name in _SECONDS:
        return "no answer" if value is None else seconds(value).replace(SPACE, " ")
    if value is None:
        return "unknown"
    return f"{value:,.2f}" if name == "upstream_calls_per_token" else f"{value:,.0f}"
