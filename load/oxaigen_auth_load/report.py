"""The results of a load as one document, which is what `--json` writes. Version 1.

Names say their units; `null` stands for what is not known. Holds no token.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from oxaigen_auth import __version__
from oxaigen_auth_load.recording import QUANTILES
from oxaigen_auth_load.targets import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oxaigen_auth_load.plan import Plan
    from oxaigen_auth_load.recording import Recording
    from oxaigen_auth_load.targets import Counts

VERSION = 1


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
        "throughput_per_second": recording.lookups / seconds if seconds else 0.0,
        "latency_seconds": recording.latency(),
        "distribution": recording.distribution(),
        "accepted": recording.accepted,
        "rejected": recording.rejected,
        "errors": dict(recording.errors),
        "cache_hits": counts.cache_hits,
        "joined": counts.joined,
        "upstream_calls": calls,
        "upstream_calls_per_token": None if calls is None else calls / tokens,
        "most_at_once": recording.most_at_once,
        "timeline": {"upstream_calls": None, **line.report("arrivals", *known, "errors")},
    }


def figures(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers of a run by the names that `--expect` knows."""
    errors = sum(run["errors"].values())
    return {
        "throughput": run["throughput_per_second"],
        **{name: run["latency_seconds"][name] for name in (*QUANTILES, "max", "mean")},
        "errors": errors,
        "error_rate": errors / run["lookups"] if run["lookups"] else 0.0,
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
