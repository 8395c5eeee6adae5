"""A task group that one task opens and another one may close.

A task group must be exited by the task that entered it. But test fixtures enter and exit in
different tasks, and several apps on one event loop may stop in any order. So the group runs in a
background task of the event loop: an asyncio task, or a system task of trio.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import cache
from signal import SIGINT, raise_signal
from typing import TYPE_CHECKING, Any

from anyio import Event, create_task_group, move_on_after
from anyio.abc import TaskGroup
from anyio.lowlevel import current_token
from attrs import define, field

if TYPE_CHECKING:
    from trio.lowlevel import RunVar

CLOSE_TIMEOUT = 1.0  # seconds that closing a connection or a task group may take


def running_loop() -> Any:
    """Return the native event loop: asyncio's loop, or trio's token. It can be a dict's key."""
    return current_token().native_token


def in_event_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        running_loop()
    except RuntimeError:
        return False
    return True


def has_ended(loop: Any) -> bool:
    """Whether an event loop was closed; always False on trio, which does not expose it."""
    return isinstance(loop, AbstractEventLoop) and loop.is_closed()


def keep_alive(thing: object) -> Callable[[], None]:
    """Keep an object alive until the event loop ends, or until the returned function is called.

    trio warns if an async generator is garbage-collected before it has ended, and cannot run its
    cleanup. asyncio does run the cleanup.
    """
    if isinstance(running_loop(), AbstractEventLoop):
        return lambda: None
    things = _kept_by_trio().get(None)
    if things is None:
        things = set[object]()
        _kept_by_trio().set(things)
    things.add(thing)
    return lambda: things.discard(thing)


@cache
def _kept_by_trio() -> RunVar[set[object] | None]:
    from trio.lowlevel import RunVar  # noqa: PLC0415 (already imported: trio runs)

    return RunVar("oxaigen_auth kept alive")


def call_soon_threadsafe(loop: Any, function: Callable[[], object]) -> None:
    """Call a function in the thread of an event loop; do nothing if the loop has ended."""
    asyncio_loop = isinstance(loop, AbstractEventLoop)
    try:
        (loop.call_soon_threadsafe if asyncio_loop else loop.run_sync_soon)(function)
    except RuntimeError:  # the loop is closed; trio's RunFinishedError is one as well
        return


def call_soon_in_task(loop: Any, function: Callable[[], object]) -> None:
    """Call a function in a task of an event loop, from any thread; anyio works only in tasks."""
    if not isinstance(loop, AbstractEventLoop):
        call_soon_threadsafe(loop, function)  # trio calls it in a task
        return

    async def call() -> None:
        function()

    # It ends with its first step, until when the event loop refers to it.
    call_soon_threadsafe(loop, lambda: loop.create_task(call(), context=Context()))


def start_background_task(
    run: Callable[[], Coroutine[Any, Any, None]], on_end: Callable[[], None]
) -> object:
    """Start a task that no task group owns and that sees no context variables of the caller.

    `on_end` is called when the task has ended, even if it was cancelled before its first step.
    Return the task, which must be referenced as long as it runs.
    """
    loop = running_loop()
    if isinstance(loop, AbstractEventLoop):
        task = loop.create_task(run(), context=Context())
        task.add_done_callback(lambda _: on_end())
        return task

    from trio.lowlevel import spawn_system_task  # noqa: PLC0415 (already imported: trio runs)

    async def system_task() -> None:
        try:
            await run()
        except* KeyboardInterrupt:
            raise_signal(SIGINT)  # trio raises it in the main task, as this one is protected
        finally:
            on_end()

    return spawn_system_task(system_task, context=Context())


@define(eq=False)
class BackgroundTaskGroup:
    """Opens a task group, passes it to `on_open`, and calls `on_close` when it has ended.

    On asyncio, the task group ends early if one of its tasks is cancelled natively before its first
    step; then a new one is opened. If the background task itself is cancelled, none is opened.
    """

    on_open: Callable[[TaskGroup], None]
    on_close: Callable[[], None]
    _ready: Event = field(factory=Event, init=False)
    _stop: Event = field(factory=Event, init=False)
    _ended: Event = field(factory=Event, init=False)
    _task: object = field(default=None, init=False)

    async def open(self) -> None:
        """Return when the task group is open, or when the background task was cancelled."""
        self._task = start_background_task(self._run, self._end)
        await self._ready.wait()

    async def aclose(self) -> None:
        """Cancel the tasks of the group and wait for their end, for `CLOSE_TIMEOUT` at most."""
        self._stop.set()
        if self._task is not None:
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._ended.wait()

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                async with create_task_group() as group:
                    self.on_open(group)
                    self._ready.set()
                    await self._stop.wait()
                    group.cancel_scope.cancel()
            finally:
                self.on_close()

    def _end(self) -> None:
        self._ready.set()
        self._ended.set()
