"""Reads personas and faults from files, TOML or JSON, and names every mistake in one.

Knows no HTTP, and nothing of the mock that asks.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args

from attrs import define
from pydantic import BaseModel, TypeAdapter, ValidationError

from oxaigen_auth_mock.config import json_values
from oxaigen_auth_mock.config.json_values import strip_unencodable
from oxaigen_auth_mock.config.settings import MockConfigurationError
from oxaigen_auth_mock.config.validation_errors import (
    format_error,
    format_path,
    format_unknown_key,
    format_value,
)
from oxaigen_auth_mock.faults.plan import Fault, unknown_persona
from oxaigen_auth_mock.personas.model import Persona

T = TypeVar("T")

FAULT: Final[TypeAdapter[Fault]] = TypeAdapter(Fault)
FAULTS: Final[dict[str, type[BaseModel]]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(Fault)[0])
}

KEYED: Final = ("extra_forbidden", "union_tag_not_found")  # mistakes that are about keys


def load_personas(
    path: str | Path, taken: Callable[[str], str | None] = lambda _: None
) -> list[Persona]:
    """Read `[[personas]]`, or `{"personas": […]}`.

    Args:
        path: a file that ends in `.toml` or `.json`.
        taken: gives the name of whoever has a token already.

    Raises:
        MockConfigurationError: naming every mistake in the file by its path.
    """
    section = _section(path, "personas")
    personas = section.read(Persona.model_validate, lambda _: Persona.model_fields)
    section.refuse_twins("name", personas)
    section.refuse_twins("token", personas)
    for place, persona in personas.items():
        holder = taken(persona.token)
        if holder is not None and holder != persona.name:
            section.refuse((place, "token"), f"is the token of {holder!r}; choose another one.")
    return section.result(personas)


def load_faults(path: str | Path, personas: Collection[str] | None = None) -> list[Fault]:
    """Read `[[faults]]`, or `{"faults": […]}`.

    Args:
        path: a file that ends in `.toml` or `.json`.
        personas: the names of those who are there; None takes any name.

    Raises:
        MockConfigurationError: naming every mistake in the file by its path.
    """
    section = _section(path, "faults")
    faults = section.read(FAULT.validate_python, _keys_of_fault)
    for place, fault in faults.items():
        problem = None if personas is None else unknown_persona(fault, personas)
        if problem is not None:
            section.refuse(
                (place, "persona"), f"holds {format_value(fault.persona)}, but {problem}"
            )
    return section.result(faults)


def _keys_of_fault(entry: object) -> Iterable[str]:
    """List what a fault of this kind can have; without a kind, list those that there are."""
    fault = cast("Mapping[str, Any]", entry)
    return FAULTS[fault["kind"]].model_fields if "kind" in fault else FAULTS


@define(eq=False)
class _Section:
    """The list that a file is about, and the mistakes found so far: one for each path."""

    file: str
    key: str
    entries: list[Any]
    problems: dict[json_values.Path, str]

    def refuse(self, path: json_values.Path, words: str) -> None:
        where = format_path((self.key, *path))
        self.problems.setdefault((self.key, *path), f"{where} {words}")

    def read(
        self, check: Callable[[object], T], keys: Callable[[object], Iterable[str]]
    ) -> dict[int, T]:
        """Check each entry; gives those without a mistake by their places."""
        good: dict[int, T] = {}
        for place, entry in enumerate(self.entries):
            try:
                good[place] = check(entry)
            except ValidationError as error:
                self._refuse_entry(place, error, keys)
        return good

    def _refuse_entry(
        self, place: int, error: ValidationError, keys: Callable[[object], Iterable[str]]
    ) -> None:
        entry = self.entries[place]
        for detail in error.errors():
            loc = detail["loc"][1:] if self.key == "faults" else detail["loc"]  # without the kind
            if detail["type"] != "missing" and loc and loc[0] not in entry:
                continue  # derived from a mistake that is named itself
            path = (self.key, place, *loc)
            known = keys(entry) if detail["type"] in KEYED else ()
            self.problems.setdefault(path, format_error(format_path(path), detail, known))

    def refuse_twins(self, key: str, good: Mapping[int, BaseModel]) -> None:
        """Refuse what two entries share, be they without other mistakes or not."""
        first: dict[object, int] = {}
        for place, entry in enumerate(self.entries):
            value = getattr(good[place], key) if place in good else _text_of(entry, key)
            named = (self.key, place, "name") in self.problems  # its token may follow from that
            if value is not None and first.setdefault(value, place) != place and not named:
                twin = format_path((self.key, first[value], key))
                self.refuse((place, key), f"is the same as {twin}; no two may share one.")

    def result(self, good: Mapping[int, T]) -> list[T]:
        if self.problems:
            raise MockConfigurationError(
                tuple(f"{self.file}: {problem}" for problem in self.problems.values())
            )
        return list(good.values())


def _text_of(entry: object, key: str) -> str | None:
    value = cast("Mapping[str, object]", entry).get(key) if isinstance(entry, Mapping) else None
    return value.strip() if isinstance(value, str) else None


def _section(path: str | Path, key: str) -> _Section:
    """Open a file that holds one list under one key."""
    data, unfit = strip_unencodable(parsed(path))
    section = _Section(str(path), key, [], {})
    for where, what in unfit.items():
        section.problems[where] = f"{format_path(where) or 'it'} holds {what}."
    if not isinstance(data, dict):
        section.problems.setdefault((), f"it holds {format_value(data)}, but it should be a table.")
        return section
    content: dict[str, Any] = data
    for other in content:
        if other != key:
            section.problems[other,] = format_unknown_key(format_path((other,)), other, (key,))
    entries = content.get(key)
    if isinstance(entries, list):
        section.entries = entries
    elif key in content:
        section.refuse((), f"holds {format_value(entries)}, but it should be a list of tables.")
    else:
        section.refuse((), "is missing.")
    return section


def parsed(path: str | Path) -> object:
    """Read a TOML or JSON file, told apart by the end of its name.

    Raises:
        MockConfigurationError: it cannot be read, or is not what its name says.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise _useless(path, "the name should end in .toml or .json")
    try:
        return reader(_text_in(path.read_bytes()))
    except OSError as error:
        raise _useless(path, f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        why = f"{error.reason} at byte {error.start}; save it as UTF-8"
        raise _useless(path, f"is not UTF-8: {why}") from error
    except RecursionError as error:
        raise _useless(path, "is nested too deeply") from error
    except ValueError as error:
        raise _useless(path, str(error)) from error


def _text_in(content: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Raises:
        UnicodeDecodeError: it is something else, such as UTF-16, whose mark is no UTF-8.
    """
    if b"\0" in content[:4]:
        raise UnicodeDecodeError("utf-8", content, 0, 1, "it looks like UTF-16 or UTF-32")
    return content.decode("utf-8-sig")


def _useless(path: Path, why: str) -> MockConfigurationError:
    return MockConfigurationError((f"{path}: {why}.",))


def _toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.splitlines() or [""]
        end = f"at line {len(lines)}, column {len(lines[-1]) + 1}"
        raise ValueError(str(error).replace("at end of document", end)) from error


def _json(text: str) -> object:
    """Read JSON as strictly as TOML: a key may be there once."""
    twins: list[str] = []

    def table(items: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(items)
        twins.extend(key for key, count in Counter(key for key, _ in items).items() if count > 1)
        return content

    try:
        data = json.loads(text, object_pairs_hook=table)
    except json.JSONDecodeError as error:
        where = f"(at line {error.lineno}, column {error.colno})"
        raise ValueError(f"{error.msg} {where}") from error
    if twins:
        raise ValueError(f"keys that are there twice in a table: {', '.join(map(repr, twins))}")
    return data


READERS: Final[dict[str, Callable[[str], object]]] = {".toml": _toml, ".json": _json}
