"""A queue for a limited number of slots that is fair between the shares of its items.

A share has a name, such as a base URL. The rules, for `capacity` slots of which `free` are free:

    order       Round-robin over the shares; first in, first out within a share.
    limit       A share gets another slot only while it holds fewer than `WEIGHT * free`, and the
                last free slot only if it holds none. A single share gets four fifths of the slots,
                and the next one finds some free.
    unproven    The shares that `proven` does not contain count as one share together. Among
                themselves they take turns, with the same limit on the slots that they share.

Invariants: the slots in use never exceed `capacity`. A share exists only while it has a pending
item or holds a slot. Every method is synchronous. Each event loop has a queue of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T")

WEIGHT = 4
_UNPROVEN = None  # the turn of all unproven shares together


@define(eq=False)
class _Share(Generic[T]):
    name: str
    proven: bool
    held: int = 0
    pending: OrderedDict[T, None] = field(factory=OrderedDict)


@define(eq=False)
class FairQueue(Generic[T]):
    """Holds pending items, each in a share, and counts the slots that running items hold.

    `proven` contains the names of the shares that have turns of their own. It may grow.
    """

    capacity: float
    proven: Container[str] = ()
    _shares: dict[str, _Share[T]] = field(factory=dict, init=False)
    _turns: OrderedDict[str | None, None] = field(factory=OrderedDict, init=False)
    _unproven: OrderedDict[str, None] = field(factory=OrderedDict, init=False)
    _held: int = field(default=0, init=False)
    _held_unproven: int = field(default=0, init=False)

    def push(self, item: T, name: str) -> None:
        """Add an item that waits for a slot."""
        share = self._shares.get(name)
        proven = name in self.proven
        if share is None:
            share = self._shares[name] = _Share(name, proven)
        elif proven and not share.proven:
            self._prove(share)
        share.pending[item] = None
        self._turns.setdefault(name if share.proven else _UNPROVEN)
        if not share.proven:
            self._unproven.setdefault(name)

    def pop(self) -> tuple[T, str] | None:
        """Give a slot to the next item, and return it with the name of its share.

        Return None if no item may run now. `release` must give the slot back.
        """
        if self._held < self.capacity:
            for turn in self._turns:
                share = self._next_unproven() if turn is None else self._shares[turn]
                if share is not None and self._may_run(share):
                    return self._take(share), share.name
        return None

    def remove(self, item: T, name: str) -> None:
        """Remove an item if it waits."""
        share = self._shares.get(name)
        if share is not None:
            share.pending.pop(item, None)
            self._remove_if_unused(share)

    def release(self, name: str) -> None:
        """Give back a slot that an item of this share held."""
        share = self._shares[name]
        share.held -= 1
        self._held -= 1
        if not share.proven:
            self._held_unproven -= 1
        self._remove_if_unused(share)

    def _take(self, share: _Share[T]) -> T:
        item, _ = share.pending.popitem(last=False)
        share.held += 1
        self._held += 1
        if share.proven:
            self._turns.move_to_end(share.name)
        else:
            self._held_unproven += 1
            self._turns.move_to_end(_UNPROVEN)
            self._unproven.move_to_end(share.name)
        self._remove_if_unused(share)
        return item

    def _may_run(self, share: _Share[T]) -> bool:
        free = self.capacity - self._held
        held = share.held if share.proven else self._held_unproven
        return _is_within_limit(held, free)

    def _next_unproven(self) -> _Share[T] | None:
        """Return the unproven share whose turn it is."""
        # The slots that the unproven shares may still take together; each one costs a free slot.
        left = (WEIGHT * (self.capacity - self._held) - self._held_unproven) / (WEIGHT + 1)
        for name in self._unproven:
            share = self._shares[name]
            if _is_within_limit(share.held, left):
                return share
        return None

    def _prove(self, share: _Share[T]) -> None:
        """Give an unproven share turns of its own."""
        self._leave(share)
        self._held_unproven -= share.held
        share.proven = True

    def _leave(self, share: _Share[T]) -> None:
        """Remove a share from the turns."""
        if share.proven:
            self._turns.pop(share.name, None)
            return
        self._unproven.pop(share.name, None)
        if not self._unproven:
            self._turns.pop(_UNPROVEN, None)

    def _remove_if_unused(self, share: _Share[T]) -> None:
        if not share.pending:
            self._leave(share)
            if not share.held:
                self._shares.pop(share.name, None)


def _is_within_limit(held: int, free: float) -> bool:
    """Return whether a share that holds `held` slots may take one of `free`."""
    return not held or (free > 1 and held < WEIGHT * free)
