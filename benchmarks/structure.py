"""Structuring a profile into a user, compared with the published package's pydantic model."""

from __future__ import annotations

import json
from time import process_time
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Figure, alternate_calls, measured, ratios
from benchmarks.internals import parser, structurer
from benchmarks.package_process import both_packages
from benchmarks.proxy_process import profile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.package_process import PackageProcess

ROUNDS = 30
TIMES = 1000
FIGURES = (
    Figure("structure: profile ÷ published", at_most=0.5),
    Figure("structure: body, as JSON ÷ published"),
)


def measure() -> list[Figure]:
    return measured(FIGURES, _measure)


def _measure() -> list[tuple[float, ...]]:
    with both_packages() as (ours, published):
        our, their, our_whole, their_whole = alternate_calls(
            ROUNDS,
            lambda: _round(ours, structure),
            lambda: _round(published, structure),
            lambda: _round(ours, parse),
            lambda: _round(published, parse),
        )
    return [ratios(our, their), ratios(our_whole, their_whole)]


def _round(process: PackageProcess, function: Callable[[], float]) -> float:
    return float(process.call(function))


def structure() -> float:
    """Return the processor seconds of structuring `TIMES` decoded profiles."""
    return _time(structurer(), [json.loads(profile(number)) for number in range(TIMES)])


def parse() -> float:
    """Return the processor seconds of parsing and structuring the same profiles from bytes."""
    return _time(parser(), [profile(number) for number in range(TIMES)])


def _time(function: Callable[[Any], object], values: Sequence[Any]) -> float:
    function(values[0])
    start = process_time()
    for value in values:
        function(value)
    return process_time() - start
