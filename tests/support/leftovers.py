"""A pytest plugin: what a test leaves behind does not affect other tests or outlive the run.

Processes that are left fail the run. If the run is killed, `reaper.py` kills them.

What a failed test left open is closed with the test, so its warning does not fail another one.
The traceback of the failure refers to the frames of the test, and so to its locals, until they are
cleared. What is part of a reference cycle is finalized by `gc.collect`, before the next test.
"""

from __future__ import annotations

import gc
import os
import traceback
import warnings
from typing import TYPE_CHECKING

import pytest

from tests.support import reaper

if TYPE_CHECKING:
    from collections.abc import Generator

COVERAGE_VARIABLE = (
    "COVERAGE_PROCESS_CONFIG"  # makes coverage measure every process that a test starts
)
MARK = pytest.StashKey[str]()
FAILED = pytest.StashKey[bool]()
EXIT_TIMEOUT = 10.0  # seconds in which processes may end by themselves


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("numprocesses", None):  # otherwise the workers still need it
        os.environ.pop(COVERAGE_VARIABLE, None)
    config.stash[MARK], process = reaper.start()

    def end() -> None:
        process.communicate()

    config.add_cleanup(end)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if processes are left. The reaper then kills them."""
    if left := reaper.left_after(session.config.stash[MARK], EXIT_TIMEOUT):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nThe tests left processes behind:", *(each.command for each in left), sep="\n  ")  # noqa: T201


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item, call: pytest.CallInfo[object]) -> None:
    """Clear the frames of a failed test, after a debugger has used them."""
    node.stash[FAILED] = True
    with warnings.catch_warnings(action="ignore"):
        _clear_frames(call.excinfo and call.excinfo.value)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Collect what a failed test left open; its warnings would fail a later test."""
    try:
        return (yield)
    finally:
        if FAILED in item.stash:
            with warnings.catch_warnings(action="ignore"):
                gc.collect()


def _clear_frames(error: BaseException | None) -> None:
    if error is not None:
        traceback.clear_frames(error.__traceback__)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            frame.f_locals  # noqa: B018 (before Python 3.13 the copy made for the report is kept)
        for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
            _clear_frames(other)
