from __future__ import annotations

import anyio
import pytest

from oxaigen_auth_load.events.samples import Sample
from oxaigen_auth_load.events.stampede import Stampede
from tests.support.virtual_time import new_event_loop
from tests.unit.oxaigen_auth_load.events.test_samples import samples_of

EVENT = Stampede(ttl=4.0)


def test_the_expiry_is_compared_with_the_time_before_it() -> None:
    samples = samples_of(
        Sample(0.0, 0.0, 0.9, 0, "accepted", "a"),  # the start
        Sample(2.0, 2.0, 2.1, 0, "accepted", "a"),
        Sample(4.5, 4.5, 5.0, 0, "accepted", "a"),
        Sample(4.6, 4.6, 4.7, 1, "accepted", "a"),
        Sample(4.7, 4.7, 4.8, 2, "rejected", "a"),
        Sample(7.0, 7.0, 7.9, 3, "accepted", "a"),  # later
    )
    facts = {"from": 3.0, "to": 6.0, "calls_from": 10.0, "calls_to": 13.0}
    report = EVENT.report(samples, facts, ())
    assert report["before_p99"] == pytest.approx(0.1, rel=0.01)
    assert report["expiry_p99"] == pytest.approx(0.5, rel=0.01)
    assert (report["upstream_calls"], report["upstream_calls_per_token"]) == (3, 1.5)
    assert report["event"]["tokens"] == 2
    assert not EVENT.allows_rejection(0, 4.0)


def test_without_a_mock_the_calls_are_unknown() -> None:
    facts = dict[str, float]()

    async def run() -> None:
        await EVENT.run((), facts, anyio.current_time)

    anyio.run(run, backend_options={"loop_factory": lambda: new_event_loop(start=0.0)})
    assert (facts["from"], facts["to"]) == pytest.approx((3.0, 6.0), abs=0.1)
    report = EVENT.report(samples_of(), facts, ())
    assert (report["upstream_calls"], report["upstream_calls_per_token"]) == (None, None)
    assert (report["before_p99"], report["expiry_p99"]) == (None, None)
