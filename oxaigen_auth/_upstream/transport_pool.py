"""A pool of HTTP transports, each for one call at a time. The last used one is reused first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from anyio import current_time
from attrs import define, field


class Closable(Protocol):
    async def aclose(self) -> None: ...


T = TypeVar("T", bound=Closable)


@define(eq=False)
class TransportPool(Generic[T]):
    """Holds as many transports as were recently in use at the same time.

    Args:
        make: makes one more transport.
        max_idle: for how many seconds an unused transport is kept.
    """

    make: Callable[[], T]
    max_idle: float
    _all: list[T] = field(factory=list, init=False)
    _idle: deque[tuple[float, T]] = field(factory=deque, init=False)

    def __len__(self) -> int:
        return len(self._all)

    @contextmanager
    def checkout(self) -> Iterator[T]:
        """Yield a transport for exclusive use."""
        transport = self._idle.pop()[1] if self._idle else self._make()
        try:
            yield transport
        finally:
            self._idle.append((current_time(), transport))

    async def evict_idle(self) -> None:
        """Close the transport that has been idle longest, if that is long enough."""
        if self._idle and current_time() - self._idle[0][0] >= self.max_idle:
            _, transport = self._idle.popleft()
            self._all.remove(transport)
            await transport.aclose()

    async def aclose(self) -> None:
        """Close every transport, including those in use."""
        self._idle.clear()
        while self._all:
            await self._all.pop().aclose()

    def _make(self) -> T:
        transport = self.make()
        self._all.append(transport)
        return transport
