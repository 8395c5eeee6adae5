"""Expectations of a run's metrics, such as `p99 < 50ms`, for `--expect`."""

import operator
import re
from collections.abc import Callable, Mapping
from sys import float_info
from typing import Any

from attrs import frozen

from oxaigen_auth_load.metrics import LATENCY, METRICS, format_figure
from oxaigen_auth_load.units import NBSP

_SYNTAX = re.compile(
    r"\s*([a-z0-9_.]+)\s*(<=|>=|==|<|>)\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zµ\u03bc%]*)\s*"
)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
# The units of each kind of metric, and how many of them make one second, or 1.
_UNITS = {
    "seconds": {"s": 1, "ms": 1_000, "us": 1_000_000, "µs": 1_000_000, "\u03bcs": 1_000_000},
    "ratio": {"": 1, "%": 100},
    "count": {"": 1},
}
_UNITS_HELP = {"seconds": "a unit: s, ms or us", "ratio": "no unit, or %", "count": "no unit"}
MAX_DIGITS = 17  # enough to tell any two floats apart


@frozen
class Expectation:
    """A limit on a metric; that of a time is in seconds."""

    text: str
    name: str
    operator: str
    limit: float

    def check(self, metrics: Mapping[str, float | None]) -> dict[str, Any]:
        """Compare the metric with the limit; an unknown metric does not meet it.

        Args:
            metrics: the metric and, if it is a latency, `lookups` and `errors`.
        """
        value = metrics[self.name]
        met = value is not None and _OPERATORS[self.operator](value, self.limit)
        return {
            "text": self.text,
            "figure": self.name,
            "value": value,
            "met": met,
            "measured": self._measured(value, metrics),
        }

    def _measured(self, value: float | None, metrics: Mapping[str, float | None]) -> str:
        is_latency = METRICS[self.name].group == LATENCY
        if value is None:
            return "no lookup was answered" if is_latency else format_figure(self.name, None)
        lookups, errors = metrics["lookups"] or 0, metrics["errors"] or 0
        if is_latency and errors:
            answers = f"{lookups - errors:,} answers, without {errors:,} errors"
            return f"{self._format(value)} over {answers}"
        return self._format(value)

    def _format(self, value: float) -> str:
        """Format the value with enough digits to tell it from the limit."""
        format_value = METRICS[self.name].format
        texts = (
            format_value(value, digits)
            for digits in range(3, MAX_DIGITS)
            if format_value(value, digits) != format_value(self.limit, digits)
        )
        return next(texts, format_value(value)).replace(NBSP, " ")


def read_expectation(text: str) -> Expectation:
    """Parse a metric, an operator and a number, which for a time has a unit.

    Raises:
        ValueError: the text is something else; the message lists what is allowed.

    >>> read_expectation("p99 < 50ms").limit
    0.05
    """
    match = _SYNTAX.fullmatch(text)
    if match is None or match[1] not in METRICS:
        raise ValueError(
            f"{text!r} is not an expectation such as 'p99 < 50ms'; the metrics are "
            f"{', '.join(METRICS)}; the operators {', '.join(_OPERATORS)}; "
            "the units of times s, ms and us"
        )
    name, sign, digits, unit = match.groups()
    kind = METRICS[name].unit
    if unit not in _UNITS[kind]:
        raise ValueError(f"{text!r}: {name} takes {_UNITS_HELP[kind]}")
    limit = float(digits) / _UNITS[kind][unit]
    if limit > (1 if kind == "ratio" else float_info.max):
        raise ValueError(f"{text!r}: {digits}{unit} is more than any {name} can be")
    return Expectation(" ".join(text.split()), name, sign, limit)
