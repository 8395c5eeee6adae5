"""Signals that end a load: Ctrl-C, SIGTERM and SIGHUP. What there is by then is kept."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from multiprocessing import resource_tracker
from threading import current_thread, main_thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__
)
SAME = 0.3  # seconds; `timeout` and shells send a signal to the process, and again to its group


@define(eq=False)
class Stop:
    """Whether the load is to end. It is the handler of the signals.

    Attributes:
        asked: a signal has arrived.
        keeps: from here on there are results; before, a signal raises KeyboardInterrupt. An
            exception out of a handler would break an event loop.
    """

    asked: bool = False
    keeps: bool = False
    _since: float = 0.0

    def __call__(self, number: int, _: Any) -> None:
        """Note the first signal; let a second one end the process at once."""
        if self.asked:
            if monotonic() - self._since > SAME:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            return
        self.asked, self._since = True, monotonic()
        if not self.keeps:
            raise KeyboardInterrupt


@contextmanager
def heeding_signals() -> Iterator[Stop]:
    """Handle the signals while the block runs, if it runs where signals arrive.

    A SIGHUP that is ignored, as under nohup, stays so.
    """
    stop = Stop()
    here = SIGNALS if current_thread() is main_thread() else ()
    numbers = [number for number in here if not _is_ignored_hangup(number)]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ignored_hangup(number: signal.Signals) -> bool:
    return number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Start processes in this block that signals to the whole group do not end."""
    resource_tracker.ensure_running()  # which would unblock them, when the first process starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
