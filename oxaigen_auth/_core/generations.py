"""The lookups that are under way, by token, and which of their answers still count."""

from __future__ import annotations

from itertools import count
from math import inf
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator


@define(eq=False)
class Pending:
    """The lookups of one token at one base URL that are under way.

    `asked` times are when a lookup started, in seconds. Answers of a generation below `forgotten`
    do not count, nor do acceptances of lookups that started before `rejected`.
    """

    holders: int = 0
    generation: int = 0
    forgotten: int = 0
    rejected: float = -inf  # when the newest rejection was asked for
    newest: float = -inf  # when the newest verdict on the user was asked for


_NOTHING = Pending()  # never changed


@define(eq=False)
class Generations:
    """The generation of each token: part of a flight's key, so that nobody joins an outdated one.

    A token has a generation other than 0 only while lookups of it are under way, so the memory
    that this takes is bounded by their number. Each generation is greater than all before it.

    Not thread-safe: only `of` may be called without the caller's lock.
    """

    _tokens: dict[bytes, dict[str, Pending]] = field(factory=dict, init=False)
    _next: Iterator[int] = field(factory=lambda: count(1), init=False)

    def __len__(self) -> int:
        return len(self._tokens)

    def begin(self, token: bytes, base: str) -> None:
        """Count a caller or a flight for whom a lookup is under way. `end` must follow."""
        self._tokens.setdefault(token, {}).setdefault(base, Pending()).holders += 1

    def end(self, token: bytes, base: str) -> None:
        bases = self._tokens[token]
        bases[base].holders -= 1
        if not bases[base].holders:
            del bases[base]
        if not bases:
            del self._tokens[token]

    def of(self, token: bytes, base: str) -> Pending:
        """Return what is under way; do not change it."""
        bases = self._tokens.get(token)
        return _NOTHING if bases is None else bases.get(base, _NOTHING)

    def forget(self, token: bytes) -> None:
        """Outdate every answer to the lookups of a token that are under way."""
        for pending in self._tokens.get(token, {}).values():
            pending.generation = pending.forgotten = next(self._next)

    def note(self, token: bytes, base: str, asked: float) -> None:
        """Note when a verdict on the user was asked for, while lookups are under way."""
        pending = self.of(token, base)
        if pending is not _NOTHING:
            pending.newest = max(pending.newest, asked)

    def reject(self, token: bytes, base: str, asked: float) -> None:
        """Outdate every acceptance that was asked for earlier than a rejection.

        No caller joins a lookup any more that is under way now: it may be older.
        """
        pending = self.of(token, base)
        if pending is not _NOTHING:
            pending.rejected = max(pending.rejected, asked)
            pending.generation = next(self._next)
