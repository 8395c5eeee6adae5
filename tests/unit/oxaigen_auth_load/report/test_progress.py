from __future__ import annotations

import io

import pytest
from rich.console import Console

from oxaigen_auth_load.recorder import Progress
from oxaigen_auth_load.report import progress
from oxaigen_auth_load.report.progress import ProgressDisplay


def test_without_a_terminal_there_is_a_line_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter((0.0, 1.0, 4.9, 5.0, 5.0, 9.0, 10.0, 10.0))
    monkeypatch.setattr(progress, "monotonic", lambda: next(times))
    text = io.StringIO()
    with ProgressDisplay("app", 5000, console=Console(file=text, width=20)) as display:
        for _ in range(5):
            display.show(Progress(lookups=1200, errors=3, active=7))
    line = "app: 1,200 of 5,000, 3 errors, 7 active\n"
    assert text.getvalue() == 2 * line


@pytest.mark.parametrize("width", [30, 120])
def test_in_a_terminal_a_line_is_rewritten(width: int) -> None:
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True)
    with ProgressDisplay("app", None, console=console) as display:
        display.show(Progress(lookups=1200))
    assert "app: 1,200" in text.getvalue()
