"""Events of runs in virtual time, of which the first process carries them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anyio import sleep
from attrs import define, evolve, field

from oxaigen_auth_load.counts import Counts
from oxaigen_auth_load.events.event import EventError, Observation
from oxaigen_auth_load.events.samples import Sample
from oxaigen_auth_load.plan import Plan
from oxaigen_auth_load.runner import run_plan
from tests.support.virtual_time import anyio_backend  # noqa: F401 (a fixture)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from oxaigen_auth_load.events.samples import Samples

pytestmark = pytest.mark.anyio


@define(eq=False)
class SignOut:
    """From 1 s on the target rejects token 0; or the event fails."""

    fails: bool = False
    revoked: set[str] = field(factory=set[str])

    async def run(
        self, tokens: Sequence[str], facts: dict[str, float], elapsed: Callable[[], float]
    ) -> None:
        await sleep(1.0)
        if self.fails:
            raise EventError("the proxy could not be asked")
        self.revoked.add(tokens[0])
        facts["at"] = elapsed()

    def allows_rejection(self, token: int, ended: float) -> bool:
        return token == 0 and ended >= 1.0

    def report(
        self, samples: Samples, facts: Mapping[str, float], invalid: Collection[int]
    ) -> dict[str, Any]:
        return {"lookups": list(samples), "facts": dict(facts), "invalid": set(invalid)}


@define(eq=False)
class App:
    event: SignOut
    name: str = "app"
    max_connections: int = 0

    async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
        await sleep(0.01)
        on_sent()
        await sleep(0.02)
        return "rejected" if token in self.event.revoked else "accepted"

    def answered_by(self) -> str:
        return "worker 1"

    def upstream_calls(self) -> int | None:
        return None

    def waited(self) -> int:
        return 0

    async def counts(self) -> Counts:
        return Counts()


def plan_with(event: SignOut) -> Plan:
    return Plan("revoke", [0.5, 1.5, 1.6], [0, 0, 1], 2, frozenset({1}), event=event)


async def test_an_event_happens_beside_the_lookups_which_are_observed() -> None:
    event = SignOut()
    run = await run_plan(plan_with(event), ["one", "two"], App(event))
    assert run.is_complete
    assert run.observation is not None
    report = run.observation.report({1})
    assert report["facts"]["at"] == pytest.approx(1.0, abs=0.1)
    assert report["invalid"] == {1}
    observed = [(s.token, s.outcome, s.worker) for s in report["lookups"]]
    assert observed == [
        (0, "accepted", "worker 1"),
        (0, "rejected", "worker 1"),
        (1, "accepted", "worker 1"),
    ]
    first = report["lookups"][0]
    assert (first.intended, first.sent, first.ended) == pytest.approx((0.5, 0.51, 0.53), abs=1e-6)
    assert (run.recording.accepted, run.recording.rejected) == (1, 1)
    assert dict(run.recording.errors) == {"wrong_accept": 1}


async def test_an_event_that_fails_stops_the_load() -> None:
    event = SignOut(fails=True)
    run = await run_plan(plan_with(event), ["one", "two"], App(event))
    assert run.recording.lookups == 1
    assert not run.is_complete
    assert run.observation is not None
    assert run.observation.problem == "the proxy could not be asked"
    assert run.observation.report(()) == {}


async def test_a_load_ends_after_its_event() -> None:
    event = SignOut()
    run = await run_plan(evolve(plan_with(event), starts=[0.1], tokens=[0]), ["one"], App(event))
    assert run.observation is not None
    assert run.observation.has_ended
    assert event.revoked == {"one"}


async def test_only_the_first_process_carries_out_the_event_and_all_observe() -> None:
    event = SignOut()
    first, second = plan_with(event).parts(2)
    runs = [await run_plan(part, ["one", "two"], App(event)) for part in (second, first)]
    assert [run.observation is not None and run.observation.has_ended for run in runs] == [
        False,
        True,
    ]
    other, run = runs
    run.merge(other)
    assert run.observation is not None
    assert len(run.observation.report(())["lookups"]) == 3


async def test_processes_share_the_clock_of_the_machine() -> None:
    one, other = (Observation(SignOut(), origin=origin) for origin in (100.0, 100.5))
    other.samples.add(Sample(1.0, 1.0, 1.25, 0, "accepted", ""))
    one.merge(other)
    assert [sample[:3] for sample in one.samples] == [(1.5, 1.5, 1.75)]
