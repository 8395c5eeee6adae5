"""Estimates the memory of JSON values, tuples, bytes and instances of attrs classes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import cache
from itertools import chain
from math import inf
from sys import getsizeof
from typing import Any, cast

_LEAVES = {str, bytes, int, float}
_SMALL_INTEGERS = range(-5, 257)  # CPython shares one object for each, as for most single letters


def size_of(value: object, at_most: float = inf) -> int:
    """Estimate the bytes that a value takes with everything that it refers to.

    An object with several references counts once for each. Stops soon after `at_most`. Takes
    time in proportion to the number of objects, and does not recurse.
    """
    total = _rounded(getsizeof(value))
    left: list[Any] = [value]
    while left and total <= at_most:
        for part in _parts(left.pop()):
            kind = type(part)
            if kind not in _LEAVES:
                if part is not None and kind is not bool:
                    total += _rounded(getsizeof(part))
                    left.append(part)
            elif not (len(part) <= 1 if kind is str else kind is int and part in _SMALL_INTEGERS):
                total += _rounded(getsizeof(part))
    return total


def _rounded(size: int) -> int:
    """Round up to a multiple of 16, as CPython's allocator does."""
    return (size + 15) & -16


def _parts(whole: Any) -> Iterable[Any]:
    """Return what a list, tuple, dict or instance of an attrs class refers to."""
    kind: type = type(whole)
    if isinstance(whole, list | tuple):
        return whole
    if kind is dict:
        return chain(whole, whole.values())
    return [getattr(whole, name) for name in _attributes(cast("Hashable", kind))]


@cache
def _attributes(kind: Hashable) -> tuple[str, ...]:
    """Return the attribute names of an attrs class; empty for another class."""
    return tuple(attribute.name for attribute in getattr(kind, "__attrs_attrs__", ()))
