"""Reads and parses TOML and JSON files, both as strictly."""

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from oxaigen_auth_mock.config.settings import MockConfigurationError


def read_file(path: str | Path) -> bytes:
    """Return the content of a file.

    Raises:
        MockConfigurationError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error


def parse_content(path: str | Path, content: bytes) -> object:
    """Parse TOML or JSON, according to the suffix of the file.

    Raises:
        MockConfigurationError: the content cannot be parsed.
    """
    parser = PARSERS.get(Path(path).suffix.lower())
    if parser is None:
        raise _unusable(path, "expected a name that ends in .toml or .json")
    try:
        return parser(_decode(content))
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


def _unusable(path: str | Path, why: str) -> MockConfigurationError:
    return MockConfigurationError((f"{path}: {why}",))


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


PARSERS: Final[dict[str, Callable[[str], object]]] = {".toml": tomllib.loads, ".json": _parse_json}
