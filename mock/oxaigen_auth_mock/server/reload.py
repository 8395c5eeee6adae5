"""Runs a function in a process that restarts when the mock's source or given files change."""

import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from typing import Any, Final

from attrs import define, field
from watchfiles import Change, watch

SOURCE: Final = Path(__file__).parents[1]
SOURCE_SUFFIXES: Final = (".py", ".html", ".css", ".js")
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_TIMEOUT: Final = 10.0  # seconds, after which the process is killed
POLL_INTERVAL: Final = 250  # milliseconds


@define(eq=False)
class Reloader:
    """A process that restarts when the mock's source or one of some files changes.

    The function of the process must end on SIGTERM. It and its arguments are pickled; arguments may
    be sockets. The files are compared by their modification times instead of being watched, so that
    they may be replaced, missing, or behind symbolic links.

    Args:
        report: called with one sentence when the process ends by itself.
        process_type: has the signature of `multiprocessing.Process`.
    """

    _function: Callable[..., object]
    _arguments: tuple[Any, ...]
    files: Sequence[str] = field(kw_only=True)
    report: Callable[[str], object] = field(kw_only=True)
    source: Path = field(default=SOURCE, kw_only=True)
    process_type: Callable[..., BaseProcess] = field(
        default=get_context("spawn").Process, kw_only=True
    )
    _stop: Event = field(factory=Event, init=False)
    _process: BaseProcess | None = field(default=None, init=False)
    _stamps: list[object] = field(factory=list[object], init=False)

    def run(self) -> None:
        """Run the process until SIGINT, SIGTERM or SIGHUP."""
        with _set_on_signals(self._stop):
            self._start()
            try:
                self._restart_on_changes()
            finally:
                self._end()

    def _restart_on_changes(self) -> None:
        for changes in watch(
            self.source,
            watch_filter=_is_source,
            stop_event=self._stop,
            rust_timeout=POLL_INTERVAL,
            yield_on_timeout=True,
        ):
            if changes or self._stamps != self._read_stamps():
                self._end()
                self._start()
            elif self._process is not None and self._process.exitcode is not None:
                status = self._process.exitcode
                self.report(f"the mock ended with status {status}; it restarts on the next change")
                self._process = None

    def _start(self) -> None:
        self._stamps = self._read_stamps()
        process = self.process_type(target=self._function, args=self._arguments, daemon=True)
        process.start()
        self._process = process

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        self._process.join(STOP_TIMEOUT)
        self._process.kill()
        self._process.join()
        self._process = None

    def _read_stamps(self) -> list[object]:
        return [_read_stamp(path) for path in self.files]


def _read_stamp(path: str) -> object:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _is_source(_change: Change, path: str) -> bool:
    return path.endswith(SOURCE_SUFFIXES)


@contextmanager
def _set_on_signals(stop: Event) -> Generator[None]:
    """Set the event at a signal that asks to stop; restore the handlers at the end."""
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in STOP_SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
