from __future__ import annotations

import pytest

from oxaigen_auth_load.expecting import NUMBERS, TIMES, read_expectation


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
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
def test_a_figure_is_as_expected_or_not(text: str, value: float | None, *, met: bool) -> None:
    expectation = read_expectation(text)
    checked = expectation.check({expectation.name: value})
    assert checked == {"text": " ".join(text.split()), "value": value, "met": met}


@pytest.mark.parametrize(
    "text", ["", "p99", "p98 < 1ms", "p99 < ", "p99 ~ 1ms", "errors = 0", "p99 < -1ms"]
)
def test_what_is_no_expectation_is_refused_with_all_names(text: str) -> None:
    with pytest.raises(ValueError, match="is no expectation such as") as caught:
        read_expectation(text)
    assert all(name in str(caught.value) for name in (*TIMES, *NUMBERS))


@pytest.mark.parametrize("text", ["p99 < 50", "p99 < 50%", "p99 < 50m"])
def test_a_time_wants_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="p99 wants a unit: s, ms or us"):
        read_expectation(text)


@pytest.mark.parametrize("text", ["errors < 5ms", "errors < 5x"])
def test_a_number_wants_none(text: str) -> None:
    with pytest.raises(ValueError, match="errors wants no unit but %"):
        read_expectation(text)
