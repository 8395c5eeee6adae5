"""Starts processes for tests. Each ends with the block that started it, and so do its children.

When the tests themselves are killed, no block ends; `tests/support/reaper.py` is for that.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from threading import Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 120  # seconds after which a process is killed, so that no read waits for ever


@contextmanager
def started(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a process in a group of its own, and kill the group at the end of the block."""
    with subprocess.Popen(  # noqa: S603 (our own code)
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    ) as process:
        patience = Timer(PATIENCE, kill_group, [process.pid])
        patience.start()
        try:
            yield process
        finally:
            patience.cancel()
            kill_group(process.pid)


def kill_group(pid: int) -> None:
    """Kill a process that leads a group, with its group; also when it has ended before it."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
