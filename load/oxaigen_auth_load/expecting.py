"""Expectations of a load, such as `p99 < 50ms`: read before it, held against it afterwards."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from attrs import frozen

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
_FORM = re.compile(r"\s*([a-z0-9_.]+)\s*(<=|>=|==|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zµ%]*)\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_IN_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "µs": 1_000_000}


@frozen
class Expectation:
    """What a figure is to be. `limit` is in seconds for times."""

    text: str
    name: str
    sign: str
    limit: float

    def check(self, figures: Mapping[str, float | None]) -> dict[str, Any]:
        """Return the text, the figure, and whether it is as it should be; one unknown is not."""
        value = figures[self.name]
        met = value is not None and _COMPARE[self.sign](value, self.limit)
        return {"text": self.text, "value": value, "met": met}


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
            f"{', '.join((*TIMES, *NUMBERS))}, the signs {', '.join(_COMPARE)}"
        )
    name, sign, number, unit = match.groups()
    scale = (_IN_A_SECOND if name in TIMES else {"": 1, "%": 100}).get(unit)
    if scale is None:
        wanted = "a unit: s, ms or us" if name in TIMES else "no unit but %"
        raise ValueError(f"{text!r}: {name} wants {wanted}")
    return Expectation(" ".join(text.split()), name, sign, float(number) / scale)
