"""Shows the progress of a run on stderr."""

from contextlib import ExitStack, suppress
from time import monotonic
from types import TracebackType
from typing import Self

from attrs import define, field
from rich import progress as rich_progress
from rich.console import Console

from oxaigen_auth_load.recorder import Progress

LINE_INTERVAL = 5.0  # seconds
MIN_BAR_WIDTH = 90  # columns of a terminal that has room for a bar


@define(eq=False)
class ProgressDisplay:
    """A progress bar in a terminal, removed at the end; elsewhere a line every few seconds.

    Attributes:
        total: the number of lookups; None if it is unknown.
    """

    name: str
    total: int | None
    _bar: rich_progress.Progress = field(init=False)
    _task: rich_progress.TaskID = field(init=False)
    _console: Console = field(alias="console", factory=lambda: Console(stderr=True))
    _exits: ExitStack = field(factory=ExitStack, init=False)
    _next_line: float = field(factory=lambda: monotonic() + LINE_INTERVAL, init=False)

    def __attrs_post_init__(self) -> None:
        bar = [rich_progress.BarColumn()] if self._console.width >= MIN_BAR_WIDTH else []
        self._bar = rich_progress.Progress(
            *bar,
            rich_progress.TextColumn("{task.description}"),
            rich_progress.TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(self.name, total=self.total)

    def show(self, progress: Progress) -> None:
        text = self._text(progress)
        self._bar.update(self._task, completed=progress.lookups, description=text)
        if self._bar.disable and monotonic() >= self._next_line:
            self._next_line = monotonic() + LINE_INTERVAL
            with suppress(OSError):
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _text(self, progress: Progress) -> str:
        of_all = "" if self.total is None else f" of {self.total:,}"
        return (
            f"{self.name}: {progress.lookups:,}{of_all}, {progress.errors:,} errors, "
            f"{progress.active:,} active"
        )

    def __enter__(self) -> Self:
        self._exits.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a closed terminal must not cost the results
            self._exits.close()
