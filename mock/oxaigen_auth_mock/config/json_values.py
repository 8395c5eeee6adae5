"""Finds in data what JSON cannot carry, or what would break whoever writes it as JSON.

TOML has dates, Python's JSON reader takes `NaN` and half characters, and both read nesting and
numbers that cannot be written again.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

Path: TypeAlias = tuple[str | int, ...]

DEPTH: Final = 40
BITS: Final = 1024


def strip_unencodable(value: Any, path: Path = ()) -> tuple[Any, dict[Path, str]]:
    """Copy data without what JSON cannot carry; gives the copy, and what is wrong by its path.

    >>> strip_unencodable({"a": [1, float("nan")]})
    ({'a': [1, None]}, {('a', 1): 'a number that is not finite'})
    """
    items = _items(value)
    if items is None:
        mistake = _mistake(value)
        return (None, {path: mistake}) if mistake else (value, {})
    if len(path) >= DEPTH:
        return None, {path: f"more than {DEPTH} levels, one in the other"}
    copies: dict[str | int, Any] = {}
    mistakes: dict[Path, str] = {}
    for key, item in items:
        if _mistake(key):
            mistakes[*path, key] = "something under a key that is not valid Unicode"
            continue
        copies[key], found = strip_unencodable(item, (*path, key))
        mistakes |= found
    return (copies if isinstance(value, Mapping) else list(copies.values())), mistakes


def _items(value: object) -> Iterable[tuple[str | int, object]] | None:
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).items()
    if isinstance(value, list | tuple):
        return enumerate(cast("Sequence[object]", value))
    return None


def _mistake(value: object) -> str | None:
    if isinstance(value, str):
        return None if _is_unicode(value) else "text that is not valid Unicode"
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number that is not finite"
    if isinstance(value, int):
        return None if value.bit_length() <= BITS else "too great a number"
    return None if value is None else "a date or a time, which JSON has not; put it in quotes"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
