"""Expectations of a load, such as `p99 < 50ms`: read before it, held against it afterwards."""

from __future__ import annotations

import operator
import re
from sys import float_info
from typing import TYPE_CHECKING, Any

from attrs import frozen

from oxaigen_auth_load.report.units import SPACE, number, seconds, share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMES = ("p50", "p90", "p99", "p99.9", "max", "mean")
NUMBERS = (
    "throughput",
    "lookups",
    "accepted",
    "rejected",
    "errors",
    "error_rate",
    "cache_hits",
    "joined",
    "upstream_calls",
    "upstream_calls_per_token",
    "most_at_once",
)
_FORM = re.compile(
    r"\s*([a-z0-9_.]+)\s*(<=|>=|==|<|>)\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zµ\u03bc%]*)\s*"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_IN_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "µs": 1_000_000, "\u03bcs": 1_000_000}
MOST_DIGITS = 17  # that tell any two floats apart


@frozen
class Expectation:
    """What a figure is to be. `limit` is in seconds for times."""

    text: str
    name: str
    sign: str
    limit: float

    def check(self, figures: Mapping[str, float | None]) -> dict[str, Any]:
        """Return the figure, and whether it is as expected; one that is unknown is not.

        Of a latency, `figures` must have the numbers of lookups and errors as well.
        """
        value = figures[self.name]
        met = value is not None and _COMPARE[self.sign](value, self.limit)
        return {
            "text": self.text,
            "figure": self.name,
            "value": value,
            "met": met,
            "measured": self._measured(value, figures),
        }

    def _measured(self, value: float | None, figures: Mapping[str, float | None]) -> str:
        if self.name not in TIMES:
            return "unknown" if value is None else self._written(value)
        if value is None:
            return "no lookup was answered"
        lookups, errors = figures["lookups"] or 0, figures["errors"] or 0
        answers = f" over {lookups - errors:,} answers, without {errors:,} errors" if errors else ""
        return self._written(value) + answers

    def _written(self, value: float) -> str:
        """Write the figure with enough digits to tell it from the limit."""
        write = seconds if self.name in TIMES else share if self.name == "error_rate" else number
        texts = (
            write(value, digits)
            for digits in range(3, MOST_DIGITS)
            if write(value, digits) != write(self.limit, digits)
        )
        return next(texts, write(value)).replace(SPACE, " ")


def read_expectation(text: str) -> Expectation:
    """Read a name, a sign and a number, which for a time has a unit.

    Raises:
        ValueError: it says something else; the message names what may be said.

    >>> read_expectation("p99 < 50ms").limit
    0.05
    """
    match = _FORM.fullmatch(text)
    if match is None or match[1] not in (*TIMES, *NUMBERS):
        raise ValueError(
            f"{text!r} is no expectation such as 'p99 < 50ms'; the figures are "
            f"{', '.join((*TIMES, *NUMBERS))}, the signs {', '.join(_COMPARE)}, "
            "the units of times s, ms and us"
        )
    name, sign, digits, unit = match.groups()
    limit = float(digits) / _units_in_one(text, name, unit)
    if limit > (1 if name == "error_rate" else float_info.max):
        raise ValueError(f"{text!r}: {digits}{unit} is more than any {name} can be")
    return Expectation(" ".join(text.split()), name, sign, limit)


def _units_in_one(text: str, name: str, unit: str) -> int:
    """Return how many of the unit are a second, or 1 of something that has no unit."""
    if name in TIMES:
        known, wanted = _IN_A_SECOND, "a unit: s, ms or us"
    elif name == "error_rate":
        known, wanted = {"": 1, "%": 100}, "no unit, or %"
    else:
        known, wanted = {"": 1}, "no unit"
    if unit not in known:
        raise ValueError(f"{text!r}: {name} wants {wanted}")
    return known[unit]
