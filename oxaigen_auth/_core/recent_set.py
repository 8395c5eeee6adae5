"""A bounded set that discards the items added longest ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T", bound="Hashable")


@define(eq=False)
class RecentSet(Generic[T]):
    """Holds at most `max_items`. Safe to share between threads."""

    max_items: int
    _items: OrderedDict[T, None] = field(factory=OrderedDict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def add(self, item: T) -> None:
        with self._lock:
            self._items[item] = None
            self._items.move_to_end(item)
            if len(self._items) > self.max_items:
                self._items.popitem(last=False)
