"""Reads personas, faults and scenarios from TOML or JSON files.

Every error in a file is reported at once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from oxaigen_auth_mock.config.formats import parse_content, read_file
from oxaigen_auth_mock.config.settings import MockConfigurationError
from oxaigen_auth_mock.config.validation_errors import format_error, format_path, format_value
from oxaigen_auth_mock.faults.kinds import FAULTS, Fault
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.scenarios.model import PersonaState, Scenario, Step

Location: TypeAlias = tuple[str | int, ...]
Problems: TypeAlias = dict[Location, str]
Model = TypeVar("Model", bound=BaseModel)


class _PersonaFile(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    personas: list[Persona]


class _FaultFile(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    faults: list[Fault]


def load_personas(
    path: str | Path, token_holder: Callable[[str], str | None] = lambda _: None
) -> list[Persona]:
    """Read `[[personas]]`, or `{"personas": […]}`.

    Args:
        path: a file that ends in `.toml` or `.json`.
        token_holder: returns the name of the persona that already has a token.

    Raises:
        MockConfigurationError: naming every error in the file by its path.
    """
    return parse_personas(path, read_file(path), token_holder)


def parse_personas(
    path: str | Path, content: bytes, token_holder: Callable[[str], str | None]
) -> list[Persona]:
    """Read what `load_personas` reads, from the content of a file of this name.

    Raises:
        MockConfigurationError: naming every error in the content by its path.
    """
    data = parse_content(path, content)
    file, problems = _validate(_PersonaFile, data)
    identities = [_identity(entry) for entry in _entries(data, "personas")]
    _reject_duplicates(problems, identities, "name")
    _reject_duplicates(problems, identities, "token")
    for place, identity in enumerate(identities):
        holder = token_holder(identity.get("token", ""))
        if holder not in (None, identity.get("name")):
            taken = f"is the token of {holder!r}; choose another one"
            _reject(problems, ("personas", place, "token"), taken)
    return _checked(path, file, problems).personas


def load_faults(path: str | Path, personas: Collection[str] | None = None) -> list[Fault]:
    """Read `[[faults]]`, or `{"faults": […]}`.

    Args:
        path: a file that ends in `.toml` or `.json`.
        personas: the names of all personas; None accepts any name.

    Raises:
        MockConfigurationError: naming every error in the file by its path.
    """
    return parse_faults(path, read_file(path), personas)


def parse_faults(path: str | Path, content: bytes, personas: Collection[str] | None) -> list[Fault]:
    """Read what `load_faults` reads, from the content of a file of this name.

    Raises:
        MockConfigurationError: naming every error in the content by its path.
    """
    data = parse_content(path, content)
    file, problems = _validate(_FaultFile, data)
    for place, fault in enumerate(_entries(data, "faults")):
        name = fault.get("persona")
        problem = None if personas is None else unknown_persona(name, personas)
        if problem is not None:
            unknown = f"is {format_value(name)}, but {problem}"
            _reject(problems, ("faults", place, "persona"), unknown)
    return _checked(path, file, problems).faults


def load_scenario(path: str | Path, personas: Collection[str] | None = None) -> Scenario:
    """Read `[[steps]]`, or `{"steps": […]}`. A scenario without a name gets that of the file.

    Args:
        path: a file that ends in `.toml` or `.json`.
        personas: the names of all personas; None accepts any name.

    Raises:
        MockConfigurationError: naming every error in the file by its path.
    """
    return parse_scenario(path, read_file(path), personas)


def parse_scenario(path: str | Path, content: bytes, personas: Collection[str] | None) -> Scenario:
    """Read what `load_scenario` reads, from the content of a file of this name.

    Raises:
        MockConfigurationError: naming every error in the content by its path.
    """
    scenario, problems = _validate(Scenario, parse_content(path, content))
    if scenario is not None and personas is not None:
        for location, name in scenario.unknown_personas(personas):
            unknown = f"is {format_value(name)}, but {unknown_persona(name, personas)}"
            _reject(problems, location, unknown)
    scenario = _checked(path, scenario, problems)
    if "name" in scenario.model_fields_set:
        return scenario
    return scenario.model_copy(update={"name": Path(path).stem[:100]})


def _validate(model: type[Model], data: object) -> tuple[Model | None, Problems]:
    """Return the contents of a file if they are valid, and a message for each location if not."""
    problems: Problems = {}
    try:
        return model.model_validate(data), problems
    except ValidationError as error:
        for detail in error.errors():
            location, known = _locate(detail["loc"], model)
            subject = format_path(location) or "the file"
            problems.setdefault(location, format_error(subject, detail, known))
    return None, problems


def _locate(loc: Location, model: type[BaseModel]) -> tuple[Location, Iterable[str]]:
    """Return the location without the kind of a fault, and the keys that are valid there."""
    match loc:
        case ("faults", _, *rest):
            return _locate_in_fault(loc[:2], rest)
        case ("steps", _, "fault", *rest):
            return _locate_in_fault(loc[:3], rest)
        case ("steps", _, "persona", *_):
            return loc, PersonaState.model_fields
        case ("steps", _, *_):
            model = Step
        case ("personas", _, *_):
            model = Persona
        case _:
            pass
    return loc, model.model_fields


def _locate_in_fault(fault: Location, rest: list[str | int]) -> tuple[Location, Iterable[str]]:
    if not rest:
        return fault, FAULTS
    kind, *path = rest
    return (*fault, *path), FAULTS[str(kind)].model_fields


def _entries(data: Any, key: str) -> list[dict[str, Any]]:
    """Return the tables of a list, with an empty one in place of any other value."""
    entries = data.get(key) if isinstance(data, dict) else None
    if not isinstance(entries, list):
        return []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _identity(persona: Mapping[str, Any]) -> dict[str, str]:
    """Return the name and the token, whether or not the other fields are valid."""
    with suppress(ValidationError):
        persona = Persona.model_validate(persona).model_dump()
    texts = {key: persona.get(key) for key in ("name", "token")}
    return {key: text.strip() for key, text in texts.items() if isinstance(text, str)}


def _reject_duplicates(problems: Problems, identities: Sequence[dict[str, str]], key: str) -> None:
    """Reject a value that an earlier persona has too, unless the name is already rejected."""
    first: dict[str | None, int] = {}
    for place, identity in enumerate(identities):
        original = first.setdefault(identity.get(key), place)
        has_bad_name = ("personas", place, "name") in problems  # the token may follow from it
        if key in identity and original != place and not has_bad_name:
            other = format_path(("personas", original, key))
            duplicate = f"is the same as {other}; expected a unique {key}"
            _reject(problems, ("personas", place, key), duplicate)


def _reject(problems: Problems, location: Location, problem: str) -> None:
    problems.setdefault(location, f"{format_path(location)} {problem}")


def _checked(path: str | Path, file: Model | None, problems: Problems) -> Model:
    if file is None or problems:
        raise MockConfigurationError(tuple(f"{path}: {each}" for each in problems.values()))
    return file
