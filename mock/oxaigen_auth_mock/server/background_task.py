"""A task of the event loop that belongs to no task group, on asyncio or trio.

A block that holds a task group must be exited by the task that entered it. Fixtures of
pytest-asyncio, pytest-trio and others enter a block in one task and exit it in another.
"""

import asyncio
from collections.abc import Awaitable, Callable

import trio
from anyio import CancelScope, Event
from attrs import define, field


@define(eq=False)
class BackgroundTask:
    """Runs a function that no cancel scope of the caller cancels.

    The function is called with a callback for when it is ready. Once it has ended, `error` is the
    exception that it raised, unwrapped from exception groups of one.
    """

    _run: Callable[[Callable[[], None]], Awaitable[None]]
    error: Exception | None = field(default=None, init=False)
    _ready: Event = field(factory=Event, init=False)
    _ended: Event = field(factory=Event, init=False)
    _task: object = field(default=None, init=False)  # asyncio itself holds only a weak reference

    def start(self) -> None:
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.spawn_system_task(self._main, name=self._run)
            return
        task = asyncio.create_task(self._main())
        task.add_done_callback(self._end)  # also if it is cancelled before its first step
        self._task = task

    async def wait_started(self) -> None:
        """Wait until the function is ready or has ended."""
        await self._ready.wait()

    async def wait_ended(self) -> None:
        """Wait for the end, even if the caller is cancelled; the function must end soon."""
        with CancelScope(shield=True):
            await self._ended.wait()

    async def _main(self) -> None:
        try:
            await self._run(self._ready.set)
        except Exception as error:  # noqa: BLE001 - for the caller; it would crash trio here
            self.error = _unwrap(error)
        finally:
            self._end()

    def _end(self, _task: object = None) -> None:
        self._ready.set()
        self._ended.set()


def _unwrap(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
