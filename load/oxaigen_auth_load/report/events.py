"""What happened during a run, as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oxaigen_auth_load.units import NBSP, format_seconds

WORKER_COLUMNS = ("lookups", "stale", "last after", "first rejection", "at the end")
MAX_WORKERS = 20  # rows; connections of a large app could be thousands


def print_event(console: Console, run: Mapping[str, Any]) -> None:
    """Print what happened, and how each worker of the app took a revocation."""
    event = run.get("event")
    if event is None:
        return
    console.print(f"[bold]{run['name']}:[/] {escape(event['description'])}")
    if event.get("workers"):
        _print_workers(console, event["workers"])


def _print_workers(console: Console, workers: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("worker")
    for name in WORKER_COLUMNS:
        table.add_column(name, justify="right")
    for row in worker_rows(workers):
        table.add_row(*map(escape, row))
    console.print(table)


def worker_rows(workers: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield the name of each worker and the texts of `WORKER_COLUMNS`; of many, the worst."""
    worst = sorted(workers, key=lambda worker: worker["stale_seconds"], reverse=True)
    for worker in sorted(worst[:MAX_WORKERS], key=lambda worker: str(worker["worker"])):
        yield (
            worker["worker"],
            f"{worker['lookups']:,}",
            f"{worker['stale_accepts']:,}",
            _last(worker),
            _after(worker["first_rejection_seconds"]),
            "accepts" if worker["accepts_at_end"] else "rejects",
        )
    if len(worst) > MAX_WORKERS:
        earlier = f"… and {len(worst) - MAX_WORKERS:,} that stopped earlier"
        yield (earlier, *("" for _ in WORKER_COLUMNS))


def _last(worker: Mapping[str, Any]) -> str:
    if not worker["stale_accepts"]:
        return "none"
    return _after(worker["stale_seconds"])


def _after(seconds: float | None) -> str:
    return "none" if seconds is None else format_seconds(seconds).replace(NBSP, " ")
