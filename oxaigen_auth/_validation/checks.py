"""What a cached verdict is compared with on each hit, if processes share a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Accepted


class Checks(Protocol):
    """Compares cached verdicts with what other processes have forgotten."""

    @property
    def stamp(self) -> Callable[[bytes], int]:
        """Return the stamp of a token, by its fingerprint. Called on each hit."""
        ...

    def is_current(self, question: Question, /) -> bool:
        """Return whether the verdict of another stamp may be used until its TTL ends."""
        ...

    def is_forgotten(self, question: Question, verdict: Accepted[Any], /) -> bool:
        """Return whether a verdict may not even be used while the proxy is unavailable."""
        ...
