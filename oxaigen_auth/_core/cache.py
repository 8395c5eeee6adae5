"""A bounded cache whose entries end. Knows nothing of what it holds."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

V = TypeVar("V")

GROUP_SHARE = 8  # a group of entries may take an eighth of the bytes


@define(eq=False)
class _Entry(Generic[V]):
    value: V
    born: float
    ttl: float
    grace: float
    size: int
    used: bool = False


@define(eq=False)
class Cache(Generic[V]):
    """Keeps at most `max_entries` values, each for `ttl` seconds, and for `grace` more as stale.

    Room is made by second chance: the oldest goes, but one that was used since it was last passed
    over is passed over again. So a hit writes to its own entry only, where the order of a list of
    the least recently used would have it write to its neighbours, which lie elsewhere in memory.

    `group_of` returns the group of a key, or None. A group holds at most `max_per_group` entries,
    and no more than its share of `max_bytes` unless it holds only one: its own make room first.

    Invariants: never more than `max_entries`, nor more than `max_bytes` by the sizes that were
    given; a value whose age is `ttl` or more is never returned, but by `stale`; with a `ttl` of 0
    nothing is kept. Safe to share between threads.
    """

    max_entries: int
    ttl: float
    clock: Callable[[], float]
    grace: float = 0.0
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
        age = self.clock() - entry.born
        if age >= entry.ttl:
            if age >= entry.ttl + entry.grace:
                self._discard(key, entry)
            return None
        entry.used = True
        return entry.value

    def stale(self, key: Hashable) -> V | None:
        """Return a value although its time may be over, by less than `grace`."""
        entry = self._entries.get(key)
        if entry is None or self.clock() - entry.born >= entry.ttl + entry.grace:
            return None
        return entry.value

    def born(self, key: Hashable) -> float:
        """Return when the value that is kept was born, or minus infinity."""
        with self._lock:
            entry = self._entries.get(key)
            return -inf if entry is None else entry.born

    def group(self, group: Hashable) -> tuple[Hashable, ...]:
        """Return the keys of a group's entries, the oldest first."""
        return self._groups.get(group, ())

    def put(
        self,
        key: Hashable,
        value: V,
        *,
        born: float,
        end: float = inf,
        size: int = 0,
    ) -> None:
        """Keep a value of `size` bytes whose age counts from `born`, until `end` at most.

        Both are readings of `clock`.
        """
        ttl = min(self.ttl, end - born)
        grace = min(self.grace, end - born - ttl)
        with self._lock:
            self._remove(key)
            if not self.ttl or self.clock() - born >= ttl or size > self.max_bytes:
                return
            group = self.group_of(key)
            self._make_room_in(group, size)
            self._make_room(size)
            self._entries[key] = _Entry(value, born, ttl, grace, size)
            self.size += size
            if group is not None:
                self._groups[group] = (*self.group(group), key)

    def discard(self, key: Hashable) -> None:
        with self._lock:
            self._remove(key)

    def _make_room_in(self, group: Hashable, size: int) -> None:
        """Remove entries of a group until one more is within its share."""
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
