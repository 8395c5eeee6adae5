"""Finds values that JSON cannot represent, or that many JSON libraries cannot read.

TOML has dates, Python's JSON parser accepts `NaN` and lone surrogates, and both accept any depth
of nesting and any size of number.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, LiteralString, TypeAlias, cast

from pydantic import BeforeValidator, JsonValue, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Path: TypeAlias = tuple[str | int, ...]

MAX_DEPTH: Final = 40  # as the message says
MAX_BITS: Final = 1024
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def require_json(value: Any) -> Any:
    """Return the value unchanged.

    Raises:
        ValidationError: with the location of each part that JSON cannot represent.
    """
    errors = [
        InitErrorDetails(
            type=PydanticCustomError("json", "{why}", {"why": why}), loc=loc, input=part
        )
        for loc, part, why in _find_unencodable(value, ())
    ]
    if errors:
        raise ValidationError.from_exception_data("JSON", errors)
    return value


JsonObject: TypeAlias = Annotated[dict[str, JsonValue], BeforeValidator(require_json)]


def _find_unencodable(value: object, path: Path) -> Iterator[tuple[Path, object, LiteralString]]:
    if problem := _problem(value):
        yield path, value, problem
    elif len(path) >= MAX_DEPTH and isinstance(value, Mapping | list | tuple):
        yield path, value, "expected at most 40 levels of nesting"
    else:
        for key, item in _items(value):
            if _problem(key):
                yield (*path, key), item, "expected a key of valid Unicode"
            else:
                yield from _find_unencodable(item, (*path, key))


def _items(value: object) -> Iterable[tuple[str | int, object]]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).items()
    return enumerate(cast("list[object]", value)) if isinstance(value, list | tuple) else ()


def _problem(value: object) -> LiteralString | None:
    if isinstance(value, str):
        return "expected valid Unicode" if LONE_SURROGATE.search(value) else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "expected a finite number"
    if isinstance(value, int):
        return None if value.bit_length() <= MAX_BITS else "expected a number of at most 1024 bits"
    if value is None or isinstance(value, Mapping | list | tuple):
        return None
    return "JSON has no dates and times; put it in quotes"
