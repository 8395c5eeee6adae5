"""Counts the instructions of a child process with valgrind, in total or in sections."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.harness import NotMeasuredError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def start_section() -> None:
    """Start a new section: callgrind writes its counts before this system call, which is rare."""
    os.getppid()


def instructions(command: Sequence[str], environ: Mapping[str, str] | None = None) -> list[int]:
    """Run a command, and return the number of instructions in each section.

    Raises:
        NotMeasuredError: valgrind is not installed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise NotMeasuredError("needs valgrind")
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        words = [
            *(valgrind, "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"),
            *(f"--dump-before={os.getppid.__name__}", *command),
        ]
        env = {**os.environ, **(environ or {}), "PYTHONHASHSEED": "0"}
        subprocess.run(words, check=True, env=env)  # noqa: S603
        sections = len(list(out.parent.iterdir()))  # out.1, out.2, …; the last one is out
        return [_total(out.with_suffix(f".{n}")) for n in range(1, sections)] + [_total(out)]


def _total(dump: Path) -> int:
    lines = reversed(dump.read_text().splitlines())
    return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))
