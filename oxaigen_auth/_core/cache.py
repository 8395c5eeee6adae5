"""A bounded cache whose entries expire."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import inf
from threading import Lock
from typing import Any, Generic, TypeVar

from attrs import define, field

V = TypeVar("V")

GROUP_SHARE = 8  # a group of entries may take one eighth of the bytes


@define(eq=False)
class _Entry(Generic[V]):
    value: V
    stored_at: float
    ttl: float
    stale_ttl: float
    size: int
    used: bool = False


@define(eq=False)
class Cache(Generic[V]):
    """Holds at most `max_entries` values for `ttl` seconds each, then `stale_ttl` seconds as stale.

    Eviction is by second chance: the oldest entry is evicted, unless it was used since it was last
    considered. A hit writes to its own entry only. The linked list of an LRU cache would make it
    write to the neighbours of the entry as well, which lie elsewhere in memory.

    A group of entries holds at most `max_per_group` of them, and at most its share of `max_bytes`
    unless it holds only one. If it is full, its own entries are evicted.

    Invariants: there are never more than `max_entries` entries, nor more than `max_bytes` by the
    sizes that were given. A value whose age is `ttl` or more is returned by `stale` only. With a
    `ttl` of 0 nothing is stored. Safe to share between threads.

    Args:
        clock: returns seconds; must be monotonic.
        group_of: returns the group of a key, or None.
    """

    max_entries: int
    ttl: float
    clock: Callable[[], float]
    stale_ttl: float = 0.0
    max_bytes: float = inf
    max_per_group: float = inf
    group_of: Callable[[Any], Hashable] = lambda _: None
    size: int = field(default=0, init=False)  # bytes
    _entries: OrderedDict[Hashable, _Entry[V]] = field(factory=OrderedDict, init=False)
    _groups: dict[Hashable, tuple[Hashable, ...]] = field(factory=dict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> V | None:
        # Without the lock, which would cost as much as all the rest: each of these steps is atomic.
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self.clock() - entry.stored_at
        if age >= entry.ttl:
            if age >= entry.ttl + entry.stale_ttl:
                self._discard(key, entry)
            return None
        entry.used = True
        return entry.value

    def stale(self, key: Hashable) -> V | None:
        """Return a value whose age is less than `ttl` + `stale_ttl`."""
        entry = self._entries.get(key)
        if entry is None or self.clock() - entry.stored_at >= entry.ttl + entry.stale_ttl:
            return None
        return entry.value

    def stored_at(self, key: Hashable) -> float:
        """Return the time from which a value's age counts; minus infinity if there is none."""
        with self._lock:
            entry = self._entries.get(key)
            return -inf if entry is None else entry.stored_at

    def pairs(self) -> list[tuple[Any, V]]:
        """Return the keys and values, expired ones too."""
        return [(key, entry.value) for key, entry in list(self._entries.items())]

    def group(self, group: Hashable) -> tuple[Hashable, ...]:
        """Return the keys of a group, the oldest first."""
        return self._groups.get(group, ())

    def put(
        self,
        key: Hashable,
        value: V,
        *,
        stored_at: float,
        end: float = inf,
        size: int = 0,
    ) -> None:
        """Store a value of `size` bytes, whose age counts from `stored_at`, until `end` at most.

        Both are readings of `clock`.
        """
        ttl = min(self.ttl, end - stored_at)
        stale_ttl = min(self.stale_ttl, end - stored_at - ttl)
        with self._lock:
            self._remove(key)
            if not self.ttl or self.clock() - stored_at >= ttl + stale_ttl or size > self.max_bytes:
                return
            group = self.group_of(key)
            self._make_room_in(group, size)
            self._make_room(size)
            self._entries[key] = _Entry(value, stored_at, ttl, stale_ttl, size)
            self.size += size
            if group is not None:
                self._groups[group] = (*self.group(group), key)

    def discard(self, key: Hashable) -> None:
        with self._lock:
            self._remove(key)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._groups.clear()
            self.size = 0

    def _make_room_in(self, group: Hashable, size: int) -> None:
        """Evict entries of a group until there is room for one more of `size` bytes."""
        while keys := self.group(group):
            taken = sum(self._entries[key].size for key in keys)
            is_small = taken + size <= self.max_bytes / GROUP_SHARE
            if is_small and len(keys) < self.max_per_group:
                return
            self._remove(self._least_used(keys))

    def _least_used(self, keys: tuple[Hashable, ...]) -> Hashable:
        for key in keys:
            entry = self._entries[key]
            if not entry.used:
                return key
            entry.used = False
        return keys[0]

    def _make_room(self, size: int) -> None:
        while len(self._entries) >= self.max_entries or self.size + size > self.max_bytes:
            key, entry = next(iter(self._entries.items()))
            if entry.used:
                entry.used = False
                self._entries.move_to_end(key)
            else:
                self._remove(key)

    def _discard(self, key: Hashable, entry: _Entry[V]) -> None:
        """Discard an entry, unless another thread has put a new one in its place."""
        with self._lock:
            if self._entries.get(key) is entry:
                self._remove(key)

    def _remove(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.size -= entry.size
        group = self.group_of(key)
        left = tuple(other for other in self.group(group) if other != key)
        if left:
            self._groups[group] = left
        else:
            self._groups.pop(group, None)
