"""A mock of the Oxaigen auth proxy for local development and tests."""

from oxaigen_auth_mock.app import MockApp, create_app
from oxaigen_auth_mock.config.settings import MockConfigurationError, MockSettings
from oxaigen_auth_mock.control import MockControl
from oxaigen_auth_mock.journal.journal import Call
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import NameTakenError, TokenTakenError, UnknownPersonaError
from oxaigen_auth_mock.scenarios.builtin import UnknownScenarioError
from oxaigen_auth_mock.scenarios.model import Scenario, Step
from oxaigen_auth_mock.scenarios.play import ScenarioReport
from oxaigen_auth_mock.snapshot import Snapshot
from oxaigen_auth_mock.testing import RunningMock, running_mock

__all__ = [
    "Call",
    "MockApp",
    "MockConfigurationError",
    "MockControl",
    "MockSettings",
    "NameTakenError",
    "Persona",
    "RunningMock",
    "Scenario",
    "ScenarioReport",
    "Snapshot",
    "Step",
    "TokenTakenError",
    "UnknownPersonaError",
    "UnknownScenarioError",
    "create_app",
    "running_mock",
]
