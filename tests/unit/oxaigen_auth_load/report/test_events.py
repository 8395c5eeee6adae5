from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from oxaigen_auth_load.report.events import MAX_WORKERS, print_event


def printed(event: dict[str, Any] | None) -> list[str]:
    console = Console(file=StringIO(), width=100)
    print_event(console, {"name": "app", "event": event})
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def worker(number: int, stale: int) -> dict[str, Any]:
    return {
        "worker": f"worker [{number:02}]",
        "lookups": 10,
        "stale_accepts": stale,
        "stale_seconds": float(stale),
        "first_rejection_seconds": 0.5 if number else None,
        "accepts_at_end": not number,
    }


def test_a_run_without_an_event_has_no_line() -> None:
    assert printed(None) == []


def test_each_worker_has_a_row() -> None:
    title, _, first, second = printed(
        {"description": "[2] tokens", "workers": [worker(0, 3), worker(1, 0)]}
    )
    assert title == "app: [2] tokens"
    assert first.split("  ")[0] == "worker [00]"
    assert first.split()[2:] == ["10", "3", "3", "s", "none", "accepts"]
    assert second.split()[2:] == ["10", "0", "none", "500", "ms", "rejects"]


def test_of_many_workers_those_are_shown_that_accepted_longest() -> None:
    many = [worker(number, number) for number in range(MAX_WORKERS + 2)]
    lines = printed({"description": "", "workers": many})
    assert lines[-1].strip() == "… and 2 that stopped earlier"
    assert lines[2].startswith("worker [02]")
