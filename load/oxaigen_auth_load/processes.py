"""Starts child processes, which end with their pipe."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from oxaigen_auth_load.signals import signals_blocked

_SPAWN = multiprocessing.get_context("spawn")
EXIT_TIMEOUT = 5.0  # seconds


@contextmanager
def child_process(run: Callable[..., None], *args: Any) -> Iterator[Connection]:
    """Call a function in another process, with one end of a pipe and these arguments.

    Yields the other end. When it is closed, the process should end, and is killed otherwise.
    """
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=run, args=(theirs, *args), daemon=True)
    try:
        with signals_blocked():  # a signal to the whole group must leave the process running
            process.start()
        theirs.close()
        yield ours
    finally:
        ours.close()
        if process.pid is not None:  # None if an interrupt came before the start
            process.join(EXIT_TIMEOUT)
            if process.exitcode is None:
                process.kill()
