from __future__ import annotations

import pytest

from oxaigen_auth_load.metrics import METRICS
from oxaigen_auth_load.thresholds import read_expectation


def measured(**figures: float | None) -> dict[str, float | None]:
    return {"lookups": 100, "errors": 0, **figures}


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
        ("p99<50ms", 0.049, True),
        (" p99  <  50 ms ", 0.05, False),
        ("p99 < .05s", 0.049, True),
        ("max < 2\u03bcs", 0.000001, True),
        ("p99 < 50ms", 0.049, True),
        ("p99 < 50ms", 0.05, False),
        ("p99.9<=1.5s", 1.5, True),
        ("max > 20 us", 0.00002, False),
        ("mean >= 20µs", 0.00002, True),
        ("upstream_calls_per_token <= 1", 1.0, True),
        ("upstream_calls_per_token <= 1", 1.01, False),
        ("errors == 0", 0, True),
        ("error_rate < 1%", 0.0099, True),
        ("throughput > 100", None, False),
    ],
)
def test_a_metric_meets_its_limit_or_not(text: str, value: float | None, *, met: bool) -> None:
    expectation = read_expectation(text)
    checked = expectation.check(measured(**{expectation.name: value}))
    assert checked["text"] == " ".join(text.split())
    assert (checked["figure"], checked["value"]) == (expectation.name, value)
    assert checked["met"] == met


@pytest.mark.parametrize(
    "text", ["", "p99", "p98 < 1ms", "p99 < ", "p99 ~ 1ms", "errors = 0", "p99 < -1ms", "p99<.s"]
)
def test_a_malformed_expectation_is_refused_with_all_names(text: str) -> None:
    with pytest.raises(ValueError, match="is not an expectation such as") as caught:
        read_expectation(text)
    assert all(name in str(caught.value) for name in METRICS)


@pytest.mark.parametrize("text", ["p99 < 50", "p99 < 50%", "p99 < 50m"])
def test_a_time_needs_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="p99 takes a unit: s, ms or us"):
        read_expectation(text)


@pytest.mark.parametrize("text", ["errors < 5ms", "errors < 5x", "errors < 5%"])
def test_a_number_must_have_no_unit(text: str) -> None:
    with pytest.raises(ValueError, match="errors takes no unit"):
        read_expectation(text)


def test_a_rate_may_be_a_percentage_and_has_no_other_unit() -> None:
    assert read_expectation("error_rate<=5%").limit == read_expectation("error_rate <= .05").limit
    with pytest.raises(ValueError, match="error_rate takes no unit, or %"):
        read_expectation("error_rate < 5ms")


@pytest.mark.parametrize("text", ["error_rate < 5", "error_rate < 101%", f"p99 < {'9' * 400}s"])
def test_a_limit_beyond_any_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is more than any"):
        read_expectation(text)


@pytest.mark.parametrize(
    ("text", "value", "formatted"),
    [
        ("p99<1us", 0.0000134, "13.4 µs"),
        ("p99 < 300ns".replace("300ns", "0.3us"), 0.00000041, "410 ns"),
        ("p99 < 50ms", 0.050004, "50.004 ms"),
        ("p99 < 50ms", 0.05, "50 ms"),
        ("p99 < 1ms", 1234.5, "1,234 s"),
        ("error_rate < 0.0001%", 0.0000012, "0.00012%"),
        ("upstream_calls_per_token <= 1", 1.0001, "1.0001"),
        ("throughput > 0.5", 0.4, "0.4"),
        ("errors == 0", 1234, "1,234"),
        ("cache_hits > 0", None, "unknown"),
    ],
)
def test_a_value_is_formatted_so_that_it_differs_from_its_limit(
    text: str, value: float | None, formatted: str
) -> None:
    expectation = read_expectation(text)
    assert expectation.check(measured(**{expectation.name: value}))["measured"] == formatted


@pytest.mark.parametrize("text", ["p99 < 2s", "p50 > 0s", "max >= 0s", "mean <= 1s"])
def test_pitfall_58_no_expectation_of_latency_is_met_without_an_answer(text: str) -> None:
    expectation = read_expectation(text)
    checked = expectation.check({expectation.name: None, "lookups": 50, "errors": 50})
    assert (checked["met"], checked["measured"]) == (False, "no lookup was answered")


def test_pitfall_58_an_expectation_of_latency_says_how_many_answers_it_is_about() -> None:
    checked = read_expectation("p99 < 2s").check({"p99": 0.012, "lookups": 1000, "errors": 50})
    assert checked["met"]
    assert checked["measured"] == "12 ms over 950 answers, without 50 errors"
