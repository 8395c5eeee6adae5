"""From the body of an answer to a user, beside the published package's pydantic model."""

from __future__ import annotations

import json
from time import process_time
from typing import TYPE_CHECKING

import anyio

from benchmarks.harness import Figure, NotMeasuredError, alternate, ratios
from benchmarks.insides import parser
from benchmarks.proxy_process import profile
from benchmarks.sides import both_sides

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.sides import Side

ROUNDS = 30
TIMES = 1000
STRUCTURE = Figure("structure: profile ÷ published, less json.loads", at_most=0.5)
WHOLE = Figure("structure: body ÷ published")


def measure() -> list[Figure]:
    try:
        with both_sides() as (ours, published):
            return anyio.run(_measure, ours, published)
    except NotMeasuredError as error:
        return [STRUCTURE.missing(error), WHOLE.missing(error)]


async def _measure(ours: Side, published: Side) -> list[Figure]:
    async def our_parse() -> float:
        return float(ours.call(parse))

    async def our_json() -> float:
        return float(ours.call(decode))

    async def their_parse() -> float:
        return float(published.call(parse))

    our, our_part, their = await alternate(ROUNDS, our_parse, our_json, their_parse)
    our_rest = [whole - part for whole, part in zip(our, our_part, strict=True)]
    their_rest = [whole - part for whole, part in zip(their, our_part, strict=True)]
    return [STRUCTURE.of(ratios(our_rest, their_rest)), WHOLE.of(ratios(our, their))]


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
