"""Runs tests on a changed copy of the project, each time in a fork of a process that is warm.

The process has imported the libraries, and nothing of ours: that the fork imports from the copy.
"""

from __future__ import annotations

import compileall
import gc
import importlib
import importlib.util
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from attrs import frozen

from benchmarks.orphans import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIBRARIES = [
    "anyio._backends._asyncio",
    "anyio._backends._trio",
    "anyio.pytest_plugin",
    "cattrs",
    "fastapi",
    "httpx",
    "httpx2",
    "hypercorn.asyncio",
    "hypercorn.trio",
    "hypothesis.stateful",
    "looptime",
    "starlette.testclient",
    "trio.testing",
    "trustme",
    "uvicorn",
]
OPTIONS = ["-x", "-q", "--assert=plain", "--tb=line", "--no-header", "-p", "no:cacheprovider"]
MEMORY = 8 * 2**30  # bytes of address space for each run
LEFT_OUT = (".git", ".venv", ".bench", ".mutation", ".hypothesis", "__pycache__", ".*_cache")
CONFTEST_FAILED = "while loading conftest"  # what pytest says; its code is that of bad arguments


@frozen
class Outcome:
    """`code` is pytest's; None: it ran longer than it may."""

    code: int | None
    seconds: float
    output: str

    @property
    def killed(self) -> bool:
        if self.code == pytest.ExitCode.NO_TESTS_COLLECTED:
            raise RuntimeError(f"There was nothing to run: {self.output}")
        if self.code == pytest.ExitCode.USAGE_ERROR and CONFTEST_FAILED not in self.output:
            raise RuntimeError(f"pytest was called wrongly: {self.output}")
        return self.code != pytest.ExitCode.OK


@frozen
class Copy:
    """A copy of the project at `folder`. Not safe to use from several threads."""

    folder: Path

    @classmethod
    def make(cls, root: Path, folder: Path) -> Copy:
        shutil.copytree(root, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        compileall.compile_dir(folder, quiet=1)
        for library in LIBRARIES:
            importlib.import_module(library)
        _leave(root, folder)
        few = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # to shrink takes long
        hypothesis.settings.register_profile(
            "mutation", derandomize=True, max_examples=25, deadline=None, phases=few
        )
        hypothesis.settings.load_profile("mutation")
        gc.freeze()
        return cls(folder)

    @contextmanager
    def changed(self, file: Path, text: str) -> Iterator[None]:
        """Give one file another text; `file` is relative."""
        path = self.folder / file
        # Its time stamp may be that of the text before, and its length too.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        before = path.read_text()
        path.write_text(text)
        try:
            yield
        finally:
            path.write_text(before)

    def run(self, tests: Sequence[str], timeout: float | None = None) -> Outcome:
        """Run tests in a process, and end all that it started."""
        report = self.folder / "report.txt"
        start = time.monotonic()
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=_test, args=(self.folder, report, list(tests)))
        process.start()
        try:
            process.join(timeout)
        finally:
            code = process.exitcode
            with suppress(ProcessLookupError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
        return Outcome(code, time.monotonic() - start, report.read_text(errors="replace")[-2000:])


def _leave(root: Path, folder: Path) -> None:
    """Have everything of ours imported from `folder`, in this process and those it starts."""
    parts = ["", "load", "mock"]
    ours = {str(root / part) for part in parts}
    there = [str(folder / part) for part in parts]
    sys.path[:] = [*there, *(path for path in sys.path if path and path not in ours)]
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": os.pathsep.join(there), "PYTHONDONTWRITEBYTECODE": "1"}
    started = [name for name in sys.modules if name.partition(".")[0].startswith("oxaigen")]
    if started:
        raise RuntimeError(f"These are to be imported from the copy, and were before: {started}")


def _test(folder: Path, report: Path, tests: list[str]) -> None:
    os.setsid()
    end_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with report.open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.chdir(folder)
    code = pytest.main([*OPTIONS, *tests])
    sys.stdout.flush()
    os._exit(code)
