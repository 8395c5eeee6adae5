"""Finds the scenario that a flag, a variable or a test names: a file, or a ready one."""

from collections.abc import Collection, Mapping
from pathlib import Path

from oxaigen_auth_mock.config.files import load_scenario
from oxaigen_auth_mock.config.formats import PARSERS
from oxaigen_auth_mock.scenarios.builtin import find_ready
from oxaigen_auth_mock.scenarios.model import Scenario


def find_scenario(
    name: str | Path, ready: Mapping[str, Scenario], personas: Collection[str]
) -> Scenario:
    """Return a ready scenario by its name, or read one from a file.

    Raises:
        UnknownScenarioError: the name is neither that of a ready one nor that of a file.
        MockConfigurationError: the file is invalid.
    """
    if isinstance(name, str) and not is_file_name(name):
        return find_ready(name, ready)
    return load_scenario(name, personas)


def is_file_name(name: str) -> bool:
    """Return whether a name is that of a TOML or JSON file."""
    return Path(name).suffix.lower() in PARSERS
