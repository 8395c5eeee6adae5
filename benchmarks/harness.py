"""Figures, rounds and ratios. Knows nothing of what is measured, nor how it is printed.

Whatever else the machine does slows both sides of a ratio down, because their rounds alternate;
the median leaves out the rounds that were hit on one side only.
"""

from __future__ import annotations

import gc
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import anyio
from attrs import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


class NotMeasuredError(Exception):
    """Something that a figure needs is not here. The message says what."""


@frozen
class Figure:
    """One value per round, and what their median is to be; without a target: information only.

    Without values it was not measured, for this `reason`. A `note` says what differs from run to
    run, as the name must not.
    """

    name: str
    values: tuple[float, ...] = ()
    at_most: float | None = None
    at_least: float | None = None
    digits: int = 2
    reason: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return "" if self.at_least is None else f"≥ {self.at_least:g}"

    @property
    def missed(self) -> bool:
        if not self.values:
            return False
        low = self.at_least is not None and self.median < self.at_least
        high = self.at_most is not None and self.median > self.at_most
        return low or high

    @property
    def verdict(self) -> str:
        if not self.values:
            return f"not measured: {self.reason}"
        if not self.target:
            return ""
        return "MISSED" if self.missed else "met"


def measured(
    figures: Iterable[Figure], measure: Callable[[], Iterable[tuple[float, ...]]]
) -> list[Figure]:
    """Return the figures with the values that `measure` gives for each, or its reason why not."""
    try:
        return [evolve(f, values=v) for f, v in zip(figures, measure(), strict=True)]
    except NotMeasuredError as error:
        return [evolve(f, reason=str(error)) for f in figures]


async def alternate(rounds: int, *runs: Callable[[], Awaitable[float]]) -> list[list[float]]:
    """Call every run once per round; return each one's measurements, round by round.

    Every other round goes backwards, so that nobody always follows the same neighbour.
    """
    measured: list[list[float]] = [[] for _ in runs]
    order = list(range(len(runs)))
    for _ in range(rounds):
        for which in order:
            gc.collect()
            measured[which].append(await runs[which]())
        order.reverse()
    return measured


def alternate_calls(rounds: int, *runs: Callable[[], float]) -> list[list[float]]:
    """Do the same with runs that need no event loop."""

    async def call(run: Callable[[], float]) -> float:
        return run()

    async def call_all() -> list[list[float]]:
        return await alternate(rounds, *(partial(call, run) for run in runs))

    return anyio.run(call_all)


def ratios(above: Iterable[float], below: Iterable[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(above, below, strict=True))
