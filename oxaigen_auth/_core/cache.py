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
class _Entry(Generic[V]):
    value: V
    born: float
    used: bool = False


@define(eq=False)
class Cache(Generic[V]):
    """Keeps at most `max_entries` values, each for `ttl` seconds, and for `grace` more as stale.

    Room is made by second chance: the oldest goes, but one that was used since it was last passed
    over is passed over again. So a hit writes to its own entry only, where the order of a list of
    the least recently used would have it write to its neighbours, which lie elsewhere in memory.

    Invariants: never more than `max_entries`; a value whose age is `ttl` or more is never
    returned, but by `stale`; with a `ttl` of 0 nothing is kept. Safe to share between threads.
    """

    max_entries: int
    ttl: float
    clock: Callable[[], float]
    grace: float = 0.0
    _entries: OrderedDict[Hashable, _Entry[V]] = field(factory=OrderedDict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> V | None:
        # Without the lock, which would cost as much as all the rest: each of these steps is atomic.
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self.clock() - entry.born
        if age >= self.ttl:
            if age >= self.ttl + self.grace:
                self._discard(key, entry)
            return None
        entry.used = True
        return entry.value

    def stale(self, key: Hashable) -> V | None:
        """Return a value although its time may be over, by less than `grace`."""
        entry = self._entries.get(key)
        if entry is None or self.clock() - entry.born >= self.ttl + self.grace:
            return None
        return entry.value

    def born(self, key: Hashable) -> float:
        """Return when the value that is kept was born, or minus infinity."""
        with self._lock:
            entry = self._entries.get(key)
            return -inf if entry is None else entry.born

    def put(self, key: Hashable, value: V, *, born: float) -> None:
        """Keep a value whose age counts from `born`, a reading of `clock`."""
        with self._lock:
            if not self.ttl or self.clock() - born >= self.ttl:
                self._entries.pop(key, None)
                return
            if key not in self._entries and len(self._entries) >= self.max_entries:
                self._make_room()
            self._entries[key] = _Entry(value, born)
            self._entries.move_to_end(key)

    def discard(self, key: Hashable) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def _make_room(self) -> None:
        while (entry := self._entries[key := next(iter(self._entries))]).used:
            entry.used = False
            self._entries.move_to_end(key)
        del self._entries[key]

    def _discard(self, key: Hashable, entry: _Entry[V]) -> None:
        """Discard an entry, unless another thread has put a new one in its place."""
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]
