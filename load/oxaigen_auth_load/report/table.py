"""The terminal output: a progress bar on stderr, the results on stdout."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from attrs import define, field
from rich import progress as rich_progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oxaigen_auth_load.metrics import METRICS, format_figure
from oxaigen_auth_load.recorder import Recording


@define(eq=False)
class Progress:
    """A progress bar, removed at the end; shown only in a terminal."""

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
            "{task.fields[errors]:,} errors, {task.fields[active]:,} active",
            rich_progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(self.name, total=self.total, errors=0, active=0)

    def show(self, recording: Recording) -> None:
        self._bar.update(
            self._task,
            completed=recording.lookups,
            errors=recording.errors.total(),
            active=recording.active,
        )

    def __enter__(self) -> Self:
        self._exits.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a closed terminal must not cost the results
            self._exits.close()


def print_table(report: Mapping[str, Any]) -> None:
    """Print the runs side by side, then the expectations."""
    console = Console()
    plan, tool, runs = report["plan"], report["tool"], report["runs"]
    title = f"{plan['scenario']}: {plan['lookups']:,} lookups, {report['target']}"
    console.print(f"[bold]{escape(title)}[/]")
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for run in runs:
        table.add_column(run["name"], justify="right")
    for row in _rows(runs):
        table.add_row(*row)
    console.print(table)
    for run in runs:
        for note in run["notes"]:
            console.print(f"[yellow]{run['name']}:[/] {escape(note)}")
    tokens = f"{plan['tokens']:,} tokens, {plan['invalid_tokens']:,} of them invalid"
    console.print(
        f"[dim]{tokens}, seed {plan['seed']}; {tool['backend']}, {tool['http_library']}[/dim]"
    )
    if report["partial"]:
        console.print(f"[bold yellow]Partial:[/] {escape(report['partial'])}")
    for each in report["expectations"]:
        mark = "[green]met[/]" if each["met"] else "[bold red]FAILED[/]"
        console.print(f"{mark}  {escape(each['text'])}  ({each['measured']})")


def _rows(runs: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """Yield the label and the values of each row; some rows are only there if a run has them."""
    for name, metric in METRICS.items():
        if metric.group:
            yield metric.label, *(format_figure(name, metric.read(run)) for run in runs)
    for kind in sorted({kind for run in runs for kind in run["errors"]}):
        yield f"  {kind}", *(f"{run['errors'].get(kind, 0):,}" for run in runs)
    if any(run["errors"] for run in runs):
        for name in ("p50", "p99", "max"):
            latencies = (run["error_latency_seconds"][name] for run in runs)
            yield f"  {name} of errors", *(format_figure(name, each) for each in latencies)
    if any(run["unfinished"] for run in runs):
        yield "Unfinished", *(f"{run['unfinished']:,}" for run in runs)
