"""Wakes the tasks that watch a token when it is forgotten or rejected, or the client is closed.

A watch belongs to one event loop; another loop, in another thread, may notify it. It does not refer
to the token, nor to the task that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from anyio import Event
from attrs import define, field

from oxaigen_auth._core.background import call_soon_threadsafe, running_loop


@define(eq=False)
class TokenWatch:
    """The events of one token, for one watcher. `rejected` is set again by each rejection.

    `ended` is set when the token is forgotten or the client is closed.
    """

    ended: Event = field(factory=Event, init=False)
    rejected: Event = field(factory=Event, init=False)
    _loop: Any = field(factory=running_loop, init=False)

    async def wait_until_rejected(self) -> None:
        await self.rejected.wait()
        self.rejected = Event()

    def notify(self, event: Callable[[TokenWatch], Event]) -> None:
        call_soon_threadsafe(self._loop, lambda: event(self).set())


@define(eq=False)
class TokenWatches:
    """The watches of one client by the fingerprint of their token."""

    _watches: dict[bytes, set[TokenWatch]] = field(factory=dict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @contextmanager
    def watching(self, fingerprint: bytes) -> Generator[TokenWatch]:
        """Watch a token during a block."""
        watch = TokenWatch()
        with self._lock:
            self._watches.setdefault(fingerprint, set()).add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches[fingerprint].remove(watch)
                if not self._watches[fingerprint]:
                    del self._watches[fingerprint]

    def forget(self, fingerprint: bytes) -> None:
        self._notify(fingerprint, lambda watch: watch.ended)

    def reject(self, fingerprint: bytes) -> None:
        self._notify(fingerprint, lambda watch: watch.rejected)

    def reject_all(self) -> None:
        """Let all tokens be validated again."""
        for fingerprint in self._tokens():
            self.reject(fingerprint)

    def close(self) -> None:
        """End the watches of all tokens, because the client is closed."""
        for fingerprint in self._tokens():
            self.forget(fingerprint)

    def _tokens(self) -> list[bytes]:
        with self._lock:
            return list(self._watches)

    def _notify(self, fingerprint: bytes, event: Callable[[TokenWatch], Event]) -> None:
        with self._lock:
            watches = list(self._watches.get(fingerprint, ()))
        for watch in watches:
            watch.notify(event)
