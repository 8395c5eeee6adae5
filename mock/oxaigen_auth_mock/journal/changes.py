"""Version numbers for the changes of a mock, and a way to wait for the next change."""

from anyio import Event
from attrs import define


@define(eq=False)
class ChangeFeed:
    """Count changes and wake the tasks that wait for the next one.

    Belongs to one event loop at a time: tasks must wait on the loop that makes the changes.
    """

    version: int = 0
    _next: Event | None = None

    def bump(self) -> int:
        """Announce a change and return its number."""
        self.version += 1
        if self._next is not None:
            self._next.set()
            self._next = None
        return self.version

    async def wait_past(self, version: int) -> None:
        """Wait until there is a change later than this one."""
        while self.version <= version:
            if self._next is None:
                self._next = Event()
            await self._next.wait()
