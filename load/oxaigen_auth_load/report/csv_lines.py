"""The time line of each run as CSV, which `--csv` writes: a row for each interval."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

COUNTS = ("arrivals", "sent", "answers", "in_flight", "upstream_calls")
QUANTILES = ("p50", "p99")


def time_line_csv(report: Mapping[str, Any]) -> str:
    """Return the lines; what is not known is empty, and all times are in seconds."""
    kinds = sorted({kind for run in report["runs"] for kind in run["timeline"]["errors"]})
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    latencies = (f"{name}_seconds" for name in QUANTILES)
    writer.writerow(["run", "from_seconds", *COUNTS, *latencies, *(f"error_{it}" for it in kinds)])
    for run in report["runs"]:
        writer.writerows(_rows(run, kinds))
    return text.getvalue()


def _rows(run: Mapping[str, Any], kinds: Sequence[str]) -> Iterator[list[Any]]:
    line = run["timeline"]
    for number in range(len(line["arrivals"])):
        counts = [line[name][number] if line[name] is not None else None for name in COUNTS]
        latencies = [line["latency_seconds"][name][number] for name in QUANTILES]
        errors = [line["errors"][kind][number] if kind in line["errors"] else 0 for kind in kinds]
        start = round(number * line["interval_seconds"], 6)
        yield [run["name"], start, *counts, *latencies, *errors]
