"""Numbers that outdate everything known of a token. Knows no token, only fingerprints."""

from __future__ import annotations

from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator


@define(eq=False)
class Epochs:
    """The epoch of each token: part of every key, advanced when the token is forgotten.

    No token is ever in the same epoch again after `advance`. Remembers `max_tokens` of them; one
    more starts a new epoch for all, which forgets too much, never too little.
    """

    max_tokens: int
    _epochs: dict[bytes, int] = field(factory=dict, init=False)
    _everyone: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _next: Iterator[int] = field(factory=lambda: count(1), init=False)

    def __len__(self) -> int:
        return len(self._epochs)

    def of(self, fingerprint: bytes) -> int:
        return self._epochs.get(fingerprint, self._everyone)

    def advance(self, fingerprint: bytes) -> None:
        with self._lock:
            if len(self._epochs) >= self.max_tokens:
                self._everyone = next(self._next)
                self._epochs = {}
            self._epochs[fingerprint] = next(self._next)
