"""Builds the initial state of a mock: the personas and faults that its settings ask for."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

from oxaigen_auth_mock.config.constraints import DENY
from oxaigen_auth_mock.config.environment import variable_name
from oxaigen_auth_mock.config.files import load_faults, load_personas
from oxaigen_auth_mock.config.scenarios import find_scenario
from oxaigen_auth_mock.config.settings import MockConfigurationError, MockSettings
from oxaigen_auth_mock.config.validation_errors import did_you_mean
from oxaigen_auth_mock.faults.kinds import Fault
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import NameTakenError, PersonaStore
from oxaigen_auth_mock.scenarios.builtin import UnknownScenarioError, ready_scenarios
from oxaigen_auth_mock.scenarios.model import Scenario


def build_initial_state(
    settings: MockSettings, personas: Iterable[Persona] = ()
) -> tuple[PersonaStore, list[Fault], Scenario | None]:
    """Return the personas and faults of a mock before its first call, and what it plays.

    Args:
        settings: name the files, and the persona that signs in without a page.
        personas: added to the built-in ones and those of the file.

    Raises:
        MockConfigurationError: naming every error in the files, and an unknown `auto_login`.
        TokenTakenError: two personas have the same token.
        NameTakenError: two of `personas` have the same name.
    """
    problems: list[str] = []
    store, faults, scenario = PersonaStore(settings), list[Fault](), None
    with _collect(problems):
        _add_from_file(store, settings)
        for persona in _require_unique_names(personas):
            store.put(persona)
        _require_auto_login(store, settings.auto_login)
    with _collect(problems):
        if settings.faults:
            faults = load_faults(settings.faults, store.names)
    with _collect(problems):
        if settings.scenario:
            scenario = _load_scenario(store, settings.scenario)
    if problems:
        raise MockConfigurationError(tuple(problems))
    return store, faults, scenario


def _require_unique_names(personas: Iterable[Persona]) -> list[Persona]:
    by_name: dict[str, Persona] = {}
    for persona in personas:
        if by_name.setdefault(persona.name, persona) is not persona:
            raise NameTakenError(f"two personas are called {persona.name!r}; rename one of them")
    return list(by_name.values())


@contextmanager
def _collect(problems: list[str]) -> Generator[None]:
    try:
        yield
    except MockConfigurationError as error:
        problems.extend(error.problems)


def _add_from_file(store: PersonaStore, settings: MockSettings) -> None:
    """Add the personas of the file; one may replace a built-in one with its name."""
    if settings.personas is not None:
        store.merge(load_personas(settings.personas, store.blocking_holder))


def _load_scenario(store: PersonaStore, name: str) -> Scenario:
    try:
        return find_scenario(name, ready_scenarios(store), store.names)
    except UnknownScenarioError as error:
        problem = f"{variable_name('scenario')}: {error}"
        raise MockConfigurationError((problem,)) from None


def _require_auto_login(store: PersonaStore, name: str | None) -> None:
    if name is None or name == DENY or store.named(name) is not None:
        return
    names = [*store.names, DENY]
    expected = f"expected one of {', '.join(names)}{did_you_mean(name, names)}"
    raise MockConfigurationError((f"{variable_name('auto_login')} is {name!r}; {expected}",))
