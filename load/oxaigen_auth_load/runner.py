"""Runs a plan against a target: an open model, which waits for no answer before it asks again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope, create_task_group, current_time, sleep
from anyio.lowlevel import checkpoint

from oxaigen_auth_load.recorder import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oxaigen_auth_load.scenarios import Plan
    from oxaigen_auth_load.targets import Asked

SAMPLE = 0.05  # seconds between two looks at the upstream calls
UNYIELDING = 1000  # lookups that start without letting others run, when they are late


async def run_plan(
    plan: Plan,
    tokens: Sequence[str],
    target: Asked,
    *,
    show: Callable[[Recording], None] = lambda _: None,
    stop: CancelScope | None = None,
) -> Recording:
    """Start each lookup of the plan when its time has come, and wait for all of them.

    Args:
        plan: whose numbers of tokens are places in `tokens`.
        tokens: those to ask with.
        target: what to ask.
        show: called again and again with what has been recorded so far.
        stop: cancelling it ends the run; what was recorded until then is returned.
    """
    recording = Recording(current_time)
    with stop or CancelScope():
        async with create_task_group() as watching:
            watching.start_soon(_watch, target, recording, show)
            await _start_all(plan, tokens, target, recording)
            watching.cancel_scope.cancel()
    _look(target, recording)
    show(recording)
    return recording


async def _start_all(
    plan: Plan, tokens: Sequence[str], target: Asked, recording: Recording
) -> None:
    async def one(intended: float, number: int) -> None:
        recording.begin(intended)
        try:
            outcome = await target.ask(tokens[number])
        except Exception as error:  # noqa: BLE001 (counted by its type; the other results are kept)
            outcome = type(error).__name__
        recording.end(intended, outcome, bad=number in plan.bad)

    async with create_task_group() as group:
        for place, (start, number) in enumerate(zip(plan.starts, plan.tokens, strict=True)):
            early = start - recording.now()
            if early > 0:
                await sleep(early)
            elif start and place % UNYIELDING == 0:
                await checkpoint()
            group.start_soon(one, start, number)


async def _watch(target: Asked, recording: Recording, show: Callable[[Recording], None]) -> None:
    while True:
        _look(target, recording)
        show(recording)
        await sleep(SAMPLE)


def _look(target: Asked, recording: Recording) -> None:
    """Add the upstream calls since the last look to the time line."""
    calls = target.calls()
    if calls is not None:
        seen = sum(recording.time_line.counts.get("upstream_calls", []))
        recording.time_line.add("upstream_calls", recording.now(), calls - seen)
