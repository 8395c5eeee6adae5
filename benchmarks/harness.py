"""Figures, rounds and ratios.

The rounds of the two measurements of a ratio alternate, so that other work on the machine slows
both of them. The median ignores rounds in which only one of them was slowed.
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
    """A figure cannot be measured, because something is missing. The message says what."""


@frozen
class Figure:
    """The values of one measurement, one per round.

    Attributes:
        name: identifies the figure when two runs are compared.
        values: empty if the figure was not measured.
        at_most: the target for the median. Without a target, the figure is for information only.
        at_least: the same for figures of which more is better.
        digits: the number of decimal places to print.
        reason: why the figure was not measured.
        note: details that may differ from run to run.
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
    """Return the figures with the values that `measure` returns, or with its `NotMeasuredError`."""
    try:
        return [evolve(f, values=v) for f, v in zip(figures, measure(), strict=True)]
    except NotMeasuredError as error:
        return [evolve(f, reason=str(error)) for f in figures]


async def alternate(rounds: int, *runs: Callable[[], Awaitable[float]]) -> list[list[float]]:
    """Call each function once per round, and return the results of each function.

    The order is reversed after each round, so that no function always follows the same one.
    """
    measured: list[list[float]] = [[] for _ in runs]
    order = list(range(len(runs)))
    for _ in range(rounds):
        for index in order:
            gc.collect()
            measured[index].append(await runs[index]())
        order.reverse()
    return measured


def alternate_calls(rounds: int, *runs: Callable[[], float]) -> list[list[float]]:
    """Do the same as `alternate` with functions that need no event loop."""

    async def call(run: Callable[[], float]) -> float:
        return run()

    async def call_all() -> list[list[float]]:
        return await alternate(rounds, *(partial(call, run) for run in runs))

    return anyio.run(call_all)


def ratios(numerators: Iterable[float], denominators: Iterable[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(numerators, denominators, strict=True))
