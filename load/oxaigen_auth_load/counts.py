"""The counters of a target."""

from collections.abc import Callable
from operator import add, sub
from typing import Self

from attrs import astuple, frozen


@frozen
class Counts:
    """The counters of a target; None if it cannot count them."""

    cache_hits: int | None = None
    coalesced: int | None = None
    upstream_calls: int | None = None

    def __add__(self, other: Self) -> Self:
        return self._combine(other, add)

    def __sub__(self, other: Self) -> Self:
        return self._combine(other, sub)

    def _combine(self, other: Self, operation: Callable[[int, int], int]) -> Self:
        """Combine each counter; one that only one of the two knows counts as zero in the other."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return type(self)(
            *(
                None if pair == (None, None) else operation(*(n or 0 for n in pair))
                for pair in pairs
            )
        )
