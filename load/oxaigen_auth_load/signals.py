"""Signals that stop a load: Ctrl-C, SIGTERM and SIGHUP. Results so far are kept."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from threading import current_thread, main_thread
from time import monotonic
from typing import Any

from attrs import define

SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__
)
# `timeout` and shells send a signal to the process, and again to its group.
DUPLICATE_WINDOW = 0.3  # seconds


@define(eq=False)
class Stop:
    """Whether a signal has asked the load to stop. It is the signal handler.

    Attributes:
        requested: a signal has arrived.
        keeps_results: True from when the load starts. Before that a signal raises
            KeyboardInterrupt; in an event loop an exception from a handler would break the loop.
    """

    requested: bool = False
    keeps_results: bool = False
    _since: float = 0.0

    def __call__(self, number: int, _: Any) -> None:
        """Record the first signal; let a second one end the process at once."""
        if self.requested:
            if monotonic() - self._since > DUPLICATE_WINDOW:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            return
        self.requested, self._since = True, monotonic()
        if not self.keeps_results:
            raise KeyboardInterrupt


@contextmanager
def handle_signals() -> Iterator[Stop]:
    """Install the handler while the block runs; only in the main thread, where signals arrive.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    stop = Stop()
    handled = SIGNALS if current_thread() is main_thread() else ()
    numbers = [number for number in handled if not _is_ignored_hangup(number)]
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
    """Block the signals; a process that is started in this block inherits the mask."""
    resource_tracker.ensure_running()  # starting the first process would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
