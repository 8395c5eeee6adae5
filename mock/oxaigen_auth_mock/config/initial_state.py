"""What a mock begins with: the personas and faults that its settings ask for. Knows no HTTP."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

from oxaigen_auth_mock.config.files import load_faults, load_personas
from oxaigen_auth_mock.config.settings import MockConfigurationError, MockSettings, variable_name
from oxaigen_auth_mock.config.validation_errors import did_you_mean
from oxaigen_auth_mock.faults.plan import Fault
from oxaigen_auth_mock.personas.model import DENY, Persona
from oxaigen_auth_mock.personas.store import NameTakenError, PersonaStore


def build_initial_state(
    settings: MockSettings, personas: Iterable[Persona] = ()
) -> tuple[PersonaStore, list[Fault]]:
    """Gather whom a mock knows and what befalls its calls, before the first one.

    Args:
        settings: name the files, and who signs in unasked.
        personas: whom it knows besides the built-in ones and those of the file.

    Raises:
        MockConfigurationError: naming every mistake in the files, and whoever is not there.
        TokenTakenError: two personas have the same token.
        NameTakenError: two of `personas` have the same name.
    """
    problems: list[str] = []
    roster, faults = PersonaStore(settings), list[Fault]()
    with _gathered(problems):
        _take_in(roster, settings)
        for persona in _no_twins(personas):
            roster.put(persona)
        _require_auto_login(roster, settings.auto_login)
    with _gathered(problems):
        if settings.faults:
            faults = load_faults(settings.faults, roster.names)
    if problems:
        raise MockConfigurationError(tuple(problems))
    return roster, faults


def _no_twins(personas: Iterable[Persona]) -> list[Persona]:
    named: dict[str, Persona] = {}
    for persona in personas:
        if named.setdefault(persona.name, persona) is not persona:
            raise NameTakenError(f"two personas are called {persona.name!r}; rename one of them")
    return list(named.values())


@contextmanager
def _gathered(problems: list[str]) -> Generator[None]:
    try:
        yield
    except MockConfigurationError as error:
        problems.extend(error.problems)


def _take_in(roster: PersonaStore, settings: MockSettings) -> None:
    """Read the settings' personas; one may replace a built-in one of its name."""
    if settings.personas is None:
        return

    def taken(token: str) -> str | None:
        holder = roster.holder(token)
        if holder is None or token == settings.forbidden_token:
            return None  # the forbidden token stays so, whosever it is
        return holder.name

    loaded = load_personas(settings.personas, taken)
    roster.replace({each.name: each for each in (*roster.personas, *loaded)}.values())


def _require_auto_login(roster: PersonaStore, name: str | None) -> None:
    if name is None or name == DENY or roster.named(name) is not None:
        return
    names = [*(persona.name for persona in roster.personas), DENY]
    held = f"{variable_name('auto_login')} holds {name!r}"
    problem = f"{held}, but it should be one of {', '.join(names)}{did_you_mean(name, names)}"
    raise MockConfigurationError((problem,))
