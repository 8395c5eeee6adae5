"""From the body of an answer to a user, beside the published package's pydantic model."""

from __future__ import annotations

import json
from functools import partial
from time import process_time
from typing import TYPE_CHECKING

import anyio

from benchmarks.harness import Figure, alternate, measured, ratios
from benchmarks.insides import parser
from benchmarks.proxy_process import profile
from benchmarks.sides import both_sides

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.sides import Side

ROUNDS = 30
TIMES = 1000
FIGURES = (
    Figure("structure: profile ÷ published, less json.loads", at_most=0.5),
    Figure("structure: body ÷ published"),
)


def measure() -> list[Figure]:
    return measured(FIGURES, _measure)


def _measure() -> list[tuple[float, ...]]:
    with both_sides() as (ours, published):
        rounds = [
            partial(_round, *of) for of in ((ours, parse), (ours, decode), (published, parse))
        ]
        our, json_part, their = anyio.run(alternate, ROUNDS, *rounds)
    return [ratios(_less(our, json_part), _less(their, json_part)), ratios(our, their)]


async def _round(side: Side, function: Callable[[], float]) -> float:
    return float(side.call(function))


def _less(whole: list[float], part: list[float]) -> list[float]:
    return [a - b for a, b in zip(whole, part, strict=True)]


def parse() -> float:
    """Return the processor seconds that some bodies take to become users."""
    return _time(parser())


def decode() -> float:
    """Return the processor seconds that the same bodies take to be decoded."""
    return _time(json.loads)


def _time(function: Callable[[bytes], object]) -> float:
    bodies = [profile(number) for number in range(TIMES)]
    function(bodies[0])
    start = process_time()
    for body in bodies:
        function(body)
    return process_time() - start
