"""The format of numbers."""

import doctest

import pytest

from oxaigen_auth_load import units
from oxaigen_auth_load.units import UNKNOWN, format_seconds


def test_the_examples_in_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(units)
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (None, UNKNOWN),
        (0.9996, "1 s"),
        (2e-8, "20 ns"),
        (1e-12, "0.001 ns"),
        (90, "90 s"),
    ],
)
def test_durations_have_a_fitting_unit(value: float | None, text: str) -> None:
    assert format_seconds(value).replace("\N{NO-BREAK SPACE}", " ") == text
