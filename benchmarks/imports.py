"""The cost of `import oxaigen_auth` for an app that imports FastAPI and the HTTP library.

Measures whole processes, including the start of the interpreter. The SDK uses httpx2 if it is
installed.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib.util import find_spec
from subprocess import Popen

from benchmarks.callgrind import instructions
from benchmarks.harness import Figure, NotMeasuredError, alternate_calls, measured, ratios

ROUNDS = 20
LIBRARIES = ("httpx2", "httpx")


def measure() -> list[Figure]:
    return [figure for library in LIBRARIES for figure in _measure(library)]


def _measure(library: str) -> list[Figure]:
    name = f"import: oxaigen_auth, beside fastapi and {library}"
    by_count = Figure(f"{name}, instructions", at_most=1.03, digits=3)
    by_time = Figure(f"{name}, processor time", at_most=1.03, digits=3)
    return [
        *measured([by_count], lambda: [_counted(*_commands(library))]),
        *measured([by_time], lambda: [_timed(*_commands(library))]),
    ]


def _commands(library: str) -> tuple[list[str], list[str]]:
    """Return a command that imports the SDK too, and one that does not."""
    if find_spec(library) is None:
        raise NotMeasuredError(f"needs {library}")
    hide = "import sys; sys.modules['httpx2'] = None; " if library == "httpx" else ""
    without = f"{hide}import fastapi, {library}"
    return [sys.executable, "-c", f"{without}, oxaigen_auth"], [sys.executable, "-c", without]


def _counted(sdk: list[str], without: list[str]) -> tuple[float]:
    return (sum(instructions(sdk)) / sum(instructions(without)),)


def _timed(sdk: list[str], without: list[str]) -> tuple[float, ...]:
    rounds = (partial(_seconds, sdk), partial(_seconds, without))
    return ratios(*alternate_calls(ROUNDS, *rounds))


def _seconds(command: list[str]) -> float:
    """Return the processor seconds of one process."""
    process = Popen(command)  # noqa: S603
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} failed")
    return used.ru_utime + used.ru_stime
