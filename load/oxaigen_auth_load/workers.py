"""Runs a plan in several processes, and merges what they measured.

A worker opens its target, sends that it is ready, waits for the time at which all start, sends its
progress, and at the end what it measured. Anything that the command sends meanwhile stops it.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from time import monotonic

import anyio
from anyio import create_task_group, sleep
from attrs import define

from oxaigen_auth_load.plan import Plan
from oxaigen_auth_load.processes import child_process
from oxaigen_auth_load.recorder import Progress
from oxaigen_auth_load.runner import POLL_INTERVAL, Run, run_plan
from oxaigen_auth_load.targets import TargetAddress

LEAD_TIME = 0.05  # seconds from the last worker that is ready to the common start


class WorkerError(Exception):
    """No worker has a result."""


class NotStartedError(Exception):
    """The load was stopped before its first lookup."""


@define(eq=False)
class _Worker:
    """A worker as the command sees it.

    States: starting → ready (the first progress has arrived) → ended (with a run, or without one if
    the process has died).
    """

    pipe: Connection
    progress: Progress | None = None
    run: Run | None = None
    has_ended: bool = False

    @property
    def is_starting(self) -> bool:
        return self.progress is None and not self.has_ended

    async def receive(self) -> None:
        while not self.has_ended:
            await anyio.wait_readable(self.pipe.fileno())
            try:
                message = self.pipe.recv()
            except (EOFError, ConnectionResetError):
                self.has_ended = True
                return
            if isinstance(message, Run):
                self.run, self.has_ended = message, True
            else:
                self.progress = message

    def send(self, message: float | None) -> None:
        with suppress(OSError):  # it has just ended
            self.pipe.send(message)


async def run_in_processes(  # noqa: PLR0913
    plan: Plan,
    tokens: Sequence[str],
    addresses: Sequence[TargetAddress],
    *,
    backend: str,
    show: Callable[[Progress], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Run:
    """Run a part of the plan for each address, at the same time.

    Several parts have a process each; a single one runs in this process.

    Raises:
        ConnectionFailedError, RequestTimeoutError: the only part could not connect.
        WorkerError: no process had a result.
        NotStartedError: the load was stopped before.
    """
    if len(addresses) == 1:
        async with addresses[0].open() as target:
            return await run_plan(plan, tokens, target, show=show, is_stopped=is_stopped)
    parts = zip(plan.parts(len(addresses)), addresses, strict=True)
    with ExitStack() as stack:
        workers = [
            _Worker(stack.enter_context(child_process(_work, backend, part, tokens, address)))
            for part, address in parts
        ]
        async with create_task_group() as receivers:
            for worker in workers:
                receivers.start_soon(worker.receive)
            await _control(workers, show, is_stopped)
    if is_stopped() and not any(worker.run for worker in workers):
        raise NotStartedError
    return _merge(workers)


async def _control(
    workers: Sequence[_Worker], show: Callable[[Progress], None], is_stopped: Callable[[], bool]
) -> None:
    """Start the workers together, and stop them when a signal has arrived."""
    is_started = is_stopping = False
    while not all(worker.has_ended for worker in workers):
        if not is_started and not any(worker.is_starting for worker in workers):
            is_started = True
            _send(workers, monotonic() + LEAD_TIME)
        if not is_stopping and (is_stopped() or any(map(_is_incomplete, workers))):
            is_stopping = True
            _send(workers, None)
        show(sum((worker.progress or Progress() for worker in workers), Progress()))
        await sleep(POLL_INTERVAL)


def _is_incomplete(worker: _Worker) -> bool:
    """Return whether a worker has stopped by itself, because its event failed."""
    return worker.run is not None and not worker.run.is_complete


def _send(workers: Sequence[_Worker], message: float | None) -> None:
    for worker in workers:
        worker.send(message)


def _merge(workers: Sequence[_Worker]) -> Run:
    runs = [worker.run for worker in workers if worker.run is not None]
    if not runs:
        raise WorkerError("the processes of the load ended without a result; see above")
    first, *others = runs
    for run in others:
        first.merge(run)
    first.died = len(workers) - len(runs)
    first.is_complete &= not first.died
    return first


def _work(
    pipe: Connection, backend: str, plan: Plan, tokens: Sequence[str], address: TargetAddress
) -> None:
    logging.getLogger("oxaigen_auth").addHandler(logging.NullHandler())  # see `cli.run`
    anyio.run(_run_part, pipe, plan, tokens, address, backend=backend)


async def _run_part(
    pipe: Connection, plan: Plan, tokens: Sequence[str], address: TargetAddress
) -> None:
    def send(message: Progress | Run) -> None:
        with suppress(OSError):  # the command has ended
            pipe.send(message)

    async with address.open() as target:
        send(Progress())
        await anyio.wait_readable(pipe.fileno())
        start = _start_time(pipe)
        if start is not None:
            await sleep(max(0.0, start - monotonic()))
            send(await run_plan(plan, tokens, target, show=send, is_stopped=pipe.poll))


def _start_time(pipe: Connection) -> float | None:
    """Return the time of the common start, or None if the command is stopped or has ended."""
    try:
        start: float | None = pipe.recv()
    except (EOFError, OSError):
        return None
    return start
