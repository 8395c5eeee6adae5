"""Counts the instructions of a child process, all of them or between marks. Needs valgrind."""

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


def mark() -> None:
    """Let what was counted so far be written down; a system call that nothing else makes."""
    os.getppid()


def instructions(command: Sequence[str], environ: Mapping[str, str] | None = None) -> list[int]:
    """Run a command; return how many instructions it took up to each mark and from the last.

    Raises:
        NotMeasuredError: there is no valgrind.
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
        marks = len(list(out.parent.iterdir()))  # out.1, out.2, …, and out from the last on
        return [_total(out.with_suffix(f".{which}")) for which in range(1, marks)] + [_total(out)]


def _total(dump: Path) -> int:
    lines = reversed(dump.read_text().splitlines())
    return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))
