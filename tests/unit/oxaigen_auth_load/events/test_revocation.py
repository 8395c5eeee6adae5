from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import current_time

from oxaigen_auth_load.events.event import EventError
from oxaigen_auth_load.events.revocation import Revocation
from oxaigen_auth_load.events.samples import Sample
from tests.unit.oxaigen_auth_load.events.test_samples import samples_of

if TYPE_CHECKING:
    from pathlib import Path

REVOCATION = Revocation(at=1.0, revoked=frozenset({0, 2}), command="false")
FACTS = {"asked": 1.0, "confirmed": 1.5}


def sample(sent: float, token: int, outcome: str, worker: str) -> Sample:
    return Sample(sent, sent, sent + 0.75, token, outcome, worker)


def test_accepts_are_stale_if_they_were_sent_after_the_confirmation() -> None:
    report = REVOCATION.report(
        samples_of(
            sample(1.25, 0, "accepted", "b"),  # ended after the confirmation, but sent before
            sample(1.75, 0, "accepted", "b"),
            sample(2.00, 0, "rejected", "b"),
            sample(2.50, 2, "accepted", "b"),
            sample(1.75, 1, "accepted", "a"),  # is not revoked
            sample(1.75, 0, "rejected", "a"),
            sample(1.80, 0, "timeout", ""),
        ),
        FACTS,
        (),
    )
    assert (report["stale_accepts"], report["stale_seconds"]) == (2, 1.0)
    assert report["event"]["workers"] == [
        {
            "worker": "a",
            "lookups": 1,
            "stale_accepts": 0,
            "stale_seconds": 0.0,
            "first_rejection_seconds": 0.25,
            "accepts_at_end": False,
        },
        {
            "worker": "b",
            "lookups": 3,
            "stale_accepts": 2,
            "stale_seconds": 1.0,
            "first_rejection_seconds": 0.5,
            "accepts_at_end": True,
        },
    ]
    assert report["event"]["description"] == (
        "2 tokens were revoked at 1.50 s, which took 500\N{NO-BREAK SPACE}ms"
    )


def test_without_a_lookup_after_the_confirmation_the_figures_are_unknown() -> None:
    report = REVOCATION.report(samples_of(sample(1.25, 0, "accepted", "a")), FACTS, ())
    assert (report["stale_accepts"], report["stale_seconds"]) == (None, None)


def test_a_revoked_token_may_be_rejected_from_the_revocation_on() -> None:
    allowed = [REVOCATION.allows_rejection(*each) for each in ((0, 0.9), (0, 1.0), (1, 1.0))]
    assert allowed == [False, True, False]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_command_gets_the_tokens_on_its_standard_input(tmp_path: Path, backend: str) -> None:
    path, facts = tmp_path / "given", dict[str, float]()
    command = f"{sys.executable} -c 'import sys; print(sys.argv[1:], sys.stdin.read())' > {path}"
    event = Revocation(at=0.0, revoked=frozenset({0, 2}), command=command)
    anyio.run(event.run, ["one", "two", "three"], facts, current_time, backend=backend)
    assert path.read_text() == "[] one\nthree\n\n"
    assert facts["asked"] < facts["confirmed"]


def test_a_command_that_fails_is_an_error_without_the_tokens() -> None:
    with pytest.raises(EventError, match=r"--on-event ended with status 1$"):
        anyio.run(REVOCATION.run, ["one", "two", "three"], {}, lambda: 1.0)
