"""The mock's clock, which people move, and word of changes for those who watch."""

import time
from collections.abc import Callable

from anyio import Event
from attrs import define


@define(eq=False)
class Clock:
    """Tells Unix time in seconds; runs like its source, but can be put forward and back."""

    source: Callable[[], float] = time.time
    offset: float = 0.0

    def now(self) -> float:
        return self.source() + self.offset


@define(eq=False)
class Changes:
    """Numbers the changes of a mock, and wakes those who wait for the next one.

    Belongs to one event loop at a time: whoever waits does so where the changes are made.
    """

    version: int = 0
    _next: Event | None = None

    def touch(self) -> int:
        """Make a change known; gives its number."""
        self.version += 1
        if self._next is not None:
            self._next.set()
            self._next = None
        return self.version

    async def beyond(self, version: int) -> None:
        """Wait for a change that is later than this one."""
        while self.version <= version:
            if self._next is None:
                self._next = Event()
            await self._next.wait()
