"""Tracks which running lookups are outdated, by the token they are about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from math import inf

from attrs import define, field


@define(eq=False)
class Pending:
    """The running lookups of one token at one base URL.

    An answer of a generation below `forgotten` does not count, nor does an acceptance by a lookup
    that started before `rejected`. Times are in seconds.
    """

    holders: int = 0
    generation: int = 0
    forgotten: int = 0
    rejected: float = -inf  # when the lookup of the newest rejection started
    newest: float = -inf  # when the lookup of the newest verdict on the user started


_NOTHING = Pending()  # never changed


@define(eq=False)
class Generations:
    """The generation of each token, a part of its flights' key, so no caller joins an older flight.

    A token has a generation other than 0 only while lookups of it run, so their number bounds the
    memory that this takes. Each generation is greater than all before it.

    Not thread-safe: the caller must hold a lock, except for `of`.
    """

    _tokens: dict[bytes, dict[str, Pending]] = field(factory=dict, init=False)
    _next: Iterator[int] = field(factory=lambda: count(1), init=False)

    def __len__(self) -> int:
        return len(self._tokens)

    def begin(self, fingerprint: bytes, base: str) -> None:
        """Count a caller or a flight of a running lookup. `end` must follow."""
        self._tokens.setdefault(fingerprint, {}).setdefault(base, Pending()).holders += 1

    def end(self, fingerprint: bytes, base: str) -> None:
        bases = self._tokens[fingerprint]
        bases[base].holders -= 1
        if not bases[base].holders:
            del bases[base]
        if not bases:
            del self._tokens[fingerprint]

    def of(self, fingerprint: bytes, base: str) -> Pending:
        """Return the running lookups; the result must not be changed."""
        bases = self._tokens.get(fingerprint)
        return _NOTHING if bases is None else bases.get(base, _NOTHING)

    def forget(self, fingerprint: bytes) -> None:
        """Outdate every answer to the running lookups of a token."""
        for pending in self._tokens.get(fingerprint, {}).values():
            pending.generation = pending.forgotten = next(self._next)

    def forget_all(self) -> None:
        """Outdate every answer to all running lookups."""
        for fingerprint in self._tokens:
            self.forget(fingerprint)

    def note(self, fingerprint: bytes, base: str, asked: float) -> None:
        """Note when the lookup of a verdict on the user started, if other lookups run."""
        pending = self.of(fingerprint, base)
        if pending is not _NOTHING:
            pending.newest = max(pending.newest, asked)

    def reject(self, fingerprint: bytes, base: str, asked: float) -> None:
        """Outdate every acceptance by a lookup that started before that of a rejection.

        No later caller joins a lookup that runs now, because it may be older.
        """
        pending = self.of(fingerprint, base)
        if pending is not _NOTHING:
            pending.rejected = max(pending.rejected, asked)
            pending.generation = next(self._next)
