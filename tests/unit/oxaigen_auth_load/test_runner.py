"""Runs of plans in virtual time, against fake targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio import sleep
from attrs import define

from oxaigen_auth_load.runner import MAX_STARTS_PER_CHECKPOINT, run_plan
from oxaigen_auth_load.scenarios import Plan
from oxaigen_auth_load.targets import Counts
from tests.support.virtual_time import anyio_backend  # noqa: F401 (a fixture)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oxaigen_auth_load.recorder import Recording
pytestmark = pytest.mark.anyio


@define(eq=False)
class Stalling:
    """Answers at once, except for one second in which it answers nothing."""

    name: str = "stalling"
    asked: int = 0
    free_at: float = 0.0

    async def look_up(self, token: str) -> str:
        self.asked += 1
        if self.asked == 100:
            self.free_at = 1.0
        await sleep(self.free_at)
        self.free_at = max(0.0, self.free_at - 0.01)
        return token

    def upstream_calls(self) -> int | None:
        return self.asked

    async def counts(self) -> Counts:
        return Counts(upstream_calls=self.asked)


def plan_of(starts: Sequence[float]) -> Plan:
    return Plan("steady", starts, [0] * len(starts), 1)


async def test_a_stall_counts_as_latency_of_the_lookups_due_meanwhile() -> None:
    plan = plan_of([n / 100 for n in range(1, 501)])
    recording = await run_plan(plan, ["accepted"], Stalling())
    assert recording.accepted == 500
    latency = {name: value or 0 for name, value in recording.answer_latencies.summary().items()}
    assert 0 < latency["p50"] < 0.02
    assert latency["p90"] > 0.05
    assert 0.9 < latency["max"] < 1.1


async def test_lookups_start_on_time_whatever_the_outcome_of_earlier_ones() -> None:
    class Slow(Stalling):
        async def look_up(self, token: str) -> str:
            await sleep(10)
            return token

    recording = await run_plan(plan_of([0, 1, 2, 3]), ["accepted"], Slow())
    assert recording.max_concurrency == 4
    assert recording.seconds == pytest.approx(13, abs=0.1)
    assert recording.answer_latencies.summary()["max"] == pytest.approx(10, abs=0.1)


async def test_a_stopped_run_keeps_what_it_recorded() -> None:
    shown: list[int] = []

    def show(recording: Recording) -> None:
        shown.append(recording.lookups)

    plan, target = plan_of([n / 10 for n in range(100)]), Stalling()
    recording = await run_plan(
        plan, ["accepted"], target, show=show, is_stopped=lambda: target.asked > 10
    )
    assert 10 <= recording.lookups <= 12
    assert shown[-1] == recording.lookups


async def test_upstream_calls_are_placed_in_time() -> None:
    target = Stalling()
    recording = await run_plan(plan_of([0.5, 2.5]), ["accepted"], target)
    line = recording.time_line.report("arrivals", "upstream_calls")
    assert sum(line["upstream_calls"]) == (await target.counts()).upstream_calls == 2
    late = int(2.0 / line["interval_seconds"])
    assert sum(line["upstream_calls"][late:]) == 1


async def test_a_late_plan_still_yields_to_other_tasks() -> None:
    number = 3 * MAX_STARTS_PER_CHECKPOINT
    recording = await run_plan(plan_of([1e-9] * number), ["accepted"], Stalling())
    assert recording.lookups == number
    assert recording.max_concurrency < number


async def test_an_exception_of_a_target_loses_no_other_result() -> None:
    class Broken(Stalling):
        async def look_up(self, token: str) -> str:
            if self.asked == 2:
                raise RuntimeError("a fault of its own")
            return await super().look_up(token)

    recording = await run_plan(plan_of([0, 1, 2, 3]), ["accepted"], Broken())
    assert (recording.accepted, dict(recording.errors)) == (2, {"RuntimeError": 2})
