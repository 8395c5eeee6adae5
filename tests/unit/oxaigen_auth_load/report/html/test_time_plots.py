"""The plots of each run over time."""

from typing import Any

import pytest

from oxaigen_auth_load.report.html.plots import Plot
from oxaigen_auth_load.report.html.time_plots import time_plots
from tests.unit.oxaigen_auth_load.report.sample import (
    burst_report,
    closed_report,
    sample_report,
    saturated_report,
)


def plots(report: dict[str, Any]) -> dict[str, Plot]:
    found = time_plots(report["runs"], report["plan"]["scenario"])
    return {plot.title: plot for of_run in found for plot in of_run}


def names(plot: Plot) -> list[str]:
    return [each.name for each in plot.series]


def test_each_run_has_its_rates_errors_latencies_and_lookups_in_flight() -> None:
    assert list(plots(sample_report())) == [
        "Rates of client",
        "Errors of client",
        "Latency of client over time",
        "In flight of client",
        "Rates of naive",
        "Errors of naive",
        "Latency of naive over time",
        "In flight of naive",
    ]


def test_a_run_without_errors_has_no_plot_of_them() -> None:
    report = sample_report()
    report["runs"][0]["timeline"]["errors"] = {}
    assert "Errors of client" not in plots(report)
    assert "Errors of naive" in plots(report)


def test_without_runs_there_is_no_plot() -> None:
    assert time_plots([], "steady") == []


def test_rates_are_per_second() -> None:
    rates = plots(sample_report())["Rates of client"]
    assert names(rates) == ["Arrivals", "Answers", "Upstream calls"]
    assert [each.values[1] for each in rates.series] == pytest.approx([420, 420, 170])
    label, middle = rates.rows[1]
    assert (label, round(middle, 3)) == ("0.1\N{NO-BREAK SPACE}s", 0.15)


def test_plots_of_a_kind_have_the_same_scales() -> None:
    report = sample_report()
    report["runs"][0]["timeline"]["arrivals"][0] = 1000
    found = plots(report)
    for kind in ("Rates of {}", "Errors of {}", "Latency of {} over time", "In flight of {}"):
        client, naive = (found[kind.format(name)] for name in ("client", "naive"))
        assert (client.x.ticks, client.y.ticks) == (naive.x.ticks, naive.y.ticks)
    assert found["Rates of naive"].y.ticks[-1].label == "10,000"


def test_a_burst_shows_totals_over_a_time_of_its_own_in_milliseconds() -> None:
    found = plots(burst_report())
    client, naive = found["Totals of client"], found["Totals of naive"]
    assert client.x.title == "Time since the start (ms)"
    assert client.y.title == "Total until then"
    assert [client.x.ticks[-1].label, naive.x.ticks[-1].label] == ["100", "800"]
    assert client.rows[1] == ("1\N{NO-BREAK SPACE}ms", 1.5)
    arrivals, answers, _ = client.series
    assert set(arrivals.values) == {1000}
    assert answers.values[19:22] == [0, 13, 26]


def test_a_latency_has_a_gap_where_there_was_no_answer() -> None:
    report = sample_report()
    report["runs"][0]["timeline"]["latency_seconds"]["p50"][3:5] = [None, None]
    latency = plots(report)["Latency of client over time"]
    p50, p99 = latency.series
    assert (latency.path(p50).count("M"), latency.path(p99).count("M")) == (2, 1)
    assert latency.format_value(p50.values[3]) == "–"  # noqa: RUF001 - a dash is meant


def test_errors_are_stacked_with_the_most_frequent_kind_at_the_bottom() -> None:
    errors = plots(saturated_report())["Errors of client"]
    assert names(errors) == ["Unavailable", "Timeout", "Wrong accept", "Disconnected"]
    assert [each.values[43] for each in errors.series] == pytest.approx([30, 60, 90, 120])
    assert [each.tops[43] for each in errors.series] == pytest.approx([300, 270, 210, 120])


def test_a_kind_of_error_has_the_same_colour_in_all_runs() -> None:
    report = saturated_report()
    report["runs"][1]["timeline"]["errors"]["disconnected"] = [1] * 100
    found = plots(report)
    client, naive = (
        {each.name: each.css_class for each in found[f"Errors of {name}"].series}
        for name in ("client", "naive")
    )
    assert client["Disconnected"] == naive["Disconnected"] == "error-0"
    assert client["Unavailable"] == naive["Unavailable"]


def test_rare_kinds_of_errors_are_added_up() -> None:
    report = saturated_report()
    errors = report["runs"][0]["timeline"]["errors"]
    errors |= {f"rare_{number}": [1, *[0] * 99] for number in range(4)}
    top, *others = plots(report)["Errors of client"].series
    assert (top.name, top.css_class, top.values[0]) == ("Other errors", "error-other", 30)
    assert len(others) == 5


def test_rare_errors_are_drawn_large_enough_to_see() -> None:
    report = sample_report()
    errors = report["runs"][0]["timeline"]["errors"]
    errors["unavailable"] = [1, 10_000, *[0] * 98]
    plot = plots(report)["Errors of client"]
    assert plot.path(plot.series[0]).startswith("M0.00 100V97.00H1.00V100Z")
    assert plot.path(plot.series[0]).count("M") == 2


def test_the_warm_up_is_marked() -> None:
    for plot in plots(closed_report()).values():
        (mark,) = plot.marks
        assert (mark.css_class, mark.start, mark.end) == ("warmup", 0, 1)
        assert plot.rows[9][0].endswith(", warm-up")
        assert plot.rows[10][0] == "1\N{NO-BREAK SPACE}s"


def test_a_load_that_stopped_in_its_warm_up_is_marked_to_its_end() -> None:
    report = closed_report()
    for run in report["runs"]:
        run["timeline"]["warmup_seconds"] = 60.0
    (mark,) = plots(report)["Rates of client"].marks
    assert mark.end == pytest.approx(10)


def test_the_point_from_which_lookups_queue_is_marked_with_its_rate() -> None:
    found = plots(saturated_report())
    (mark,) = found["Latency of client over time"].marks
    assert (mark.name, mark.start) == ("Lookups queue from here: 860 per second", 8.5)
    assert found["Rates of naive"].marks == []


def test_the_scale_of_lookups_in_flight_has_whole_numbers() -> None:
    report = sample_report()
    for run in report["runs"]:
        run["timeline"]["in_flight"] = [0, 1] * 50
    assert [tick.label for tick in plots(report)["In flight of client"].y.ticks][:2] == ["0", "1"]
