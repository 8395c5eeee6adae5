"""The results of a load as one document, which is what `--json` writes. Version 1.

Names say their units; `null` stands for what is not known. Holds no token. `latency_seconds`,
`distribution` and `throughput_per_second` are of answers, `error_latency_seconds` is of errors;
`recording.Recording` says what an answer is.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from oxaigen_auth import __version__
from oxaigen_auth_load.recorder import QUANTILES
from oxaigen_auth_load.report.units import seconds
from oxaigen_auth_load.targets import CONNECTIONS, LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from oxaigen_auth_load.recorder import Recording
    from oxaigen_auth_load.scenarios import Plan
    from oxaigen_auth_load.targets import Counts

VERSION = 1
LATE = 0.1  # of the latency: a start delay that is worth a note
LEAST_LATE = 0.005  # seconds


def tool(backend: str) -> dict[str, Any]:
    """Tell with what was measured."""
    return {
        "oxaigen_auth": __version__,
        "python": platform.python_version(),
        "http_library": LIBRARY,
        "backend": backend,
        "cpus": os.cpu_count(),
    }


def plan_report(plan: Plan, **drawn: Any) -> dict[str, Any]:
    """Tell what was to be done; `drawn` is what it was drawn with."""
    return {
        "shape": plan.shape,
        "lookups": len(plan.starts),
        "seconds": plan.seconds,
        "tokens": plan.used,
        "bad_tokens": len(plan.bad),
        **drawn,
    }


def run_report(name: str, recording: Recording, counts: Counts, tokens: int) -> dict[str, Any]:
    """Tell what became of a plan that used so many tokens."""
    seconds, calls, line = recording.seconds, counts.upstream_calls, recording.time_line
    # Whoever knows the calls only in the end does not know when they were.
    known = {"upstream_calls"} & line.counts.keys()
    return {
        "name": name,
        "seconds": seconds,
        "lookups": recording.lookups,
        "unfinished": recording.at_once,
        "throughput_per_second": recording.answered / seconds if seconds else 0.0,
        "latency_seconds": recording.answer_latencies.summary(),
        "distribution": recording.answer_latencies.distribution(),
        "answered": recording.answered,
        "accepted": recording.accepted,
        "rejected": recording.rejected,
        "errors": dict(recording.errors),
        "error_latency_seconds": recording.error_latencies.summary(),
        "start_delay_seconds": recording.start_delays.summary(),
        "cache_hits": counts.cache_hits,
        "joined": counts.joined,
        "upstream_calls": calls,
        "upstream_calls_per_token": None if calls is None else calls / tokens,
        "most_at_once": recording.most_at_once,
        "notes": list(_notes(recording, counts)),
        "timeline": {"upstream_calls": None, **line.report("arrivals", *known, "errors")},
    }


def _notes(recording: Recording, counts: Counts) -> Iterator[str]:
    """Tell how much of the latency is due to the load tool itself."""
    delay, latency = recording.start_delays.summary()["p99"], recording.answer_latencies
    if delay and delay >= max(LEAST_LATE, LATE * (latency.summary()["p99"] or 0)):
        yield (
            f"1 % of the lookups started {seconds(delay)} late or later: the load's own process "
            "was busy; latencies include that"
        )
    if counts.waited:
        yield (
            f"{counts.waited:,} lookups waited for one of the load's own {CONNECTIONS} "
            "connections; latencies include that"
        )


def figures(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers of a run by the names that `--expect` knows."""
    errors = sum(run["errors"].values())
    return {
        "throughput": run["throughput_per_second"],
        **{name: run["latency_seconds"][name] for name in (*QUANTILES, "max", "mean")},
        "errors": errors,
        "error_rate": errors / run["lookups"] if run["lookups"] else None,
        **{
            name: run[name]
            for name in (
                "lookups",
                "accepted",
                "rejected",
                "cache_hits",
                "joined",
                "upstream_calls",
                "upstream_calls_per_token",
                "most_at_once",
            )
        },
    }
