"""Ends a process when its parent ends, even if that is killed. Uses the standard library only."""

from __future__ import annotations

import multiprocessing
import os
from threading import Thread


def exit_with_parent() -> None:
    """Exit when the parent process ends, which a thread waits for. For `multiprocessing`."""
    Thread(target=_wait_and_exit, daemon=True).start()


def _wait_and_exit() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
