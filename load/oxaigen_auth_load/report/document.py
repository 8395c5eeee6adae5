"""The report of a load, which `--json` writes. Version 3.

Names include their units; `null` means unknown. No token is in it. `latency_seconds`,
`distribution` and `throughput_per_second` are of answers, `error_latency_seconds` is of errors;
`recorder.Recording` defines the two, and has most of the figures of a run.
"""

import os
import platform
from collections.abc import Iterator
from typing import Any

from attrs import asdict

from oxaigen_auth import __version__
from oxaigen_auth_load.http_library import LIBRARY
from oxaigen_auth_load.plan import Plan
from oxaigen_auth_load.recorder import Recording
from oxaigen_auth_load.runner import Run
from oxaigen_auth_load.units import format_seconds

VERSION = 3
RISING = ("ramp", "stages")  # scenarios with a rate that rises
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
        "lookups": plan.lookups,
        "seconds": plan.seconds,
        "warmup_seconds": plan.warmup,
        "tokens": plan.used(),
        "invalid_tokens": len(plan.invalid),
        **made_with,
    }


def run_report(name: str, plan: Plan, run: Run) -> dict[str, Any]:
    recording, calls = run.recording, run.counts.upstream_calls
    tokens = plan.used(recording.lookups + recording.active)
    counts_upstream = name != "app"  # its calls are counted at the end only
    return {
        "name": name,
        **recording.report(),
        **asdict(run.counts),
        "upstream_calls_per_token": calls / tokens if calls is not None and tokens else None,
        "generator": run.generator.report(recording, plan.scenario),
        "notes": list(_notes(plan, recording)),
        **({} if run.observation is None else run.observation.report(plan.invalid)),
        "timeline": {
            "warmup_seconds": plan.warmup,
            "queueing_from_seconds": recording.time_line.queueing_from()
            if plan.scenario in RISING
            else None,
            **recording.time_line.report(counts_upstream=counts_upstream),
        },
    }


def _notes(plan: Plan, recording: Recording) -> Iterator[str]:
    """Yield what a reader has to know of the figures."""
    delay = recording.send_delays.summary()["p99"]
    latency = recording.answer_latencies.summary()["p99"] or 0
    if plan.scenario == "closed":
        yield (
            "a closed load asks only after an answer, so that it hides how long others would have "
            "waited"
        )
    if plan.scenario == "burst":
        if recording.sent_before_first_end < recording.lookups:
            yield (
                f"{recording.sent_before_first_end:,} of {recording.lookups:,} lookups were sent "
                "before the first answer was read"
            )
    elif delay and delay >= max(MIN_NOTED_DELAY, MIN_NOTED_DELAY_RATIO * latency):
        yield (
            f"1 % of the lookups were sent {format_seconds(delay)} late or later; latencies "
            "include this delay"
        )
