"""Things that serve one user at a time, handed out the last used first. Knows not what they are."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from anyio import current_time
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Closable(Protocol):
    async def aclose(self) -> None: ...


L = TypeVar("L", bound=Closable)


@define(eq=False)
class Lanes(Generic[L]):
    """As many lanes as were ever needed at once lately; `make` makes one more.

    A lane that nobody has used for `max_idle` seconds may be closed.
    """

    make: Callable[[], L]
    max_idle: float
    _all: list[L] = field(factory=list, init=False)
    _idle: deque[tuple[float, L]] = field(factory=deque, init=False)

    def __len__(self) -> int:
        return len(self._all)

    @contextmanager
    def take(self) -> Iterator[L]:
        """Give a lane that nobody else uses meanwhile."""
        lane = self._idle.pop()[1] if self._idle else self._make()
        try:
            yield lane
        finally:
            self._idle.append((current_time(), lane))

    async def close_stale(self) -> None:
        """Close the lane that has been idle longest, if that is long enough."""
        if self._idle and current_time() - self._idle[0][0] >= self.max_idle:
            _, lane = self._idle.popleft()
            self._all.remove(lane)
            await lane.aclose()

    async def aclose(self) -> None:
        """Close every lane, also those in use."""
        self._idle.clear()
        while self._all:
            await self._all.pop().aclose()

    def _make(self) -> L:
        lane = self.make()
        self._all.append(lane)
        return lane
