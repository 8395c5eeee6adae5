"""What people see of a load: its progress on stderr, its results on stdout."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from attrs import define, field
from rich import progress as rich_progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oxaigen_auth_load.report import figures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from oxaigen_auth_load.recording import Recording

_SECONDS = ("p50", "p90", "p99", "p99.9", "max")
FIGURES = {
    "throughput": "lookups per second",
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
    console.print(table)
    said = f"{plan['tokens']:,} tokens, {plan['bad_tokens']:,} of them bad, seed {plan['seed']}"
    console.print(f"[dim]{escape(said)}; {tool['backend']}, {tool['http_library']}[/dim]")
    if report["partial"]:
        console.print(f"[bold yellow]Partial:[/] {escape(report['partial'])}")
    for each in report["expectations"]:
        mark = "[green]met[/]" if each["met"] else "[bold red]FAILED[/]"
        name = each["text"].split()[0].rstrip("<>=")
        console.print(f"{mark}  {escape(each['text'])}  (it was {written(name, each['value'])})")


def _title(report: Mapping[str, Any]) -> str:
    plan = report["plan"]
    return f"{plan['shape']}: {plan['lookups']:,} lookups, {report['target']}"


def written(name: str, value: float | None) -> str:
    """Write a figure as people do: times in the unit that suits them."""
    if value is None:
        return "unknown"
    if name in {*_SECONDS, "mean"}:
        return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.2f} ms"
    if name == "error_rate":
        return f"{value:.2%}"
    return f"{value:,.2f}" if name == "upstream_calls_per_token" else f"{value:,.0f}"
