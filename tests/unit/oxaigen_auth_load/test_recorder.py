from __future__ import annotations

import pickle

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from oxaigen_auth_load.metrics import QUANTILES
from oxaigen_auth_load.recorder import Progress, Recording


@define(eq=False)
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def recorded(latencies: list[float]) -> Recording:
    clock = Clock()
    recording = Recording(clock)
    for latency in latencies:
        clock.now = 100 + latency
        recording.begin(0.0)
        recording.end(0.0, "accepted", invalid=False)
    return recording


def test_quantiles_are_right_to_three_digits() -> None:
    latency = recorded([n / 1000 for n in range(1, 1001)]).answer_latencies.summary()
    assert set(latency) == {*QUANTILES, "max", "mean"}
    assert latency["p50"] == pytest.approx(0.5, rel=2e-3)
    assert latency["p90"] == pytest.approx(0.9, rel=2e-3)
    assert latency["p99"] == pytest.approx(0.99, rel=2e-3)
    assert latency["p99.9"] == pytest.approx(0.999, rel=2e-3)
    assert latency["max"] == pytest.approx(1.0, abs=1e-9)
    assert latency["mean"] == pytest.approx(0.5005, rel=2e-3)


def test_latency_counts_from_the_intended_start() -> None:
    clock = Clock()
    recording = Recording(clock)
    clock.now += 3
    recording.begin(1.0)
    clock.now += 0.5
    recording.end(1.0, "accepted", invalid=False)
    assert recording.answer_latencies.summary()["max"] == pytest.approx(2.5)


def test_a_distribution_ends_with_the_longest_and_never_falls() -> None:
    for number in (1, 2, 1000):
        distribution = recorded(
            [n / 1000 for n in range(1, number + 1)]
        ).answer_latencies.distribution()
        percentiles, latencies = zip(*distribution, strict=True)
        assert percentiles[-1] == 100
        assert latencies[-1] == pytest.approx(number / 1000)
        assert list(percentiles) == sorted(set(percentiles))
        assert list(latencies) == sorted(latencies)


@pytest.mark.parametrize(
    ("outcome", "invalid", "accepted", "rejected", "errors"),
    [
        ("accepted", False, 1, 0, {}),
        ("rejected", True, 0, 1, {}),
        ("accepted", True, 0, 0, {"wrong_accept": 1}),
        ("rejected", False, 0, 0, {"wrong_reject": 1}),
        ("unavailable", False, 0, 0, {"unavailable": 1}),
        ("unavailable", True, 0, 0, {"unavailable": 1}),
    ],
)
def test_an_outcome_is_judged_by_the_validity_of_its_token(
    outcome: str, *, invalid: bool, accepted: int, rejected: int, errors: dict[str, int]
) -> None:
    recording = Recording(Clock())
    recording.begin(0)
    recording.end(0, outcome, invalid=invalid)
    assert (recording.accepted, recording.rejected) == (accepted, rejected)
    assert dict(recording.errors) == errors
    assert (recording.answer_latencies.count, recording.error_latencies.count) == (
        recording.answered,
        recording.errors.total(),
    )


def test_pitfall_58_quick_errors_are_not_in_the_latencies_of_slow_answers() -> None:
    clock = Clock()
    recording = Recording(clock)
    for number in range(100):
        recording.begin(0)
        clock.now = 100.001 if number < 90 else 102
        recording.end(0, "unavailable" if number < 90 else "accepted", invalid=False)
    answers, errors = recording.answer_latencies.summary(), recording.error_latencies.summary()
    assert [answers["p50"], answers["mean"]] == pytest.approx([2, 2], rel=2e-3)
    assert [errors["p99"], errors["max"]] == pytest.approx([0.001, 0.001], rel=2e-3)
    assert recording.answer_latencies.distribution()[0] == pytest.approx((0, 2), rel=2e-3)


def test_without_answers_there_are_no_latencies() -> None:
    latencies = Recording(Clock()).answer_latencies
    assert set(latencies.summary().values()) == {None}
    assert latencies.distribution() == []


def test_pitfall_58_a_lookup_that_is_sent_late_is_recorded_as_such() -> None:
    clock = Clock()
    recording = Recording(clock)
    recording.begin(1.0)
    clock.now += 3
    recording.sent(1.0)
    assert recording.send_delays.summary()["max"] == pytest.approx(2)


def test_the_warmup_is_in_the_time_line_only() -> None:
    clock = Clock()
    recording = Recording(clock, warmup=1.0)
    for intended in (0.5, 1.5):
        clock.now = 100 + intended
        recording.begin(intended)
        recording.sent(intended)
        clock.now += 0.1
        recording.end(intended, "accepted", invalid=False)
    report = recording.report()
    assert (report["lookups"], report["answered"], report["unfinished"]) == (1, 1, 0)
    assert report["throughput_per_second"] == pytest.approx(1 / 0.6)
    assert recording.send_delays.count == recording.answer_latencies.count == 1
    intervals = recording.time_line.intervals.values()
    assert [sum(each.arrivals for each in intervals), sum(each.sent for each in intervals)] == [
        2,
        2,
    ]
    assert sum(each.answers for each in intervals) == 2


def test_a_lookup_of_the_warmup_that_ends_after_it_is_left_out() -> None:
    clock = Clock()
    recording = Recording(clock, warmup=1.0)
    recording.begin(0.5)
    recording.sent(0.5)
    clock.now += 3
    recording.end(0.5, "timeout", invalid=False)
    assert (recording.lookups, recording.active, dict(recording.errors)) == (0, 0, {})
    assert recording.report()["throughput_per_second"] == 0


def test_lookups_are_in_flight_from_when_they_are_sent_until_they_end() -> None:
    recording = Recording(Clock())
    for _ in range(3):
        recording.begin(0)
    assert (recording.active, recording.in_flight) == (3, 0)
    recording.sent(0)
    recording.sent(0)
    recording.end(0, "accepted", invalid=False)
    recording.sent(0)
    assert (recording.in_flight, recording.max_concurrency, recording.lookups) == (2, 2, 1)
    assert recording.sent_before_first_end == 2
    assert recording.progress() == Progress(lookups=1, errors=0, active=2)


def played(events: list[tuple[float, float, str]]) -> Recording:
    """Record lookups, each with its intended start, its latency and its outcome."""
    clock = Clock()
    recording = Recording(clock)
    for start, latency, outcome in events:
        clock.now = 100 + start
        recording.begin(start)
        recording.sent(start)
        clock.now += latency
        recording.end(start, outcome, invalid=False)
    return recording


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 1), st.floats(0, 10), st.sampled_from(["accepted", "rejected", "timeout"])
    ),
    max_size=8,
)


@settings(max_examples=10)  # a histogram takes milliseconds
@given(EVENTS, EVENTS)
def test_merged_recordings_of_two_processes_are_equal_to_one(
    one: list[tuple[float, float, str]], other: list[tuple[float, float, str]]
) -> None:
    merged = played(one)
    merged.merge(pickle.loads(pickle.dumps(played(other))))  # noqa: S301 (our own bytes)
    expected = played([*one, *other]).report()
    figures = merged.report()
    for measured_otherwise in ("max_concurrency", "sent_before_first_end", "throughput_per_second"):
        del figures[measured_otherwise], expected[measured_otherwise]
    assert figures == expected | {"seconds": pytest.approx(merged.seconds)}
    assert merged.time_line.report(counts_upstream=True) == (
        played([*one, *other]).time_line.report(counts_upstream=True)
    )
