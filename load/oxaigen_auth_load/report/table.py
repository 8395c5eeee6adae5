"""The results as a table, on stdout."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oxaigen_auth_load.generator import SATURATED
from oxaigen_auth_load.metrics import METRICS, format_figure
from oxaigen_auth_load.report.events import print_event


def print_table(report: Mapping[str, Any]) -> None:
    """Print the runs side by side, then the expectations."""
    console = Console()
    plan, tool, runs = report["plan"], report["tool"], report["runs"]
    lookups = "" if plan["lookups"] is None else f"{plan['lookups']:,} lookups, "
    title = f"{plan['scenario']}: {lookups}{report['target']}"
    console.print(f"[bold]{escape(title)}[/]")
    for run in runs:
        if run["generator"]["saturated"]:
            reasons = "; ".join(run["generator"]["reasons"])
            console.print(f"[bold red]{run['name']}: {SATURATED}[/]: {escape(reasons)}")
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for run in runs:
        table.add_column(run["name"], justify="right")
    for row in _rows(runs, plan["scenario"]):
        table.add_row(*row)
    console.print(table)
    for run in runs:
        print_event(console, run)
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


def _rows(runs: Sequence[Mapping[str, Any]], scenario: str) -> Iterator[Sequence[str]]:
    """Yield the label and the values of each row; some rows are only there if a run has them."""
    for name, metric in METRICS.items():
        if metric.group and metric.scenario in {"", scenario}:
            yield metric.label, *(format_figure(name, metric.read(run)) for run in runs)
    for kind in sorted({kind for run in runs for kind in run["errors"]}):
        yield f"  {kind}", *(f"{run['errors'].get(kind, 0):,}" for run in runs)
    if any(run["errors"] for run in runs):
        for name in ("p50", "p99", "max"):
            latencies = (run["error_latency_seconds"][name] for run in runs)
            yield f"  {name} of errors", *(format_figure(name, each) for each in latencies)
    if any(run["unfinished"] for run in runs):
        yield "Unfinished", *(f"{run['unfinished']:,}" for run in runs)
