from __future__ import annotations

import pytest

from oxaigen_auth_load.events.outage import Outage, recovery
from oxaigen_auth_load.events.samples import Sample
from tests.unit.oxaigen_auth_load.events.test_samples import samples_of

OUTAGE = Outage(at=1.0, seconds=1.0, fault={"kind": "status"}, mock_url="")


@pytest.mark.parametrize(
    ("lookups", "seconds"),
    [
        ([(4.1, False), (9.0, False)], 0.0),
        ([(4.1, True), (4.5, False), (4.75, True), (4.8, False)], 0.75),
        ([(4.5, True), (4.6, False), (6.0, True), (6.1, False)], 0.5),  # a second without errors
        ([(4.25, True), (6.0, True), (6.1, False)], 2.0),  # a second without any lookup
        ([(5.0, False), (4.25, True)], 0.25),  # in any order
        ([(4.1, False), (4.5, True)], None),
        ([], None),
    ],
)
def test_an_app_has_recovered_after_the_last_error_before_a_second_without(
    lookups: list[tuple[float, bool]], seconds: float | None
) -> None:
    assert recovery(lookups, 4.0) == seconds


def test_users_count_as_cached_if_they_were_accepted_before_the_outage() -> None:
    samples = samples_of(
        Sample(0.5, 0.5, 0.6, 0, "accepted", "a"),
        Sample(0.5, 0.5, 0.6, 1, "rejected", "a"),
        Sample(0.9, 0.9, 1.5, 2, "accepted", "a"),  # too late
        Sample(1.1, 1.1, 1.2, 0, "accepted", "a"),
        Sample(1.2, 1.3, 1.4, 0, "status_502", "a"),
        Sample(1.2, 1.3, 1.9, 2, "status_502", "a"),
        Sample(2.1, 2.1, 2.2, 1, "rejected", "a"),
        Sample(2.5, 2.5, 2.6, 2, "accepted", "a"),
    )
    report = OUTAGE.report(samples, {"began": 1.0, "returned": 2.0, "calls": 7.0}, {1})
    assert report["cached_p99"] == pytest.approx(0.1, rel=0.01)
    assert (report["cached_errors"], report["event"]["cached_tokens"]) == (1, 1)
    assert (report["recovery"], report["calls_after_return"]) == (0.0, 7)
    assert not OUTAGE.allows_rejection(0, 1.5)
