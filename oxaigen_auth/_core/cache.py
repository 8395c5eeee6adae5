"""A bounded cache whose entries end. Knows nothing of what it holds."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

V = TypeVar("V")


@define(eq=False)
class LruCache(Generic[V]):
    """Keeps at most `max_entries` values, the most recently used, each for `ttl` seconds.

    Invariants: never more than `max_entries`; a value whose age is `ttl` or more is never
    returned; with a `ttl` of 0 nothing is kept. Safe to share between threads.
    """

    max_entries: int
    ttl: float
    clock: Callable[[], float]
    _entries: OrderedDict[Hashable, tuple[V, float]] = field(factory=OrderedDict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> V | None:
        # Without the lock, which would cost as much as all the rest: each of these steps is atomic.
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, born = entry
        if self.clock() - born >= self.ttl:
            self._discard(key, entry)
            return None
        try:
            self._entries.move_to_end(key)
        except KeyError:  # another thread has discarded it since; it was good when it was asked for
            return value
        return value

    def born(self, key: Hashable) -> float:
        """Return when the value that is kept was born, or minus infinity."""
        with self._lock:
            entry = self._entries.get(key)
            return -inf if entry is None else entry[1]

    def put(self, key: Hashable, value: V, *, born: float) -> None:
        """Keep a value whose age counts from `born`, a reading of `clock`."""
        with self._lock:
            if self.clock() - born >= self.ttl:
                self._entries.pop(key, None)
                return
            self._entries[key] = value, born
            self._entries.move_to_end(key)
            if len(self._entries) > self.max_entries:
                self._entries.popitem(last=False)

    def discard(self, key: Hashable) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def _discard(self, key: Hashable, entry: tuple[V, float]) -> None:
        """Discard an entry, unless another thread has put a new one in its place."""
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]
