"""Runs of plans in virtual time, against fake targets."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from anyio import create_task_group, sleep
from anyio.lowlevel import checkpoint
from attrs import define, evolve

from oxaigen_auth_load.counts import Counts
from oxaigen_auth_load.plan import Plan
from oxaigen_auth_load.runner import MAX_STARTS_PER_CHECKPOINT, run_plan
from tests.support.virtual_time import anyio_backend  # noqa: F401 (a fixture)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oxaigen_auth_load.recorder import Progress
pytestmark = pytest.mark.anyio


@define(eq=False)
class Stalling:
    """Answers at once, except for one second in which it answers nothing."""

    name: str = "stalling"
    max_connections: int = 0
    asked: int = 0
    free_at: float = 0.0

    async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
        on_sent()
        self.asked += 1
        if self.asked == 100:
            self.free_at = 1.0
        await sleep(self.free_at)
        self.free_at = max(0.0, self.free_at - 0.01)
        return token

    answered_by = "nobody".title  # only events ask it

    def upstream_calls(self) -> int | None:
        return self.asked

    def waited(self) -> int:
        return 0

    async def counts(self) -> Counts:
        return Counts(upstream_calls=self.asked)


def plan_of(starts: Sequence[float]) -> Plan:
    return Plan("steady", starts, [0] * len(starts), 1)


async def test_a_stall_counts_as_latency_of_the_lookups_due_meanwhile() -> None:
    plan = plan_of([n / 100 for n in range(1, 501)])
    run = await run_plan(plan, ["accepted"], Stalling())
    recording = run.recording
    assert recording.accepted == 500
    latency = {name: value or 0 for name, value in recording.answer_latencies.summary().items()}
    assert 0 < latency["p50"] < 0.02
    assert latency["p90"] > 0.05
    assert 0.9 < latency["max"] < 1.1


async def test_lookups_start_on_time_whatever_the_outcome_of_earlier_ones() -> None:
    class Slow(Stalling):
        async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
            on_sent()
            await sleep(10)
            return token

    run = await run_plan(plan_of([0, 1, 2, 3]), ["accepted"], Slow())
    recording = run.recording
    assert recording.max_concurrency == 4
    assert recording.seconds == pytest.approx(13, abs=0.1)
    assert recording.answer_latencies.summary()["max"] == pytest.approx(10, abs=0.1)


async def test_a_stopped_run_keeps_what_it_recorded() -> None:
    shown: list[int] = []

    def show(progress: Progress) -> None:
        shown.append(progress.lookups)

    plan, target = plan_of([n / 10 for n in range(100)]), Stalling()
    run = await run_plan(
        plan, ["accepted"], target, show=show, is_stopped=lambda: target.asked > 10
    )
    recording = run.recording
    assert 10 <= recording.lookups <= 12
    assert shown[-1] == recording.lookups


async def test_upstream_calls_are_placed_in_time() -> None:
    target = Stalling()
    run = await run_plan(plan_of([0.5, 2.5]), ["accepted"], target)
    recording = run.recording
    line = recording.time_line.report(counts_upstream=True)
    assert sum(line["upstream_calls"]) == (await target.counts()).upstream_calls == 2
    late = int(2.0 / line["interval_seconds"])
    assert sum(line["upstream_calls"][late:]) == 1


async def test_a_late_plan_still_yields_to_other_tasks() -> None:
    number = 3 * MAX_STARTS_PER_CHECKPOINT
    run = await run_plan(plan_of([1e-9] * number), ["accepted"], Stalling())
    recording = run.recording
    assert recording.lookups == number
    assert recording.max_concurrency < number


async def test_an_exception_of_a_target_loses_no_other_result() -> None:
    class Broken(Stalling):
        async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
            if self.asked == 2:
                raise RuntimeError("a fault of its own")
            return await super().look_up(token, on_sent)

    run = await run_plan(plan_of([0, 1, 2, 3]), ["accepted"], Broken())
    recording = run.recording
    assert (recording.accepted, dict(recording.errors)) == (2, {"RuntimeError": 2})


async def test_no_lookup_starts_late_because_others_wait() -> None:
    class Waiting(Stalling):
        async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
            on_sent()
            await sleep(self.random.choice([0, 0, 0.001, 0.5]) if self.random.random() < 0.7 else 0)
            return token

        random = Random(1)

    starts = sorted(Random(2).uniform(0, 5) for _ in range(2000))
    run = await run_plan(plan_of(starts), ["accepted"], Waiting())
    assert run.recording.lookups == 2000
    assert run.recording.send_delays.summary()["max"] == pytest.approx(0, abs=1e-6)


async def test_lookups_that_never_wait_leave_time_to_other_tasks() -> None:
    class Instant(Stalling):
        async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
            on_sent()
            self.asked += 1
            return token

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await checkpoint()
            ticks += 1

    async with create_task_group() as group:
        group.start_soon(tick)
        await run_plan(plan_of([0.0] * 50_000), ["accepted"], Instant())
        group.cancel_scope.cancel()
    assert ticks >= 50


async def test_a_burst_is_sent_before_its_first_answer() -> None:
    class Slow(Stalling):
        async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
            on_sent()
            await sleep(0.001)
            return token

    plan = Plan("burst", [0.0] * 500, [0] * 500, 1)
    recording = (await run_plan(plan, ["accepted"], Slow())).recording
    assert recording.sent_before_first_end == recording.max_concurrency == 500


async def test_the_connections_of_a_closed_load_ask_again_when_they_are_answered() -> None:
    class Slow(Stalling):
        async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
            on_sent()
            self.asked += 1
            await sleep(0.25)
            return token

    target = Slow()
    plan = Plan("closed", (), [0, 1, 2], 3, connections=4, seconds=1.9)
    run = await run_plan(plan, ["accepted", "accepted", "rejected"], target)
    assert run.is_complete
    assert run.recording.max_concurrency == 4
    assert (run.recording.lookups, target.asked) == (32, 32)
    assert run.recording.errors["wrong_reject"] == 10
    assert run.recording.answer_latencies.summary()["max"] == pytest.approx(0.25)


async def test_what_was_counted_during_the_warmup_is_left_out() -> None:
    class Waiting(Stalling):
        def waited(self) -> int:
            return self.asked

    plan = evolve(plan_of([0.1, 0.2, 0.3, 1.5, 1.6]), warmup=1.0)
    run = await run_plan(plan, ["accepted"], Waiting())
    assert run.counts == Counts(upstream_calls=2)
    assert run.generator.waited == 2
    assert run.recording.lookups == 2


async def test_a_lookup_that_fails_before_it_is_sent_counts_as_sent() -> None:
    class Failing(Stalling):
        async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
            self.asked += 1
            if self.asked == 1:
                return "connection"
            on_sent()
            on_sent()  # it is repeated on another connection
            return token

    recording = (await run_plan(plan_of([0, 1]), ["accepted"], Failing())).recording
    assert recording.in_flight == 0
    assert recording.send_delays.count == 2
