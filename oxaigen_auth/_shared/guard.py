"""Bounds the calls of an engine, and skips them for a while after repeated failures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from threading import Lock
from typing import TypeVar

from anyio import move_on_after
from attrs import define, field

from oxaigen_auth._shared.store import SharedStoreError

T = TypeVar("T")

THRESHOLD = 3  # failures in a row, after which calls are skipped
FIRST_BACKOFF = 0.5  # seconds; each further one is twice as long, up to a limit
MAX_BACKOFF = 4.0  # seconds


@define(eq=False)
class EngineGuard:
    """Calls one kind of operation of an engine. Safe to share between threads.

    A lost connection fails all running calls, so a call counts only if it began after a failure.

    States: working, until `THRESHOLD` calls in a row fail; then failing. While it is failing, calls
    are skipped, except for one each time that a backoff has passed. One that succeeds makes it
    working again. A caller that is cancelled changes nothing.

    Args:
        clock: returns seconds, for the backoff.
        timeout: seconds that a call may take.
        on_change: called with what failed, or with None when it works again.
    """

    clock: Callable[[], float]
    timeout: float
    on_change: Callable[[str | None], None]
    _failures: int = field(default=0, init=False)
    _failed_at: float = field(default=-inf, init=False)
    _backoff: float = field(default=0.0, init=False)
    _retry_at: float = field(default=-inf, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result, or None if the call failed or was skipped."""
        if self._is_skipped():
            return None
        began, problem = self.clock(), f"no answer within {self.timeout:g} s"
        with move_on_after(self.timeout):
            try:
                result = await operation()
            except SharedStoreError as error:
                problem = str(error)
            except Exception as error:  # noqa: BLE001 (what a damaged store may cause)
                problem = f"the engine failed with {type(error).__name__}"
            else:
                self._succeed()
                return result
        self._fail(began, problem)
        return None

    def _is_skipped(self) -> bool:
        with self._lock:
            now = self.clock()
            if self._failures < THRESHOLD:
                return False
            if now < self._retry_at:
                return True
            self._retry_at = now + self._backoff  # the others wait for the outcome of this call
            return False

    def _succeed(self) -> None:
        with self._lock:
            was_failing = self._failures >= THRESHOLD
            self._failures, self._backoff = 0, 0.0
        if was_failing:
            self.on_change(None)

    def _fail(self, began: float, problem: str) -> None:
        with self._lock:
            if began < self._failed_at:
                return
            self._failed_at = self.clock()
            self._failures += 1
            is_first = self._failures == THRESHOLD
            if self._failures >= THRESHOLD:
                self._backoff = min(self._backoff * 2 or FIRST_BACKOFF, MAX_BACKOFF)
                self._retry_at = self.clock() + self._backoff
        if is_first:
            self.on_change(problem)
