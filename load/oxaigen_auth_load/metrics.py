"""The metrics of a run, as `--expect`, the table and the page name and format them."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import frozen

from oxaigen_auth_load.units import NBSP, format_number, format_ratio, format_seconds

Unit = Literal["count", "seconds", "ratio"]

QUANTILES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9}
_FORMATS = {"count": format_number, "seconds": format_seconds, "ratio": format_ratio}


@frozen
class Metric:
    """One number of a run.

    Attributes:
        label: its name in the table and on the page.
        group: its heading on the page; "" if only `--expect` uses it.
        read: returns it from the report of a run, or None if it is unknown.
        unit: "seconds" for a latency of answers.
        is_part: whether it counts some of the lookups, and is shown with their percentage.
    """

    label: str
    group: str
    read: Callable[[Mapping[str, Any]], float | None]
    unit: Unit = "count"
    is_part: bool = False

    def format(self, value: float | None, digits: int = 3) -> str:
        return _FORMATS[self.unit](value, digits)


LOAD, LATENCY, ERRORS, SAVED = "Load", "Latency of answers", "Errors", "Work saved"


def _count(label: str, group: str, key: str, *, is_part: bool = False) -> Metric:
    return Metric(label, group, lambda run: run[key], is_part=is_part)


def _latency(name: str) -> Metric:
    return Metric(name, LATENCY, lambda run: run["latency_seconds"][name], "seconds")


def _errors(run: Mapping[str, Any]) -> int:
    return sum(run["errors"].values())


def _error_rate(run: Mapping[str, Any]) -> float | None:
    return _errors(run) / run["lookups"] if run["lookups"] else None


METRICS = {
    "lookups": _count("Lookups", LOAD, "lookups"),
    "throughput": _count("Answers per second", LOAD, "throughput_per_second"),
    "max_concurrency": _count("Maximum concurrency", LOAD, "max_concurrency"),
    **{name: _latency(name) for name in (*QUANTILES, "max", "mean")},
    "cache_hits": _count("Cache hits", SAVED, "cache_hits", is_part=True),
    "coalesced": _count("Coalesced lookups", SAVED, "coalesced", is_part=True),
    "upstream_calls": _count("Upstream calls", SAVED, "upstream_calls"),
    "upstream_calls_per_token": _count("… per token", SAVED, "upstream_calls_per_token"),
    "accepted": _count("Accepted", LOAD, "accepted", is_part=True),
    "rejected": _count("Invalid tokens rejected", LOAD, "rejected", is_part=True),
    "errors": Metric("Errors", ERRORS, _errors, is_part=True),
    "error_rate": Metric("Error rate", "", _error_rate, "ratio"),
}


def read_metrics(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the metrics of a run's report by name; None for unknown."""
    return {name: metric.read(run) for name, metric in METRICS.items()}


def format_figure(name: str, value: float | None) -> str:
    """Format a metric for the table, with words for an unknown value."""
    if value is None:
        return "no answer" if METRICS[name].unit == "seconds" else "unknown"
    return METRICS[name].format(value).replace(NBSP, " ")
