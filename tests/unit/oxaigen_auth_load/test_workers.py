"""Plans in several processes, against a mock."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from oxaigen_auth_load import workers
from oxaigen_auth_load.plan import Plan
from oxaigen_auth_load.recorder import Progress
from oxaigen_auth_load.runner import Run
from oxaigen_auth_load.servers import embedded_mock
from oxaigen_auth_load.targets import TargetAddress
from oxaigen_auth_load.workers import NotStartedError, WorkerError, run_in_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio
TOKENS = ["one", "two"]


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    with embedded_mock(TOKENS, latency=0, faults=[], backend="asyncio") as url:
        yield url


def client(url: str) -> TargetAddress:
    return TargetAddress(name="client", url=url, timeout=5.0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_two_processes_run_a_plan_at_the_same_time(proxy: str, backend: str) -> None:
    starts = [number / 500 for number in range(200)]
    plan = Plan("steady", starts, [number // 2 % 2 for number in range(200)], 2)
    shown: list[Progress] = []
    run = await run_in_processes(
        plan, TOKENS, [client(proxy)] * 2, backend=backend, show=shown.append
    )
    assert run.is_complete
    assert (run.recording.lookups, run.recording.accepted) == (200, 200)
    assert run.counts.upstream_calls == 4  # each process has a cache
    assert run.counts.cache_hits is not None
    assert 0.39 < run.recording.seconds < 5
    line = run.recording.time_line.report(counts_upstream=True)
    assert sum(line["arrivals"]) == sum(line["sent"]) == sum(line["answers"]) == 200
    assert run.generator.loop_lags.count > 0
    assert all(each.lookups <= 200 for each in shown)


async def test_a_stop_ends_all_processes_and_keeps_what_they_recorded(proxy: str) -> None:
    plan = Plan("steady", [number / 20 for number in range(2000)], [0] * 2000, 2)
    lookups, others = 0, multiprocessing.active_children()

    def show(progress: Progress) -> None:
        nonlocal lookups
        lookups = progress.lookups

    run = await run_in_processes(
        plan,
        TOKENS,
        [client(proxy)] * 2,
        backend="asyncio",
        show=show,
        is_stopped=lambda: lookups > 4,
    )
    assert not run.is_complete
    assert 4 < run.recording.lookups < 1000
    assert multiprocessing.active_children() == others


async def test_a_stop_before_the_processes_are_ready_starts_nothing(proxy: str) -> None:
    plan = Plan("steady", [0.0, 90.0], [0, 0], 2)
    with pytest.raises(NotStartedError):
        await run_in_processes(
            plan, TOKENS, [client(proxy)] * 2, backend="asyncio", is_stopped=lambda: True
        )


async def test_a_process_that_dies_costs_only_its_own_part(proxy: str) -> None:
    plan = Plan("steady", [number / 100 for number in range(100)], [0] * 100, 2)
    killed: list[int] = []
    others = multiprocessing.active_children()

    def show(progress: Progress) -> None:
        if progress.lookups > 4 and not killed:
            workers = (each for each in multiprocessing.active_children() if each not in others)
            killed.append(next(workers).pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    run = await run_in_processes(plan, TOKENS, [client(proxy)] * 2, backend="asyncio", show=show)
    assert killed
    assert not run.is_complete
    assert run.died == 1
    assert run.recording.lookups == 50


async def test_a_process_that_cannot_connect_ends_without_a_result(
    capfd: pytest.CaptureFixture[str],
) -> None:
    nowhere = TargetAddress(name="app", url="http://127.0.0.1:9", timeout=1.0, connections=1)
    with pytest.raises(WorkerError, match="see above"):
        await run_in_processes(
            Plan("burst", [0.0] * 2, [0, 0], 2), TOKENS, [nowhere] * 2, backend="asyncio"
        )
    assert "ConnectionFailedError" in capfd.readouterr().err


@pytest.mark.parametrize("message", [0.0, None, "closed"])
def test_a_worker_answers_in_this_process(
    request: pytest.FixtureRequest, proxy: str, message: float | str | None
) -> None:
    """Both ends of the pipe are in this process, so that coverage sees the worker."""
    ours, theirs = multiprocessing.Pipe()
    received: list[object] = []

    def control() -> None:
        received.append(ours.recv())
        if message == "closed":
            ours.close()
            return
        ours.send(message)
        try:
            while True:
                received.append(ours.recv())
        except EOFError:
            ours.close()

    def check() -> None:
        theirs.close()
        controlling.join()
        first, *others = received
        assert first == Progress()
        runs = [each for each in others if isinstance(each, Run)]
        assert [run.recording.accepted for run in runs] == ([2] if message == 0 else [])

    request.addfinalizer(check)
    controlling = threading.Thread(target=control)
    controlling.start()
    workers._work(  # noqa: SLF001
        theirs, "asyncio", Plan("burst", [0.0] * 2, [0, 1], 2), TOKENS, client(proxy)
    )
