"""The part of a mock's control that plays scenarios."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import define

from oxaigen_auth_mock import playback
from oxaigen_auth_mock.config.scenarios import find_scenario
from oxaigen_auth_mock.config.validation_errors import format_path
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.personas.store import UnknownPersonaError
from oxaigen_auth_mock.scenarios.builtin import ready_scenarios
from oxaigen_auth_mock.scenarios.model import Scenario, Step
from oxaigen_auth_mock.scenarios.play import ScenarioReport
from oxaigen_auth_mock.state import MockState


@define(eq=False)
class ScenarioControl:
    """Play scenarios on a running mock.

    >>> from oxaigen_auth_mock import create_app
    >>> mock = create_app().control
    >>> mock.play([{"at": 10, "revoke": "guest"}]).status
    'playing'
    >>> mock.advance(10)
    >>> mock.scenario().steps[0].status
    'running'
    >>> mock.stop_scenario()
    """

    state: MockState

    def play(
        self, scenario: str | Path | Scenario | Iterable[Step | Mapping[str, Any]]
    ) -> ScenarioReport:
        """Play a scenario from now on, in the time of the mock's clock, instead of another one.

        Args:
            scenario: the name of a ready one, the path of a file, or the steps, with the fields
                that they have in a file.

        Raises:
            UnknownScenarioError: no ready one has this name.
            MockConfigurationError: the file is invalid.
            ValidationError: a step is invalid.
            UnknownPersonaError: a step is for a persona that does not exist.
        """
        state = self._current
        if isinstance(scenario, str | Path):
            ready = ready_scenarios(state.personas)
            scenario = find_scenario(scenario, ready, state.personas.names)
        elif not isinstance(scenario, Scenario):
            scenario = Scenario.model_validate({"steps": list(scenario)})
        names = state.personas.names
        for location, name in scenario.unknown_personas(names):
            raise UnknownPersonaError(f"{format_path(location)}: {unknown_persona(name, names)}")
        return playback.start(state, scenario).report(state.clock.now())

    def stop_scenario(self) -> None:
        """End the scenario that plays, and undo its steps; do nothing without one."""
        playback.stop(self.state)

    def scenario(self) -> ScenarioReport | None:
        """Return how far the scenario is that plays, or how the last one was; None without one."""
        return playback.scenario_report(self._current)

    @property
    def _current(self) -> MockState:
        """The state, with the steps of a scenario that are due."""
        playback.catch_up(self.state)
        return self.state
