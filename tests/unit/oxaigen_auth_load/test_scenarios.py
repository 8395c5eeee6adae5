from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxaigen_auth_load.plan import Plan, PlanError
from oxaigen_auth_load.scenarios import (
    MAX_LOOKUPS,
    Stage,
    assign_tokens,
    burst,
    closed,
    ramp,
    replay,
    stages,
    steady,
)
from oxaigen_auth_load.tokens import TokenMix, make_tokens

if TYPE_CHECKING:
    from pathlib import Path

seeds = st.integers(0, 10_000)


def test_a_burst_starts_all_at_once() -> None:
    assert burst(3) == [0, 0, 0]


@pytest.mark.parametrize("number", [0, MAX_LOOKUPS + 1])
def test_a_load_is_neither_nothing_nor_endless(number: int) -> None:
    with pytest.raises(PlanError, match="a load has 1 to 1,000,000"):
        burst(number)
    with pytest.raises(PlanError, match="a load has 1 to 1,000,000"):
        steady(number / 10, 10, Random(1))


@given(seeds)
def test_arrivals_are_in_order_within_their_time_and_equal_for_equal_seeds(seed: int) -> None:
    starts = steady(50, 4, Random(seed))
    assert starts == sorted(starts) == steady(50, 4, Random(seed))
    assert all(0 < start < 4 for start in starts)


def test_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    counts = [len(steady(100, 1, Random(seed))) for seed in range(400)]
    mean = sum(counts) / len(counts)
    assert 97 < mean < 103
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert 70 < variance < 130  # equal to the mean, as no other process has it


def test_a_ramp_changes_the_rate_evenly() -> None:
    starts = ramp(0, 1000, 10, Random(1))
    first, last = (sum(low <= s < low + 5 for s in starts) for low in (0, 5))
    assert 4700 < len(starts) < 5300
    assert 2.7 < last / first < 3.3
    falling = ramp(1000, 0, 10, Random(1))
    assert sum(s < 5 for s in falling) > 2 * sum(s >= 5 for s in falling)


@given(st.integers(1, 50), st.integers(1, 200), seeds)
def test_evenly_spread_tokens_are_all_used_if_they_can_be(
    distinct: int, lookups: int, seed: int
) -> None:
    plan = assign_tokens("burst", burst(lookups), TokenMix(distinct=distinct), Random(seed))
    assert all(0 <= number < distinct for number in plan.tokens)
    assert plan.used() == min(distinct, lookups) or lookups < distinct


def test_skewed_tokens_follow_zipf() -> None:
    plan = assign_tokens("burst", burst(100_000), TokenMix(distinct=100, zipf=1.0), Random(1))
    first, second, tenth = (plan.tokens.count(number) for number in (0, 1, 9))
    assert 1.8 < first / second < 2.2
    assert 9 < first / tenth < 11


@given(st.integers(0, 20), seeds)
def test_the_plan_has_the_requested_number_of_invalid_tokens(invalid: int, seed: int) -> None:
    plan = assign_tokens("burst", burst(5), TokenMix(distinct=20, invalid=invalid), Random(seed))
    assert len(plan.invalid) == invalid
    assert plan.invalid <= set(range(20))


def test_the_greatest_skew_uses_the_first_token_only() -> None:
    plan = assign_tokens("burst", burst(50), TokenMix(distinct=20, zipf=1e9), Random(1))
    assert set(plan.tokens) == {0}


def test_an_impossible_plan_is_refused() -> None:
    with pytest.raises(PlanError, match="4 of 3 tokens cannot be invalid"):
        assign_tokens("burst", burst(5), TokenMix(distinct=3, invalid=4), Random(1))
    with pytest.raises(PlanError, match="no lookup would start"):
        assign_tokens("steady", [], TokenMix(distinct=3), Random(1))


def file_with(folder: Path, text: str) -> Path:
    path = folder / "day.csv"
    path.write_text(text, "utf-8")
    return path


def test_a_file_is_replayed_in_the_order_of_its_seconds(tmp_path: Path) -> None:
    path = file_with(tmp_path, "# second,token\n1.5,ada\n\n0.25 bob\n2,ada\n")
    plan = replay(path, 1, Random(1))
    assert list(plan.starts) == [0.25, 1.5, 2]
    assert list(plan.tokens) == [0, 1, 1]
    assert (plan.distinct, plan.used(), plan.seconds, len(plan.invalid)) == (2, 2, 2, 1)
    assert [plan.used(lookups) for lookups in range(4)] == [0, 1, 2, 2]


def test_pitfall_59_a_file_that_begins_with_a_byte_order_mark_is_replayed(tmp_path: Path) -> None:
    plan = replay(file_with(tmp_path, "\ufeff0.25,bob\n1,ada\n"), 0, Random(1))
    assert (list(plan.starts), plan.distinct) == ([0.25, 1], 2)


@pytest.mark.parametrize(
    "line", ["eve", "x,eve", "-1,eve", "1,eve,eve", "nan,eve", "inf,eve", "1764220800,eve"]
)
def test_a_wrong_line_is_named_by_its_number_and_not_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(PlanError, match=r"^line 2 is not a start in seconds and a name") as caught:
        replay(file_with(tmp_path, f"0,bob\n{line}\n"), 0, Random(1))
    assert "eve" not in str(caught.value)


def test_a_file_without_a_line_or_with_too_few_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="1 to 1,000,000"):
        replay(file_with(tmp_path, "# nothing\n"), 0, Random(1))
    with pytest.raises(PlanError, match=r"day\.csv has 1 tokens; 2 of them cannot be invalid"):
        replay(file_with(tmp_path, "0,ada\n"), 2, Random(1))


def test_stages_follow_each_other() -> None:
    starts = stages([Stage(5, 100, 100), Stage(5, 0, 0), Stage(10, 0, 200)], Random(1))
    assert starts == sorted(starts)
    first, pause, rising = (
        sum(low <= start < high for start in starts) for low, high in ((0, 5), (5, 10), (10, 20))
    )
    assert 400 < first < 600
    assert pause == 0
    assert 850 < rising < 1150
    with pytest.raises(PlanError, match="1 to 1,000,000"):
        stages([Stage(1, 0, 0)], Random(1))


def test_a_closed_load_repeats_its_tokens() -> None:
    plan = closed(5, 2.0, TokenMix(distinct=20, invalid=3), Random(1))
    assert (plan.connections, plan.seconds, plan.lookups, plan.is_open) == (5, 2.0, None, False)
    assert set(plan.tokens) == set(range(20))
    assert len(plan.invalid) == 3
    assert (plan.used(), plan.used(1)) == (20, 1)


@settings(max_examples=20)  # a closed load draws many tokens
@given(st.integers(1, 7), st.lists(st.floats(0, 9), min_size=1, max_size=30).map(sorted))
def test_the_parts_of_a_plan_have_each_lookup_once(number: int, starts: list[float]) -> None:
    plan = Plan("steady", starts, list(range(len(starts))), len(starts))
    parts = plan.parts(number)
    assert sorted(token for part in parts for token in part.tokens) == list(plan.tokens)
    assert sorted(start for part in parts for start in part.starts) == starts
    assert {(part.seconds, part.interval) for part in parts} == {(plan.seconds, plan.interval)}
    connections = closed(30, 1.0, TokenMix(distinct=1), Random(1)).parts(number)
    assert sum(part.connections for part in connections) == 30


def test_a_warmup_leaves_the_first_lookups_out() -> None:
    plan = Plan("steady", [0.1, 0.5, 1.0, 2.0], [0, 1, 2, 3], 4, warmup=1.0)
    assert (plan.warmup_lookups, plan.lookups) == (2, 2)
    assert (plan.used(), plan.used(1)) == (2, 1)


@pytest.mark.parametrize(
    ("seconds", "interval"), [(0.0, 0.001), (0.02, 0.001), (1, 0.008), (10, 0.064), (3600, 32.768)]
)
def test_the_time_line_of_a_plan_has_few_intervals(seconds: float, interval: float) -> None:
    assert Plan("steady", [seconds], [0], 1).interval == pytest.approx(interval)


def test_given_tokens_are_used_and_too_few_are_refused() -> None:
    plan = Plan("steady", [0.0], [0], 3, frozenset({1}))
    assert make_tokens(plan, 7, ["a", "b", "c"]) == ["a", "invalid-token-1", "b"]
    assert make_tokens(plan, 7, None) == ["load-token-7-0", "invalid-token-1", "load-token-7-1"]
    with pytest.raises(PlanError, match="has 1 tokens, but 2 are needed"):
        make_tokens(plan, 7, ["a"])
