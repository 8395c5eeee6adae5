"""Values that are computed once per process, and cleared together."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from functools import _lru_cache_wrapper, lru_cache, wraps
from threading import RLock
from typing import Any, TypeVar

T = TypeVar("T")

MAX_CALLS = 1024  # cached results per function

_caches: list[_lru_cache_wrapper[Any]] = []
_lock = RLock()

# A fork waits until no thread computes a value, so that the child can never wait for such a thread.
_on_fork: Callable[..., None] = getattr(os, "register_at_fork", lambda **_: None)
_on_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def process_cache(function: Callable[..., T]) -> _lru_cache_wrapper[T]:
    """Cache the results of a function until `clear_process_caches` is called.

    Threads that call it at the same time get the same object. The result has the methods of
    `functools.lru_cache`, which alone would let each of them compute an object.
    """
    computed = lru_cache(MAX_CALLS)(function)

    @lru_cache(MAX_CALLS)
    @wraps(function)
    def compute_once(*args: Hashable) -> T:
        with _lock:
            return computed(*args)

    _caches.extend((compute_once, computed))
    return compute_once


def clear_process_caches() -> None:
    with _lock:
        for cached in _caches:
            cached.cache_clear()
