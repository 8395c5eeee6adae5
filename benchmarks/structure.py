"""From a decoded profile to a user, beside the published package's pydantic model."""

from __future__ import annotations

import json
from time import process_time
from typing import TYPE_CHECKING, Any

import anyio

from benchmarks.harness import Figure, alternate, measured, ratios
from benchmarks.insides import parser, structurer
from benchmarks.proxy_process import profile
from benchmarks.sides import both_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.sides import Side

ROUNDS = 30
TIMES = 1000
FIGURES = (
    Figure("structure: profile ÷ published", at_most=0.5),
    Figure("structure: body, as JSON ÷ published"),
)


def measure() -> list[Figure]:
    return measured(FIGURES, _measure)


def _measure() -> list[tuple[float, ...]]:
    with both_sides() as (ours, published):

        async def rounds() -> list[list[float]]:
            return await alternate(
                ROUNDS,
                lambda: _round(ours, structure),
                lambda: _round(published, structure),
                lambda: _round(ours, parse),
                lambda: _round(published, parse),
            )

        our, their, our_whole, their_whole = anyio.run(rounds)
    return [ratios(our, their), ratios(our_whole, their_whole)]


async def _round(side: Side, function: Callable[[], float]) -> float:
    return float(side.call(function))


def structure() -> float:
    """Return the processor seconds that some profiles take to become users."""
    return _time(structurer(), [json.loads(profile(number)) for number in range(TIMES)])


def parse() -> float:
    """Return the processor seconds that the same ones take from their bytes on."""
    return _time(parser(), [profile(number) for number in range(TIMES)])


def _time(function: Callable[[Any], object], values: Sequence[Any]) -> float:
    function(values[0])
    start = process_time()
    for value in values:
        function(value)
    return process_time() - start
