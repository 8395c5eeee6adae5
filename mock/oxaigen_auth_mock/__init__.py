"""A stand-in for the Oxaigen auth proxy, for development and tests on this machine."""

from oxaigen_auth_mock.app import create_app
from oxaigen_auth_mock.personas import Persona
from oxaigen_auth_mock.settings import MockConfigurationError, MockSettings

__all__ = ["MockConfigurationError", "MockSettings", "Persona", "create_app"]
