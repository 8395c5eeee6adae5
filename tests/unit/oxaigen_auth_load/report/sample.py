"""A report with the same numbers every time, made without a load."""

from collections.abc import Sequence
from random import Random
from typing import Any

INTERVAL = 0.1
UPSTREAM = 0.020


def sample_report() -> dict[str, Any]:
    """A client and the naive target, each with 5,000 lookups in ten seconds."""
    client = _client()
    p50, p99 = (client["latency_seconds"][name] for name in ("p50", "p99"))
    return {
        "version": 2,
        "tool": {
            "oxaigen_auth": "0.2.0",
            "python": "3.11.7",
            "http_library": "httpx2 2.1",
            "backend": "asyncio",
            "cpus": 2,
        },
        "started": "2026-11-24T02:40:00+00:00",
        "partial": None,
        "plan": {
            "scenario": "steady",
            "lookups": 5000,
            "seconds": 10.0,
            "tokens": 100,
            "zipf": 1.1,
            "invalid_tokens": 5,
            "seed": 1,
        },
        "target": "embedded mock, latency 20 ms",
        "runs": [client, _naive()],
        "expectations": [
            _checked("p50 < 1ms", p50, "20.8 µs", met=True),
            _checked("p99 < 25ms", p99, "32.8 ms over 4,997 answers, without 3 errors", met=False),
            _checked("errors == 0", 3, "3", met=False),
            _checked("upstream_calls_per_token < 2", 1.15, "1.15", met=True),
        ],
    }


def _checked(text: str, value: float, measured: str, *, met: bool) -> dict[str, Any]:
    figure = text.split(maxsplit=1)[0]
    given = {"text": text, "figure": figure, "value": value, "met": met, "measured": measured}
    return {"run": "client", **given}


def partial_report() -> dict[str, Any]:
    """A run of an app, without counts of its cache and upstream calls, stopped early."""
    report = sample_report()
    run = _client() | {"name": "app", "seconds": 3.2, "lookups": 1600}
    run |= dict.fromkeys(("cache_hits", "coalesced", "upstream_calls", "upstream_calls_per_token"))
    run["timeline"] = {
        key: value[:32] for key, value in run["timeline"].items() if key != "interval_seconds"
    }
    run["timeline"] |= {"interval_seconds": INTERVAL, "upstream_calls": None}
    return report | {"partial": "stopped after 3.2 s of 10 s", "runs": [run], "expectations": []}


def _client() -> dict[str, Any]:
    random = Random(1)
    hits = [random.lognormvariate(-11.3, 0.35) for _ in range(4700)]
    calls = [UPSTREAM + random.lognormvariate(-5.2, 0.9) for _ in range(300)]
    arrivals = [random.randint(42, 58) for _ in range(100)]
    upstream = [44, 17, 9, 6, 3, 2, *(int(random.random() < 0.4) for _ in range(94))]
    errors = [0] * 61 + [1, 2] + [0] * 37
    return _run("client", sorted(hits + calls), arrivals, upstream, errors) | {
        "cache_hits": 4700,
        "coalesced": 180,
        "max_concurrency": 64,
    }


def _naive() -> dict[str, Any]:
    random = Random(2)
    calls = [UPSTREAM + random.lognormvariate(-4.9, 0.8) for _ in range(5000)]
    arrivals = [random.randint(42, 58) for _ in range(100)]
    errors = [0] * 61 + [4, 13, 9] + [0] * 36
    return _run("naive", sorted(calls), arrivals, [0, *arrivals[:99]], errors) | {
        "cache_hits": 0,
        "coalesced": 0,
        "max_concurrency": 97,
    }


def _run(
    name: str,
    latencies: Sequence[float],
    arrivals: Sequence[int],
    upstream: Sequence[int],
    errors: Sequence[int],
) -> dict[str, Any]:
    marks = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
    return {
        "name": name,
        "seconds": 10.1,
        "lookups": len(latencies),
        "unfinished": 0,
        "throughput_per_second": (len(latencies) - sum(errors)) / 10.1,
        "latency_seconds": {
            **{mark: _at(latencies, percent) for mark, percent in marks.items()},
            "mean": sum(latencies) / len(latencies),
        },
        "error_latency_seconds": {**dict.fromkeys(marks, 0.5), "mean": 0.5},
        "notes": [],
        "distribution": [[percent, _at(latencies, percent)] for percent in _percentiles()],
        "errors": {"unavailable": sum(errors), "wrong_accept": 0},
        "accepted": len(latencies) - sum(errors) - 240,
        "rejected": 240,
        "upstream_calls": sum(upstream),
        "upstream_calls_per_token": sum(upstream) / 100,
        "timeline": {
            "interval_seconds": INTERVAL,
            "arrivals": list(arrivals),
            "upstream_calls": list(upstream),
            "errors": list(errors),
        },
    }


def _percentiles() -> list[float]:
    """Halve the rest in four steps each time, and include the named percentiles."""
    halves = [100 - 100 / 2 ** (step / 4) for step in range(49)]
    return sorted({*halves, 90.0, 99.0, 99.9, 100.0})


def _at(latencies: Sequence[float], percent: float) -> float:
    return latencies[min(len(latencies) - 1, int(len(latencies) * percent / 100))]
