"""Reads personas and faults from TOML or JSON files, and reports every error in a file at once."""

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast, get_args

from attrs import define, field
from pydantic import BaseModel, TypeAdapter, ValidationError

from oxaigen_auth_mock.config.settings import MockConfigurationError
from oxaigen_auth_mock.config.validation_errors import (
    format_error,
    format_path,
    format_unknown_key,
    format_value,
)
from oxaigen_auth_mock.faults.kinds import Fault
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.personas.model import Persona

T = TypeVar("T", bound=BaseModel)

PERSONA: Final = TypeAdapter(Persona)
FAULT: Final[TypeAdapter[Fault]] = TypeAdapter(Fault)
FAULTS: Final[dict[str, type[BaseModel]]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(Fault)[0])
}

KEY_ERRORS: Final = ("extra_forbidden", "union_tag_not_found")


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
    file = _File[Persona](path, "personas")
    file.read(PERSONA, lambda _: Persona.model_fields)
    file.reject_duplicates("name")
    file.reject_duplicates("token")
    for place, persona in file.valid.items():
        holder = token_holder(persona.token)
        if holder is not None and holder != persona.name:
            file.reject((place, "token"), f"is the token of {holder!r}; choose another one")
    return file.result()


def load_faults(path: str | Path, personas: Collection[str] | None = None) -> list[Fault]:
    """Read `[[faults]]`, or `{"faults": […]}`.

    Args:
        path: a file that ends in `.toml` or `.json`.
        personas: the names of all personas; None accepts any name.

    Raises:
        MockConfigurationError: naming every error in the file by its path.
    """
    file = _File[Fault](path, "faults")
    file.read(FAULT, _keys_of_fault)
    for place, fault in file.valid.items():
        problem = None if personas is None else unknown_persona(fault, personas)
        if problem is not None:
            file.reject((place, "persona"), f"is {format_value(fault.persona)}, but {problem}")
    return file.result()


def _keys_of_fault(entry: Mapping[str, Any]) -> Iterable[str]:
    """Return the keys of a fault of this kind; without a kind, all kinds."""
    return FAULTS[entry["kind"]].model_fields if "kind" in entry else FAULTS


@define(eq=False)
class _File(Generic[T]):
    """A file with one list under one key: its valid entries by index, its problems by path."""

    path: str | Path
    key: str
    entries: list[Any] = field(factory=list[Any], init=False)
    valid: dict[int, T] = field(factory=dict[int, T], init=False)
    problems: dict[tuple[str | int, ...], str] = field(
        factory=dict[tuple[str | int, ...], str], init=False
    )

    def read(
        self, adapter: TypeAdapter[T], keys: Callable[[Mapping[str, Any]], Iterable[str]]
    ) -> None:
        """Check each entry; `keys` returns the valid keys of one."""
        self._read_list(parsed(self.path))
        for place, entry in enumerate(self.entries):
            try:
                self.valid[place] = adapter.validate_python(entry)
            except ValidationError as error:
                for detail in error.errors():
                    # the location in a union begins with the kind of the fault
                    loc = detail["loc"][1:] if self.key == "faults" else detail["loc"]
                    path = (self.key, place, *loc)
                    known = keys(entry) if detail["type"] in KEY_ERRORS else ()
                    self.problems.setdefault(path, format_error(format_path(path), detail, known))

    def _read_list(self, data: object) -> None:
        if not isinstance(data, dict):
            self.problems[()] = f"the file is {format_value(data)}; expected a table"
            return
        content = cast("dict[str, Any]", data)
        for other in content:
            if other != self.key:
                path = format_path((other,))
                self.problems[other,] = format_unknown_key(path, other, (self.key,))
        entries = content.get(self.key)
        if isinstance(entries, list):
            self.entries = entries
        elif self.key in content:
            self.reject((), f"is {format_value(entries)}; expected a list of tables")
        else:
            self.reject((), "is missing")

    def reject(self, path: tuple[str | int, ...], problem: str) -> None:
        path = (self.key, *path)
        self.problems.setdefault(path, f"{format_path(path)} {problem}")

    def reject_duplicates(self, key: str) -> None:
        """Reject a value that an earlier entry has too, whether or not both are otherwise valid."""
        first: dict[object, int] = {}
        for place, entry in enumerate(self.entries):
            value = getattr(self.valid[place], key) if place in self.valid else _text(entry, key)
            has_bad_name = (
                self.key,
                place,
                "name",
            ) in self.problems  # the token may follow from it
            if value is not None and first.setdefault(value, place) != place and not has_bad_name:
                other = format_path((self.key, first[value], key))
                self.reject((place, key), f"is the same as {other}; expected a unique {key}")

    def result(self) -> list[T]:
        if self.problems:
            raise MockConfigurationError(
                tuple(f"{self.path}: {problem}" for problem in self.problems.values())
            )
        return list(self.valid.values())


def _text(entry: object, key: str) -> str | None:
    value = cast("Mapping[str, object]", entry).get(key) if isinstance(entry, Mapping) else None
    return value.strip() if isinstance(value, str) else None


def parsed(path: str | Path) -> object:
    """Parse a TOML or JSON file, according to its suffix.

    Raises:
        MockConfigurationError: the file cannot be read or parsed.
    """
    path = Path(path)
    parser = PARSERS.get(path.suffix.lower())
    if parser is None:
        raise _unusable(path, "expected a name that ends in .toml or .json")
    try:
        return parser(_decode(path.read_bytes()))
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        why = f"{error.reason} at byte {error.start}; save it as UTF-8"
        raise _unusable(path, f"is not UTF-8: {why}") from error
    except RecursionError as error:
        raise _unusable(path, "is nested too deeply") from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error


def _decode(content: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Raises:
        UnicodeDecodeError: it is another encoding, such as UTF-16, whose ASCII has zero bytes.
    """
    if b"\0" in content[:4]:
        raise UnicodeDecodeError("utf-8", content, 0, 1, "it looks like UTF-16 or UTF-32")
    return content.decode("utf-8-sig")


def _unusable(path: Path, why: str) -> MockConfigurationError:
    return MockConfigurationError((f"{path}: {why}",))


def _parse_toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.splitlines() or [""]
        end = f"at line {len(lines)}, column {len(lines[-1]) + 1}"
        raise ValueError(str(error).replace("at end of document", end)) from error


def _parse_json(text: str) -> object:
    """Parse JSON as strictly as TOML: a table may not have the same key twice."""
    duplicates: list[str] = []

    def table(items: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in items)
        duplicates.extend(key for key, count in counts.items() if count > 1)
        return dict(items)

    try:
        data = json.loads(text, object_pairs_hook=table)
    except json.JSONDecodeError as error:
        where = f"(at line {error.lineno}, column {error.colno})"
        raise ValueError(f"{error.msg} {where}") from error
    if duplicates:
        raise ValueError(f"duplicate keys in a table: {', '.join(map(repr, duplicates))}")
    return data


PARSERS: Final[dict[str, Callable[[str], object]]] = {".toml": _parse_toml, ".json": _parse_json}
