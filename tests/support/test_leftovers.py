"""What a test leaves behind, processes included, does not affect other tests or outlive the run."""

from __future__ import annotations

import os
import signal
import sys
from io import BytesIO
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest

from tests.support import leftovers, reaper
from tests.support.paths import ROOT
from tests.support.processes import TIMEOUT, started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(1000)"]
RUN = [sys.executable, "-m", "pytest", "-p", "tests.support.leftovers", "-p", "no:looptime_plugin"]
RUN += ["-p", "no:asyncio"]  # which warns where nothing configures it
RUN += ["-s", "-q", "-W", "error", "-c", os.devnull]

# Servers whose workers are processes of their own, and one process that no test waits for.
STARTS_SERVERS = f"""
import os, subprocess, sys, time
from tests.support.processes import started

HYPERCORN = "-m", "hypercorn", "--workers", "2", "--bind", "127.0.0.1:0", "docs.examples.app:app"
MOCK = "-m", "oxaigen_auth_mock", "--reload", "--port", "0"

def test_it():
    subprocess.Popen({SLEEP!r}, start_new_session=True)
    with started(sys.executable, *HYPERCORN) as app, started(sys.executable, *MOCK) as mock:
        for _ in range(2):
            assert "Running on" in app.stderr.readline()
        assert "Listening on" in mock.stdout.readline()
        print("mark:", os.environ["{reaper.NAME}"], flush=True)
        time.sleep(1000)
"""


def mark_of(run: subprocess.Popen[str]) -> str:
    """Return the mark of a run, once its tests have printed it."""
    return next(line.split()[-1] for line in run.stdout or () if "mark:" in line)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_run_that_is_ended_by_a_signal_leaves_no_process(
    signum: signal.Signals, tmp_path: Path
) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(STARTS_SERVERS)
    with started(*RUN, str(file), cwd=ROOT) as run:
        mark = mark_of(run)
        assert len(reaper.marked(mark)) >= 6
        run.send_signal(signum)
        assert reaper.left_after(mark, TIMEOUT) == []


def test_a_block_that_fails_leaves_no_process() -> None:
    pid, mark = 0, os.environ[reaper.NAME]
    script = "sleep 1000 & echo $!; wait"
    with pytest.raises(LookupError), started("sh", "-c", script) as process:
        pid = int((process.stdout and process.stdout.readline()) or 0)
        assert pid in pids_when(mark, lambda pids: pid in pids)
        raise LookupError
    ended = {pid, process.pid}
    assert not pids_when(mark, ended.isdisjoint) & ended


def pids_of(mark: str) -> set[int]:
    return {each.pid for each in reaper.marked(mark)}


def pids_when(mark: str, holds: Callable[[set[int]], bool]) -> set[int]:
    """Return the marked processes once `holds` is true for them, or at the timeout.

    The mark of a process cannot be read while it starts, and a killed process ends a little later.
    """
    deadline = monotonic() + TIMEOUT
    polls = iter(lambda: pids_of(mark) if monotonic() < deadline else None, None)
    return next(filter(holds, polls), pids_of(mark))


def test_the_reaper_kills_what_has_the_mark_when_its_input_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO()))
    environment = {**os.environ, reaper.NAME: "of this test"}
    with started(*SLEEP, env=environment) as process:
        ours = {process.pid}
        assert pids_when("of this test", ours.issubset) == ours
        reaper.reap("of this test")
        assert process.wait(TIMEOUT) == -signal.SIGKILL


def test_a_run_that_leaves_a_process_fails_and_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(leftovers, "EXIT_TIMEOUT", 0.1)
    stash = pytest.Stash()
    stash[leftovers.MARK] = "of this test"
    session: Any = SimpleNamespace(config=SimpleNamespace(stash=stash), exitstatus=0)
    leftovers.pytest_sessionfinish(session)
    assert session.exitstatus == 0
    with started(*SLEEP, env={**os.environ, reaper.NAME: "of this test"}):
        leftovers.pytest_sessionfinish(session)
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED
    assert "time.sleep(1000)" in capsys.readouterr().out


LEAVES_SOCKETS = """
import gc, pytest, socket
from oxaigen_auth import ProxyAuthClient
from tests.support.fake_proxy import FakeProxy
from tests.support.raw_server import PROFILE, answer, serving

def test_one():
    left = socket.socket()
    assert left is None

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_two(anyio_backend):
    async with serving(FakeProxy()) as server:
        left = ProxyAuthClient(server.url)
        await left.get_me("token")
        assert left is None

def test_three():
    gc.collect()
"""


def test_a_failed_test_makes_no_other_test_fail(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(LEAVES_SOCKETS)
    with started(*RUN, str(file), cwd=ROOT) as run:
        output, _ = run.communicate(timeout=TIMEOUT)
    assert "3 failed, 1 passed" in output


def test_the_frames_of_a_failed_test_are_cleared() -> None:
    held: list[ref[object]] = []

    def fail() -> None:
        own = set[int]()
        held.append(ref(own))
        raise ExceptionGroup("several", [LookupError()]) from ValueError()

    call = pytest.CallInfo.from_call(fail, "call")
    item: Any = SimpleNamespace(stash=pytest.Stash())
    assert held[0]() is not None
    leftovers.pytest_exception_interact(item, call)
    assert held[0]() is None
    teardown = leftovers.pytest_runtest_teardown(item)
    assert [*teardown] == [None]
