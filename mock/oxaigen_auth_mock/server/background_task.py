"""Runs a function in a task of the event loop, on asyncio or trio. Knows nothing of what it runs.

A block whose task group or cancel scope is entered in the caller's task must end in that task.
Fixtures of pytest-asyncio, pytest-trio and others begin a block in one task and end it in another.
"""

import asyncio
from collections.abc import Awaitable, Callable

import trio
from anyio import CancelScope, Event
from attrs import define, field


@define(eq=False)
class BackgroundTask:
    """A running function, which nobody's scope cancels; `error` is what it raised, once it ended.

    The function calls `started` when others may go on. An error that is alone in its exception
    groups is kept without them.
    """

    _run: Callable[[Callable[[], None]], Awaitable[None]]
    error: Exception | None = field(default=None, init=False)
    _begun: Event = field(factory=Event, init=False)
    _ended: Event = field(factory=Event, init=False)
    _task: object = field(default=None, init=False)  # asyncio itself keeps no task alive

    def start(self) -> None:
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.spawn_system_task(self._main, name=self._run)
            return
        task = asyncio.create_task(self._main())
        task.add_done_callback(self._end)  # also where it is cancelled before its first step
        self._task = task

    async def wait_started(self) -> None:
        """Wait until the function has called `started`, or has ended."""
        await self._begun.wait()

    async def wait_ended(self) -> None:
        """Wait for the end, also in a caller that is cancelled: the function must end soon."""
        with CancelScope(shield=True):
            await self._ended.wait()

    async def _main(self) -> None:
        try:
            await self._run(self._begun.set)
        except Exception as error:  # noqa: BLE001 - for whoever waits; trio ends at one from here
            self.error = _bare(error)
        finally:
            self._end()

    def _end(self, _task: object = None) -> None:
        self._begun.set()
        self._ended.set()


def _bare(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
