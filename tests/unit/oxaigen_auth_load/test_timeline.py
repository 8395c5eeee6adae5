from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth_load.timeline import MAX_INTERVALS, Interval, TimeLine, rounded_microseconds


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=50))
def test_a_report_has_every_event_and_few_intervals(times: list[float]) -> None:
    line = TimeLine()
    for time in times:
        line.at(time).arrivals += 1
        line.at(time).errors["timeout"] += 1
    report = line.report(counts_upstream=True)
    assert sum(report["arrivals"]) == sum(report["errors"]["timeout"]) == len(times)
    assert len(report["arrivals"]) == len(report["errors"]["timeout"]) <= MAX_INTERVALS
    assert not any(report["upstream_calls"])
    last = int(max(times) / report["interval_seconds"])
    assert report["arrivals"][last] > 0


def test_a_report_of_nothing_is_empty() -> None:
    report = TimeLine().report(counts_upstream=False)
    assert report["arrivals"] == report["in_flight"] == []
    assert (report["upstream_calls"], report["errors"]) == (None, {})
    assert TimeLine().max_in_flight() == 0
    assert TimeLine().queueing_from() is None


@given(st.floats(0, 100))
def test_a_rounded_latency_is_right_to_two_percent_and_never_zero(seconds: float) -> None:
    rounded = rounded_microseconds(seconds)
    assert rounded >= 1
    assert rounded == pytest.approx(max(1, seconds * 1e6), rel=0.016, abs=0.51)


def test_a_quantile_is_of_the_answers_of_an_interval() -> None:
    interval = Interval()
    assert interval.quantile(0.5) is None
    interval.latencies.update({rounded_microseconds(n / 1000): 1 for n in range(1, 101)})
    assert interval.quantile(0.5) == pytest.approx(0.05, rel=0.02)
    assert interval.quantile(0.99) == pytest.approx(0.099, rel=0.02)
    assert interval.quantile(1) == pytest.approx(0.1, rel=0.02)


def test_lookups_in_flight_are_those_sent_and_not_ended() -> None:
    line = TimeLine(0.001)
    line.at(0.0).sent += 3
    line.at(0.001).latencies[5] += 1
    line.at(0.002).errors["timeout"] += 2
    assert line.report(counts_upstream=False)["in_flight"] == [3, 2, 0]
    assert line.max_in_flight() == 3


def ramp(capacity: int, *, latency: float = 0.02, seconds: int = 20) -> TimeLine:
    """Arrivals from 10 to 200 a second at a server that answers at most `capacity` a second."""
    line, waiting = TimeLine(0.1), 0.0
    for number in range(seconds * 10):
        interval = line.at((number + 0.5) / 10)
        interval.arrivals = round(1 + number / (seconds * 10) * 19)
        waiting += interval.arrivals
        answered = int(min(waiting, capacity / 10))
        waiting -= answered
        interval.latencies[rounded_microseconds(latency + waiting / capacity)] += answered
    return line


def test_a_ramp_queues_from_where_completions_fall_behind_arrivals() -> None:
    start = ramp(capacity=100).queueing_from()
    assert start is not None
    assert 9.5 < start < 12  # 100 arrive per second at 9.5 s
    assert ramp(capacity=1000).queueing_from() is None


def test_many_lookups_in_flight_are_no_queue_if_the_latency_stays_the_same() -> None:
    line = TimeLine(0.1)
    for number in range(200):
        line.at((number + 0.5) / 10).arrivals += 1 + number // 10
        line.at((number + 10.5) / 10).latencies[1_000_000] += 1 + number // 10
    assert line.max_in_flight() == 0
    assert line.queueing_from() is None


def test_a_load_that_queues_from_its_first_interval_is_marked_there() -> None:
    line = TimeLine(0.1)
    for number in range(20):
        line.at((number + 0.5) / 10).arrivals += 500
    assert line.queueing_from() == pytest.approx(0, abs=0.11)
