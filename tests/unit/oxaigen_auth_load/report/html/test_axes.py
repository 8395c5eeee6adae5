"""The axes of plots."""

import doctest
from collections.abc import Sequence

import pytest

from oxaigen_auth_load.report.html import axes
from oxaigen_auth_load.report.html.axes import latency_axis, linear_axis, percentile_axis


def test_the_examples_in_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(axes)
    assert (failed, tried > 0) == (0, True)


def labels(ticks: Sequence[axes.Tick]) -> list[str]:
    return [tick.label.replace("\N{NO-BREAK SPACE}", " ") for tick in ticks]


def test_every_nine_has_the_same_length() -> None:
    axis = percentile_axis([0, 90, 99.9, 99.999, 100])
    places = {tick.label: tick.at for tick in axis.ticks}
    assert places["99"] - places["90"] == pytest.approx(places["99.999"] - places["99.99"])
    assert places["max"] == axis.place(100) == 100
    assert [tick.label for tick in axis.ticks if tick.spare] == ["50", "99.999"]


def test_latencies_of_one_decade_have_a_label_for_each_step() -> None:
    axis = latency_axis([0.021, 0.06])
    assert labels(axis.ticks) == ["20 ms", "50 ms", "100 ms"]
    assert axis.place(0.02) == 0
    assert axis.place(0.1) == pytest.approx(100)


def test_latencies_of_many_decades_have_one_for_each_decade() -> None:
    ticks = latency_axis([0.00001, 1]).ticks
    named = [label for label in labels(ticks) if label]
    assert named == ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"]


@pytest.mark.parametrize("latency", [0.0, 1.0, 1e-9, 0.01])
def test_a_single_latency_is_on_the_axis(latency: float) -> None:
    axis = latency_axis([latency])
    assert 0 <= axis.place(latency) <= 100
    assert len(axis.ticks) > 1


@pytest.mark.parametrize("highest", [0, 0.3, 1, 7, 10, 59, 600, 9999])
def test_a_linear_axis_has_few_ticks_and_room_for_the_highest(highest: float) -> None:
    axis = linear_axis("Per second", highest, ends_at_tick=True)
    assert 3 <= len(axis.ticks) <= 7
    assert axis.place(highest) <= 100
    assert axis.ticks[-1].at == pytest.approx(100)
