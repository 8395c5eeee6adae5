"""Runs a plan against a target as an open model: slow lookups do not delay the next ones."""

from collections.abc import Callable, Sequence

from anyio import CancelScope, create_task_group, current_time, sleep
from anyio.lowlevel import checkpoint

from oxaigen_auth_load.recorder import Recording
from oxaigen_auth_load.scenarios import Plan
from oxaigen_auth_load.targets import Target

POLL_INTERVAL = 0.05  # seconds
MAX_STARTS_PER_CHECKPOINT = 1000


async def run_plan(
    plan: Plan,
    tokens: Sequence[str],
    target: Target,
    *,
    show: Callable[[Recording], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Recording:
    """Start each lookup of the plan at its time, and wait for all of them.

    Args:
        plan: its token numbers are indices of `tokens`.
        tokens: the bearer tokens to look up.
        target: what validates them.
        show: called with the recording about 20 times a second, and at the end.
        is_stopped: polled as often; True ends the run early.
    """
    recording = Recording(current_time)

    async def poll(scope: CancelScope) -> None:
        while not is_stopped():
            _record_upstream_calls(target, recording)
            show(recording)
            await sleep(POLL_INTERVAL)
        scope.cancel()

    async with create_task_group() as group:
        group.start_soon(poll, group.cancel_scope)
        await _start_all(plan, tokens, target, recording)
        group.cancel_scope.cancel()
    _record_upstream_calls(target, recording)
    show(recording)
    return recording


async def _start_all(
    plan: Plan, tokens: Sequence[str], target: Target, recording: Recording
) -> None:
    async def look_up(intended: float, number: int) -> None:
        recording.begin(intended)
        try:
            outcome = await target.look_up(tokens[number])
        except Exception as error:  # noqa: BLE001 (counted by type; the other results are kept)
            outcome = type(error).__name__
        recording.end(intended, outcome, invalid=number in plan.invalid)

    async with create_task_group() as group:
        for index, (start, number) in enumerate(zip(plan.starts, plan.tokens, strict=True)):
            early = start - recording.elapsed()
            if early > 0:
                await sleep(early)
            elif start and index % MAX_STARTS_PER_CHECKPOINT == 0:
                await checkpoint()
            group.start_soon(look_up, start, number)


def _record_upstream_calls(target: Target, recording: Recording) -> None:
    """Add the upstream calls since the last poll to the time line."""
    calls = target.upstream_calls()
    if calls is not None:
        known = sum(recording.time_line.counts.get("upstream_calls", []))
        recording.time_line.add("upstream_calls", recording.elapsed(), calls - known)
