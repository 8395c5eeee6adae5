"""Runs a plan against a target, in one process.

Most plans are an open model: slow lookups do not delay the next ones. In a closed model each
connection asks again when it is answered. The lookups of a burst start all at once.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from typing import Self

from anyio import CancelScope, Event, create_task_group, current_time, sleep, sleep_until
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from attrs import define, field

from oxaigen_auth_load.counts import Counts
from oxaigen_auth_load.events.event import Observation
from oxaigen_auth_load.events.samples import Sample
from oxaigen_auth_load.generator import Generator
from oxaigen_auth_load.plan import Plan
from oxaigen_auth_load.recorder import Progress, Recording
from oxaigen_auth_load.targets import Target
from oxaigen_auth_load.timeline import TimeLine

POLL_INTERVAL = 0.05  # seconds
MAX_STARTS_PER_CHECKPOINT = 1000
MAX_ENDS_PER_CHECKPOINT = 10


@define(eq=False)
class Run:
    """What a run measured.

    Attributes:
        is_complete: whether it was not stopped.
        observation: of the plan's event.
        died: processes that ended without a result.
    """

    recording: Recording
    generator: Generator
    counts: Counts
    is_complete: bool
    observation: Observation | None = None
    died: int = 0

    def merge(self, other: Self) -> None:
        """Add what another process measured, which ran another part of the plan."""
        self.recording.merge(other.recording)
        self.generator.merge(other.generator)
        self.counts += other.counts
        self.is_complete &= other.is_complete
        if self.observation is not None and other.observation is not None:
            self.observation.merge(other.observation)


async def run_plan(
    plan: Plan,
    tokens: Sequence[str],
    target: Target,
    *,
    show: Callable[[Progress], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Run:
    """Start each lookup of the plan at its time, and wait for all of them.

    Args:
        plan: its token numbers are indices of `tokens`.
        tokens: the bearer tokens to look up.
        target: what validates them.
        show: called with the progress about 20 times a second, and at the end.
        is_stopped: polled as often; True ends the run early.
    """
    recording = Recording(current_time, plan.warmup, TimeLine(plan.interval))
    generator = Generator()
    observation = None if plan.event is None else Observation(plan.event)
    before, waited_before, is_complete = Counts(), 0, False

    async def poll(scope: CancelScope) -> None:
        while not is_stopped():
            _record_upstream_calls(target, recording)
            show(recording.progress())
            await sleep(POLL_INTERVAL)
        scope.cancel()

    async def measure() -> None:
        nonlocal before, waited_before
        if plan.warmup:
            await sleep_until(recording.started_at + plan.warmup)
            before, waited_before = await target.counts(), target.waited()
        await generator.watch()

    async with create_task_group() as group:
        group.start_soon(poll, group.cancel_scope)
        group.start_soon(measure)
        async with create_task_group() as work:
            if observation is not None and plan.runs_event:
                stop = group.cancel_scope.cancel
                work.start_soon(observation.carry_out, tokens, recording.elapsed, stop)
            await _Lookups(plan, tokens, target, recording, observation).run()
        is_complete = True
        group.cancel_scope.cancel()
    _record_upstream_calls(target, recording)
    show(recording.progress())
    generator.max_connections = target.max_connections
    generator.waited = target.waited() - waited_before
    counts = await target.counts() - before
    return Run(recording, generator, counts, is_complete, observation)


@define(eq=False)
class _Lookups:
    """Looks up tokens, and records how that ends."""

    plan: Plan
    tokens: Sequence[str]
    target: Target
    recording: Recording
    observation: Observation | None

    async def run(self) -> None:
        plan = self.plan
        async with create_task_group() as group:
            if plan.scenario == "burst":  # all tasks run their first step before any is answered
                for start, number in zip(plan.starts, plan.tokens, strict=True):
                    group.start_soon(self.look_up, start, number)
            for connection in range(plan.connections):
                group.start_soon(self._ask_again, connection)
            if plan.is_open:
                await _OpenModel(plan, self.recording.elapsed, self.look_up).run()

    async def _ask_again(self, connection: int) -> None:
        plan, recording = self.plan, self.recording
        numbers = count()
        while (intended := recording.elapsed()) < plan.seconds:
            number = next(numbers)
            index = connection + number * plan.connections
            await self.look_up(intended, plan.tokens[index % len(plan.tokens)])
            if number % MAX_ENDS_PER_CHECKPOINT == 0:
                await checkpoint()  # a lookup in the cache has none

    async def look_up(self, intended: float, number: int) -> None:
        recording, is_sent, sent_at = self.recording, False, 0.0

        def on_sent() -> None:
            nonlocal is_sent, sent_at
            if not is_sent:  # a request that is repeated is sent once
                is_sent, sent_at = True, recording.elapsed()
                recording.sent(intended)

        recording.begin(intended)
        try:
            outcome = await self.target.look_up(self.tokens[number], on_sent)
        except Exception as error:  # noqa: BLE001 (counted by type; the other results are kept)
            outcome = type(error).__name__
        on_sent()  # it failed before
        invalid = number in self.plan.invalid
        if self.observation is not None:
            worker, ended = self.target.answered_by(), recording.elapsed()
            sample = Sample(intended, sent_at, ended, number, outcome, worker)
            self.observation.samples.add(sample)
            may_reject = self.observation.event.allows_rejection(number, ended)
            invalid |= may_reject and outcome == "rejected"
        recording.end(intended, outcome, invalid=invalid)


@define(eq=False)
class _OpenModel:
    """Starts each lookup at its time, without a task for each: most lookups of a cache never wait.

    One task is the leader. It takes the next lookup, sleeps until its time and runs it. Before that
    it schedules another task, the deputy, which runs as soon as the leader has to wait, and then:

    - The leader waits in a lookup: the deputy becomes the leader. The old one is idle afterwards.
    - The leader sleeps until the next lookup: the deputy is idle again.

    So each lookup is taken by one leader, and no lookup is late because another one waits.
    """

    plan: Plan
    elapsed: Callable[[], float]
    look_up: Callable[[float, int], Awaitable[None]]
    _lookups: Iterator[tuple[int, tuple[float, int]]] = field(init=False)
    _idle: list[Event] = field(factory=list, init=False)
    _leader: object = field(default=None, init=False)
    _in_lookup: bool = field(default=False, init=False)
    _has_deputy: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)

    async def run(self) -> None:
        self._lookups = enumerate(zip(self.plan.starts, self.plan.tokens, strict=True))
        async with create_task_group() as group:
            await self._lead(group)

    async def _lead(self, group: TaskGroup) -> None:
        """Run lookups, as long as this task is the leader and there are any."""
        leader = self._leader = object()
        for index, (start, number) in self._lookups:
            self._in_lookup = False
            await self._wait_until(start, index)
            self._in_lookup = True
            self._schedule_deputy(group)
            await self.look_up(start, number)
            if self._leader is not leader:
                return
        self._is_over = True
        for idle in self._idle:
            idle.set()

    async def _wait_until(self, start: float, index: int) -> None:
        early = start - self.elapsed()
        if early > 0:
            await sleep(early)
        elif index % MAX_STARTS_PER_CHECKPOINT == 0:
            await checkpoint()

    def _schedule_deputy(self, group: TaskGroup) -> None:
        if self._has_deputy:
            return
        self._has_deputy = True
        if self._idle:
            self._idle.pop().set()
        else:
            group.start_soon(self._follow, group)

    async def _follow(self, group: TaskGroup) -> None:
        """Be the deputy, the leader if that waits, then idle, until all lookups have started."""
        while not self._is_over:
            self._has_deputy = False
            if self._in_lookup:
                await self._lead(group)
            if not self._is_over:
                idle = Event()
                self._idle.append(idle)
                await idle.wait()


def _record_upstream_calls(target: Target, recording: Recording) -> None:
    """Add the upstream calls since the last poll to the time line."""
    calls = target.upstream_calls()
    if calls is not None:
        line = recording.time_line
        known = sum(each.upstream_calls for each in line.intervals.values())
        line.at(recording.elapsed()).upstream_calls += calls - known
