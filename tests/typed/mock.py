"""User code of tests with the mock; only type checkers read it."""

from __future__ import annotations

from typing import assert_type

from oxaigen_auth.dev import create_mock_app
from oxaigen_auth_mock import (
    Call,
    MockApp,
    MockControl,
    MockSettings,
    Persona,
    RunningMock,
    Scenario,
    ScenarioReport,
    Snapshot,
    Step,
    create_app,
    running_mock,
)

app = create_app(MockSettings(strict=True), personas=[Persona(name="ada")])
assert_type(app, MockApp)
assert_type(app.control, MockControl)
assert_type(create_mock_app(), MockApp)
assert_type(app.control.snapshot(), Snapshot)
assert_type(app.control.play([{"at": 1, "revoke": "ada"}]), ScenarioReport)
assert_type(app.control.play(Scenario(steps=(Step(at=1, revoke="ada"),))), ScenarioReport)
assert_type(app.control.play("flapping-proxy"), ScenarioReport)
assert_type(app.control.scenario(), ScenarioReport | None)


async def uses_the_mock() -> None:
    async with running_mock(personas=[Persona(name="ada")]) as mock:
        assert_type(mock, RunningMock)
        assert_type(mock.url, str)
        mock.add(Persona(name="eve"))
        assert_type(mock.calls(), tuple[Call, ...])


def uses_the_mock_in_a_thread() -> None:
    with running_mock() as mock:
        assert_type(mock, RunningMock)
