"""Values that are computed once per process, and cleared together."""

from __future__ import annotations

from collections.abc import Callable
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, TypeVar

T = TypeVar("T")

MAX_CALLS = 1024  # cached results per function

_caches: list[_lru_cache_wrapper[Any]] = []


def process_cache(function: Callable[..., T]) -> _lru_cache_wrapper[T]:
    """Cache the results of a function until `clear_process_caches` is called.

    The result has the methods of `functools.lru_cache`.
    """
    cached = lru_cache(MAX_CALLS)(function)
    _caches.append(cached)
    return cached


def clear_process_caches() -> None:
    for cached in _caches:
        cached.cache_clear()
