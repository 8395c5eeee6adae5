"""A report with the same numbers every time, made without a load."""

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Any

INTERVAL = 0.1
UPSTREAM = 0.020


def sample_report() -> dict[str, Any]:
    """A client and the naive target, each with 5,000 lookups in ten seconds."""
    client = _client()
    p50, p99 = (client["latency_seconds"][name] for name in ("p50", "p99"))
    return {
        "version": 3,
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
            "warmup_seconds": 0.0,
            "tokens": 100,
            "invalid_tokens": 5,
            "zipf": 1.1,
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
    run["timeline"] = shortened(run["timeline"], 32) | {"upstream_calls": None}
    return report | {"partial": "stopped after 3.2 s of 10 s", "runs": [run], "expectations": []}


def shortened(line: Any, length: int) -> Any:
    """Shorten all lists of a time line."""
    if isinstance(line, dict):
        return {key: shortened(each, length) for key, each in line.items()}
    return line[:length] if isinstance(line, list) else line


def closed_report() -> dict[str, Any]:
    """A closed load, which has no planned number of lookups, with a warm-up of one second."""
    report = sample_report()
    report["plan"] |= {"scenario": "closed", "lookups": None, "warmup_seconds": 1.0}
    for run in report["runs"]:
        run["timeline"]["warmup_seconds"] = 1.0
    return report


def burst_report() -> dict[str, Any]:
    """A burst, which the client answers in 96 ms and the naive target in 800 ms."""
    report = sample_report()
    report["plan"] |= {"scenario": "burst", "lookups": 1000, "seconds": 0.0}
    for run, interval in zip(report["runs"], (0.001, 0.008), strict=True):
        arrivals, answers = [1000] + [0] * 99, [0] * 20 + [13] * 76 + [4, 4, 4, 0]
        run["timeline"] = _time_line(interval, arrivals, answers, arrivals, {})
    return report


def saturated_report() -> dict[str, Any]:
    """A ramp to 1,000 lookups per second: they queue from 8.5 s on, and there are many errors."""
    report = sample_report()
    report["plan"]["scenario"] = "ramp"
    run = report["runs"][0]
    arrivals = [step + 1 for step in range(100)]
    kinds = ("unavailable", "timeout", "wrong_accept", "disconnected")
    errors = {
        kind: [int(step % 4) * rank if step > 10 * rank else 0 for step in range(100)]
        for rank, kind in enumerate(kinds, 1)
    }
    ended = [min(85, count) for count in arrivals]
    answers = [all_ - sum(failed) for all_, *failed in zip(ended, *errors.values(), strict=True)]
    run["timeline"] = _time_line(INTERVAL, arrivals, answers, ended, errors)
    run["timeline"]["queueing_from_seconds"] = 8.5
    run["errors"] = {kind: sum(counts) for kind, counts in errors.items()}
    run["generator"] |= {
        "saturated": True,
        "reasons": [
            "1,204 lookups waited because all 64 connections were in use; raise --connections",
            "it used 98.2% of a processor core",
        ],
        "processor_share": 0.982,
        "max_connections": 64,
        "waited_for_connections": 1204,
    }
    return report


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
        "sent_before_first_end": 1,
        "throughput_per_second": (len(latencies) - sum(errors)) / 10.1,
        "latency_seconds": {
            **{mark: _at(latencies, percent) for mark, percent in marks.items()},
            "mean": sum(latencies) / len(latencies),
        },
        "error_latency_seconds": {**dict.fromkeys(marks, 0.5), "mean": 0.5},
        "send_delay_seconds": _summary(0.0004, 0.0021),
        "generator": {
            "saturated": False,
            "reasons": [],
            "loop_lag_seconds": _summary(0.0006, 0.0016),
            "processor_share": 0.34,
            "max_connections": None,
            "waited_for_connections": 0,
        },
        "notes": [],
        "distribution": [[percent, _at(latencies, percent)] for percent in _percentiles()],
        "errors": {"unavailable": sum(errors), "wrong_accept": 0},
        "answered": len(latencies) - sum(errors),
        "accepted": len(latencies) - sum(errors) - 240,
        "rejected": 240,
        "upstream_calls": sum(upstream),
        "upstream_calls_per_token": sum(upstream) / 100,
        "timeline": _time_line(
            INTERVAL,
            arrivals,
            [all_ - failed for all_, failed in zip(arrivals, errors, strict=True)],
            upstream,
            {"unavailable": list(errors)},
        ),
    }


def _time_line(
    interval: float,
    arrivals: Sequence[int],
    answers: Sequence[int],
    upstream: Sequence[int],
    errors: dict[str, list[int]],
) -> dict[str, Any]:
    ended = [sum(counts) for counts in zip(answers, *errors.values(), strict=True)]
    active = accumulate(new - old for new, old in zip(arrivals, ended, strict=True))
    backlog = [max(0, count) for count in active]
    p50 = [
        0.02 + waiting * interval / answered if answered else None
        for waiting, answered in zip(backlog, answers, strict=True)
    ]
    return {
        "warmup_seconds": 0.0,
        "queueing_from_seconds": None,
        "interval_seconds": interval,
        "arrivals": list(arrivals),
        "sent": list(arrivals),
        "answers": list(answers),
        "errors": errors,
        "in_flight": [late or new // 10 for late, new in zip(backlog, arrivals, strict=True)],
        "upstream_calls": list(upstream),
        "latency_seconds": {
            "p50": p50,
            "p99": [None if each is None else 1.5 * each for each in p50],
        },
    }


def _summary(p50: float, p99: float) -> dict[str, float]:
    return {"p50": p50, "p90": p99, "p99": p99, "p99.9": p99, "max": p99, "mean": p50}


def _percentiles() -> list[float]:
    """Halve the rest in four steps each time, and include the named percentiles."""
    halves = [100 - 100 / 2 ** (step / 4) for step in range(49)]
    return sorted({*halves, 90.0, 99.0, 99.9, 100.0})


def _at(latencies: Sequence[float], percent: float) -> float:
    return latencies[min(len(latencies) - 1, int(len(latencies) * percent / 100))]
