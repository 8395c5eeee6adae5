"""Starts processes for tests. Each ends with the block that started it, and so do its children.

If the tests themselves are killed, `tests/support/reaper.py` kills the processes.
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

TIMEOUT = 120  # seconds after which a process is killed, so that no read blocks forever


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
        timer = Timer(TIMEOUT, kill_group, [process.pid])
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            kill_group(process.pid)


def kill_group(pid: int) -> None:
    """Kill a process group by the pid of its leader, which may have ended before."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
