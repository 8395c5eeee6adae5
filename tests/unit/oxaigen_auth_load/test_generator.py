from __future__ import annotations

import pickle
import time

import anyio
import pytest

from oxaigen_auth_load.generator import Generator
from oxaigen_auth_load.recorder import Recording

pytestmark = pytest.mark.anyio


def recording(*, latency: float = 0.001, delay: float = 0.0, lookups: int = 1000) -> Recording:
    measured = Recording(lambda: 0.0)
    measured.lookups = lookups
    for _ in range(100):
        measured.send_delays.add(delay)
        measured.answer_latencies.add(latency)
    return measured


def generator(*, lag: float = 0.0, share: float = 0.1, waited: int = 0) -> Generator:
    measured = Generator(max_connections=50, waited=waited, processor_share=share)
    for _ in range(100):
        measured.loop_lags.add(lag)
    return measured


@pytest.mark.parametrize(
    ("measured", "load", "reason"),
    [
        (generator(lag=0.02), recording(), "its event loop was late by 20"),
        (generator(), recording(delay=0.02), "of the lookups were sent 20"),
        (generator(share=0.95), recording(), "it used 95% of a processor core"),
        (generator(waited=20), recording(), "20 lookups waited because all 50 connections"),
    ],
)
def test_pitfall_58_a_generator_that_is_the_bottleneck_says_why(
    measured: Generator, load: Recording, reason: str
) -> None:
    report = measured.report(load, "steady")
    assert report["saturated"]
    (only,) = report["reasons"]
    assert reason in only


@pytest.mark.parametrize(
    ("measured", "load"),
    [
        (generator(), recording()),
        (generator(lag=0.009), recording(delay=0.009)),  # less than a slow timer
        (generator(lag=0.02), recording(latency=1, delay=0.02)),  # little of the latency
        (generator(waited=10), recording()),
    ],
)
def test_a_generator_that_contributes_little_is_not_saturated(
    measured: Generator, load: Recording
) -> None:
    assert measured.report(load, "steady")["reasons"] == []


def test_only_its_connections_saturate_a_burst() -> None:
    """All lookups are due at once, so those that are sent last are always late."""
    busy = generator(lag=1, share=1)
    assert busy.report(recording(delay=1), "burst")["reasons"] == []
    busy.waited = 500
    (reason,) = busy.report(recording(delay=1), "burst")["reasons"]
    assert "raise --connections" in reason


def test_the_processor_share_does_not_count_for_a_client_in_the_same_process() -> None:
    busy = Generator(processor_share=1.0)
    assert not busy.report(Recording(lambda: 0.0), "steady")["saturated"]


async def test_the_lag_of_the_event_loop_and_the_processor_time_are_measured() -> None:
    measured = Generator()
    async with anyio.create_task_group() as group:
        group.start_soon(measured.watch)
        await anyio.sleep(0.05)
        until = time.process_time() + 0.1
        while time.process_time() < until:
            pass
        await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    longest = measured.loop_lags.summary()["max"]
    assert longest is not None
    assert longest > 0.05
    assert 0.05 < measured.processor_share <= 1.1


def test_the_generators_of_several_processes_are_merged() -> None:
    first, second = generator(lag=0.01, share=0.5, waited=1), generator(lag=0.5, waited=2)
    first.merge(pickle.loads(pickle.dumps(second)))  # noqa: S301 (our own bytes)
    assert (first.max_connections, first.waited, first.processor_share) == (100, 3, 0.5)
    assert first.loop_lags.count == 200
    assert first.loop_lags.summary()["max"] == pytest.approx(0.5)
