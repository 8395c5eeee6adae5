"""The report of a load, which `--json` writes. Version 2.

Names include their units; `null` means unknown. No token is in it. `latency_seconds`,
`distribution` and `throughput_per_second` are of answers, `error_latency_seconds` is of errors;
`recorder.Recording` defines the two, and has most of the figures of a run.
"""

import os
import platform
from collections.abc import Iterator
from typing import Any

from attrs import asdict
from attrs.filters import exclude

from oxaigen_auth import __version__
from oxaigen_auth_load.recorder import Recording
from oxaigen_auth_load.scenarios import Plan
from oxaigen_auth_load.targets import CONNECTIONS, LIBRARY, Counts
from oxaigen_auth_load.units import format_seconds

VERSION = 2
MIN_NOTED_DELAY = 0.005  # seconds
MIN_NOTED_DELAY_RATIO = 0.1  # of the latency


def tool(backend: str) -> dict[str, Any]:
    """Describe the software and the machine that the results depend on."""
    return {
        "oxaigen_auth": __version__,
        "python": platform.python_version(),
        "http_library": LIBRARY,
        "backend": backend,
        "cpus": os.cpu_count(),
    }


def plan_report(plan: Plan, **made_with: Any) -> dict[str, Any]:
    """Describe a plan, and the options that it was made with."""
    return {
        "scenario": plan.scenario,
        "lookups": len(plan.starts),
        "seconds": plan.seconds,
        "tokens": plan.used(),
        "invalid_tokens": len(plan.invalid),
        **made_with,
    }


def run_report(name: str, recording: Recording, counts: Counts, tokens: int) -> dict[str, Any]:
    """Report a run that looked up this many distinct tokens."""
    calls, line = counts.upstream_calls, recording.time_line
    # A target that counts its calls only at the end has none in the time line.
    timed = {"upstream_calls"} & line.counts.keys()
    return {
        "name": name,
        **recording.report(),
        **asdict(counts, filter=exclude("queued")),
        "upstream_calls_per_token": calls / tokens if calls is not None and tokens else None,
        "notes": list(_notes(recording, counts)),
        "timeline": {"upstream_calls": None, **line.report("arrivals", *timed, "errors")},
    }


def _notes(recording: Recording, counts: Counts) -> Iterator[str]:
    """Yield a note for each part of the latency that is due to the load tool itself."""
    delay = recording.start_delays.summary()["p99"]
    latency = recording.answer_latencies.summary()["p99"] or 0
    if delay and delay >= max(MIN_NOTED_DELAY, MIN_NOTED_DELAY_RATIO * latency):
        yield (
            f"1 % of the lookups started {format_seconds(delay)} late or later, because the load "
            "tool's process was busy; latencies include this delay"
        )
    if counts.queued:
        yield (
            f"{counts.queued:,} lookups waited for one of the load tool's own {CONNECTIONS} "
            "connections; latencies include this wait"
        )
