"""Kills the processes that a run of the tests started, once the run is gone.

A run puts a mark into its environment. Every process that it starts inherits the mark, and so does
every process that those start. One more process, the reaper, waits for the end of the run, however
the run ends, and kills what still has the mark. It reads Linux's /proc; elsewhere it finds nothing.

Imports only the standard library: the reaper runs this file by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import NamedTuple
from uuid import uuid4

NAME = "TEST_RUN_MARK"  # the variable that holds the mark
POLL_INTERVAL = 0.02  # seconds
RESOURCE_TRACKER = b"multiprocessing.resource_tracker"  # ends by itself after its cleanup


class Marked(NamedTuple):
    """A process that has the mark."""

    pid: int
    command: str


def marked(mark: str) -> list[Marked]:
    """Return the processes that have the mark in the environment with which they were started."""
    entry = f"{NAME}={mark}".encode()
    found: list[Marked] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
            if entry in environment and RESOURCE_TRACKER not in command:
                words = command.decode(errors="replace").split("\0")
                found.append(Marked(int(folder.name), " ".join(words).strip()))
    return found


def left_after(mark: str, timeout: float) -> list[Marked]:
    """Wait until no process has the mark; return those that still run after `timeout` seconds."""
    end = time.monotonic() + timeout
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(POLL_INTERVAL)
    return left


def kill_marked(mark: str) -> None:
    """Kill the processes that have the mark, and those that they start meanwhile."""
    while left := marked(mark):
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(POLL_INTERVAL)


def reap(mark: str) -> None:
    """Wait for the end of the run, which closes this process's input; then kill what is left."""
    sys.stdin.buffer.read()
    kill_marked(mark)


def start() -> tuple[str, Popen[bytes]]:
    """Put a new mark into the environment, and start the reaper; return both.

    The reaper has no mark, not even that of an outer run, and a session of its own, so that signals
    to the run do not reach it.
    """
    environment = {name: value for name, value in os.environ.items() if name != NAME}
    os.environ[NAME] = mark = uuid4().hex
    code = f"import runpy; runpy.run_path({__file__!r})[{reap.__name__!r}]({mark!r})"
    command = [sys.executable, "-I", "-S", "-c", code]
    reaper = Popen(  # noqa: S603 (our own code)
        command,
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=DEVNULL,
        env=environment,
        start_new_session=True,
    )
    return mark, reaper
