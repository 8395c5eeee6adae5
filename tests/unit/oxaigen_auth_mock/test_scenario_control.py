from pathlib import Path

import pytest
from pydantic import ValidationError

from oxaigen_auth_mock import (
    MockApp,
    MockConfigurationError,
    MockSettings,
    Scenario,
    Step,
    UnknownPersonaError,
    UnknownScenarioError,
    create_app,
    running_mock,
)

REVOKED = {"at": 0, "revoke": "guest"}


@pytest.fixture
def app() -> MockApp:
    return create_app(MockSettings(), clock=lambda: 1000.0)


def test_a_scenario_is_a_name_a_file_steps_or_an_object(app: MockApp, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[steps]]\nat = 0\nrevoke = "guest"')
    step = Step(at=0, revoke="guest")
    for scenario, name in (
        ("flapping-proxy", "flapping-proxy"),
        (path, "mine"),
        (str(path), "mine"),
        ([REVOKED], "unnamed"),
        ([step], "unnamed"),
        (Scenario(name="other", steps=(step,)), "other"),
    ):
        assert app.control.play(scenario).name == name


def test_an_invalid_scenario_is_refused_and_the_one_that_plays_goes_on(
    app: MockApp, tmp_path: Path
) -> None:
    app.control.play([REVOKED])
    path = tmp_path / "bad.json"
    path.write_text('{"steps": []}')
    unknown = r"steps\[0\].revoke: no persona is called 'gest'; .* did you mean 'guest'"
    with pytest.raises(UnknownScenarioError, match="did you mean 'flapping-proxy'"):
        app.control.play("flaping-proxy")
    with pytest.raises(MockConfigurationError, match="steps is a list: expected at least one step"):
        app.control.play(path)
    with pytest.raises(ValidationError, match="found none"):
        app.control.play([{"at": 1}])
    with pytest.raises(UnknownPersonaError, match=unknown):
        app.control.play([{"at": 1, "revoke": "gest"}])
    report = app.control.scenario()
    assert report is not None
    assert (report.status, report.steps[0].status) == ("playing", "running")


def test_a_synchronous_test_plays_one() -> None:
    with running_mock() as mock:
        mock.play([REVOKED, {"at": 60, "fault": {"kind": "hang"}}])
        mock.advance(60)
        report = mock.scenario()
        assert report is not None
        assert [step.status for step in report.steps] == ["running", "running"]
        mock.stop_scenario()
        assert mock.snapshot().revoked == []
