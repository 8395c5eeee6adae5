from __future__ import annotations

from typing import Any

import pytest

from oxaigen_auth_load.charts import Decades, Linear, Nines
from oxaigen_auth_load.page import page


def run_named(name: str, calls: list[int] | None) -> dict[str, Any]:
    total = None if calls is None else sum(calls)
    return {
        "name": name,
        "seconds": 1.0,
        "lookups": 6,
        "throughput_per_second": 6.0,
        "latency_seconds": dict.fromkeys(["p50", "p90", "p99", "p99.9", "max", "mean"], 0.012),
        "distribution": [(0.0, 0.0), (50.0, 0.01), (90.0, 0.2), (100.0, 1.5)],
        "accepted": 5,
        "rejected": 0,
        "errors": {"<script>": 1},
        "cache_hits": None,
        "joined": None,
        "upstream_calls": total,
        "upstream_calls_per_token": None if total is None else total / 2,
        "most_at_once": 3,
        "timeline": {
            "interval_seconds": 0.5,
            "arrivals": [4, 2],
            "upstream_calls": calls,
            "errors": [0, 1],
        },
    }


def report(*runs: dict[str, Any], partial: str | None = None) -> dict[str, Any]:
    return {
        "version": 1,
        "tool": {
            "oxaigen_auth": "1",
            "python": "3",
            "http_library": "httpx",
            "backend": "trio",
            "cpus": 2,
        },
        "started": "2026-01-02T03:04:05+00:00",
        "partial": partial,
        "plan": {
            "shape": "steady",
            "lookups": 6,
            "seconds": 1.0,
            "tokens": 2,
            "bad_tokens": 0,
            "zipf": 1.1,
            "seed": 1,
        },
        "target": 'app at http://x/?a=1&b="</script>"',
        "runs": list(runs),
        "expectations": [{"text": "p99 < 1ms", "value": 0.012, "met": False}] if partial else [],
    }


def test_a_page_shows_every_run_and_hides_what_is_unknown() -> None:
    shown = page(report(run_named("client", [2, 0]), run_named("naive", None)))
    assert shown.count("<svg") == 3
    assert shown.count("upstream calls</span>") == 1
    assert "unknown" in shown
    assert "12.00 ms" in shown
    assert "10 ms at 50 %" in shown
    assert "Partial" not in shown


def test_a_page_says_what_is_partial_and_what_failed() -> None:
    shown = page(report(run_named("app", None), partial="stopped after 6 of 9 lookups"))
    assert "<strong>Partial:</strong> stopped after 6 of 9 lookups." in shown
    assert '<li class="failed">failed: p99 &lt; 1ms (it was 12.00 ms)</li>' in shown


def test_nothing_of_a_report_becomes_markup() -> None:
    shown = page(report(run_named("<b>", [1, 1]), partial="<u>"))
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "<u>" not in shown


def test_a_run_without_a_lookup_has_a_page_too() -> None:
    run = run_named("client", [0])
    run |= {"lookups": 0, "distribution": [(0.0, 0.0), (100.0, 0.0)]}
    run["timeline"] |= {"arrivals": [], "errors": [], "upstream_calls": []}
    assert "<svg" in page(report(run))


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, ["0"]),
        (10, ["0", "2", "4", "6", "8", "10"]),
        (700, ["0", "200", "400", "600", "800"]),
        (0.9, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (12_000, ["0", "5,000", "10,000", "15,000"]),
    ],
)
def test_a_linear_axis_has_round_ticks(most: float, ticks: list[str]) -> None:
    axis = Linear(most)
    assert [text for _, text in axis.ticks()][: len(ticks)] == ticks
    assert [place for place, _ in axis.ticks()][-1] == 1
    assert axis.place(most) <= 1


def test_a_logarithmic_axis_has_a_tick_for_each_power_of_ten() -> None:
    axis = Decades(0.00005, 0.3)
    places, texts = zip(*axis.ticks(), strict=True)
    assert texts == ("10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s")
    assert list(places) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert axis.place(0) == 0


def test_an_axis_of_nines_is_as_far_from_90_to_99_as_from_99_to_99_9() -> None:
    axis = Nines(99.95)
    assert [text for _, text in axis.ticks()] == ["0 %", "50 %", "90 %", "99 %", "99.9 %"]
    assert axis.place(99) - axis.place(90) == pytest.approx(axis.place(99.9) - axis.place(99))
    assert axis.place(100) == 1
