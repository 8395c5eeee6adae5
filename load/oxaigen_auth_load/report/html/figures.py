"""The rows of the table of figures, which has a column for each run."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from oxaigen_auth_load.metrics import ERRORS, EVENT, LATENCY, LOAD, METRICS, SAVED, Metric
from oxaigen_auth_load.units import format_number, format_part, format_ratio, format_seconds

Run = Mapping[str, Any]
ERROR_LATENCY: Final = "Latency of errors"
DELAYS: Final = ("p50", "p99")  # of the generator


@frozen
class Row:
    """A figure of each run.

    Attributes:
        texts: a cell for each run.
        metric: its name in expectations.
        is_alert: cells other than zero are highlighted.
    """

    label: str
    texts: Sequence[str]
    metric: str = ""
    is_alert: bool = False


def figure_groups(runs: Sequence[Run], scenario: str) -> dict[str, list[Row]]:
    """Return the rows by heading, in the order of the page."""
    duration = Row("Duration", [format_seconds(run["seconds"]) for run in runs])
    unfinished = Row("Unfinished lookups", [format_number(run["unfinished"]) for run in runs])
    groups = {
        LOAD: [duration, *_metrics(LOAD, runs), unfinished],
        LATENCY: _metrics(LATENCY, runs),
        ERRORS: [*_metrics(ERRORS, runs), *_errors_by_kind(runs)],
        ERROR_LATENCY: _error_latencies(runs),
        SAVED: _metrics(SAVED, runs),
        EVENT: _metrics(EVENT, runs, scenario),
    }
    if not groups[EVENT]:
        del groups[EVENT]
    if not any(any(run["errors"].values()) for run in runs):
        del groups[ERROR_LATENCY]
    return groups


def generator_groups(runs: Sequence[Run]) -> dict[str, list[Row]]:
    """Return the rows on the generator of each run, by heading."""
    generators = [run["generator"] for run in runs]
    shares = [format_ratio(each["processor_share"]) for each in generators]
    return {
        "Lag of the event loop": _delays([each["loop_lag_seconds"] for each in generators]),
        "Delay between the intended and the real start": _delays(
            [run["send_delay_seconds"] for run in runs]
        ),
        "Resources": [
            Row("Share of a processor core", shares),
            Row("Most connections allowed", _counts(generators, "max_connections")),
            Row(
                "Lookups that waited for a connection",
                _counts(generators, "waited_for_connections"),
            ),
        ],
    }


def _delays(summaries: Sequence[Mapping[str, float | None]]) -> list[Row]:
    return [Row(name, [format_seconds(each[name]) for each in summaries]) for name in DELAYS]


def _counts(generators: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return [format_number(each[key]) for each in generators]


def kind_label(kind: str) -> str:
    """Return the label of a kind of error."""
    return kind.replace("_", " ").capitalize()


def _metrics(group: str, runs: Sequence[Run], scenario: str = "") -> list[Row]:
    return [
        Row(metric.label, [_format(metric, run) for run in runs], name)
        for name, metric in METRICS.items()
        if metric.group == group and metric.scenario == scenario
    ]


def _format(metric: Metric, run: Run) -> str:
    value = metric.read(run)
    return format_part(value, run["lookups"]) if metric.is_part else metric.format(value)


def _errors_by_kind(runs: Sequence[Run]) -> list[Row]:
    return [
        Row(
            kind_label(kind),
            [format_number(run["errors"].get(kind)) for run in runs],
            is_alert=True,
        )
        for kind in _keys(runs, "errors")
    ]


def _error_latencies(runs: Sequence[Run]) -> list[Row]:
    return [
        Row(name, [format_seconds(run["error_latency_seconds"].get(name)) for run in runs])
        for name in _keys(runs, "error_latency_seconds")
    ]


def _keys(runs: Sequence[Run], field: str) -> dict[str, None]:
    """Return the keys that any run has in a field, in the order of their first appearance."""
    return dict.fromkeys(key for run in runs for key in run[field])
