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
        is_part: whether it counts some of the lookups, and is shown with their percentage.
        scenario: the only one that has it; "" for all.
        unknown: the words for None.
    """

    label: str
    group: str
    read: Callable[[Mapping[str, Any]], float | None]
    unit: Unit = "count"
    is_part: bool = False
    scenario: str = ""
    unknown: str = "unknown"

    def format(self, value: float | None, digits: int = 3) -> str:
        return _FORMATS[self.unit](value, digits)


LOAD, LATENCY, ERRORS, SAVED = "Load", "Latency of answers", "Errors", "Work saved"
EVENT = "Event"


def _count(label: str, group: str, key: str, *, is_part: bool = False) -> Metric:
    return Metric(label, group, lambda run: run[key], is_part=is_part)


def _latency(name: str) -> Metric:
    return Metric(
        name, LATENCY, lambda run: run["latency_seconds"][name], "seconds", unknown="no answer"
    )


def _event(
    scenario: str, key: str, label: str, unit: Unit = "count", unknown: str = "unknown"
) -> Metric:
    return Metric(label, EVENT, lambda run: run.get(key), unit, scenario=scenario, unknown=unknown)


def _errors(run: Mapping[str, Any]) -> int:
    return sum(run["errors"].values())


def _error_rate(run: Mapping[str, Any]) -> float | None:
    return _errors(run) / run["lookups"] if run["lookups"] else None


METRICS = {
    "lookups": _count("Lookups", LOAD, "lookups"),
    "throughput": _count("Answers per second", LOAD, "throughput_per_second"),
    "max_concurrency": _count("Maximum in flight", LOAD, "max_concurrency"),
    **{name: _latency(name) for name in (*QUANTILES, "max", "mean")},
    "cache_hits": _count("Cache hits", SAVED, "cache_hits", is_part=True),
    "coalesced": _count("Coalesced lookups", SAVED, "coalesced", is_part=True),
    "upstream_calls": _count("Upstream calls", SAVED, "upstream_calls"),
    "upstream_calls_per_token": _count("… per token", SAVED, "upstream_calls_per_token"),
    "accepted": _count("Accepted", LOAD, "accepted", is_part=True),
    "rejected": _count("Invalid tokens rejected", LOAD, "rejected", is_part=True),
    "errors": Metric("Errors", ERRORS, _errors, is_part=True),
    "error_rate": Metric("Error rate", "", _error_rate, "ratio"),
    "stale_accepts": _event("revoke", "stale_accepts", "Stale accepts"),
    "stale_seconds": _event("revoke", "stale_seconds", "Last stale accept after", "seconds"),
    "recovery": _event("outage", "recovery", "Recovery after", "seconds", unknown="not recovered"),
    "calls_after_return": _event("outage", "calls_after_return", "Calls in the first second"),
    "cached_p99": _event(
        "outage", "cached_p99", "p99 of cached users", "seconds", unknown="no answer"
    ),
    "cached_errors": _event("outage", "cached_errors", "Errors of cached users"),
    "before_p99": _event(
        "stampede", "before_p99", "p99 before expiry", "seconds", unknown="no answer"
    ),
    "expiry_p99": _event(
        "stampede", "expiry_p99", "p99 around expiry", "seconds", unknown="no answer"
    ),
}


def read_metrics(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the metrics of a run's report by name; None for unknown."""
    return {name: metric.read(run) for name, metric in METRICS.items()}


def format_figure(name: str, value: float | None) -> str:
    """Format a metric for the table, with words for an unknown value."""
    if value is None:
        return METRICS[name].unknown
    return METRICS[name].format(value).replace(NBSP, " ")
