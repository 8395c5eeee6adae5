"""Profiles as a proxy might send them, and the users that the documentation demands for them.

Shares no code with the SDK: another parser reads the JSON, and a table defines the shape.
"""

from __future__ import annotations

import json
from contextlib import suppress
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from tests.simulation.fuzz import MARK, mutated

if TYPE_CHECKING:
    from tests.simulation.scheduler import Dice

MAX_DEPTH = 32
UNICODE = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
ENTRY = {"id": int, "name": str, "description": str}
SHAPE: dict[str, Any] = {
    "is_authenticated": bool,
    "id": int,
    "user_name": str,
    "email": str,
    "account_type": str,
    "enabled": bool,
    "first_name": str,
    "last_name": str,
    "user_workspace": {"id": str, "name": str},
    "workspace_roles": [ENTRY],
    "workspace_permissions": [ENTRY],
}


class UnusableError(Exception):
    """The body is not a profile."""


def readings(body: bytes) -> list[dict[str, Any] | None]:
    """Return the documents that a user of this profile may have; None stands for "not usable".

    If a name is repeated, the last value counts; an earlier one may be unusable, or be ignored.
    """
    try:
        text = text_of(body)
        if has_duplicates(text):
            return [None, document(json.loads(text))]
        return [document(from_json(text, allow_inf_nan=False))]
    except (ValueError, RecursionError, UnusableError):
        return [None]


def text_of(body: bytes) -> str:
    """Return the text of JSON, in the encoding of Unicode in which it begins with ASCII."""
    for encoding in UNICODE:
        with suppress(UnicodeDecodeError):
            text = body.decode(encoding)
            if text[:1].isascii() and "\0" not in text:
                return text
    raise UnusableError


def has_duplicates(text: str) -> bool:
    found: list[bool] = []
    with suppress(ValueError, RecursionError):
        hook = lambda pairs: found.append(len(dict(pairs)) < len(pairs))  # noqa: E731
        json.loads(text, object_pairs_hook=hook)
    return any(found)


def document(data: Any) -> dict[str, Any]:
    if not is_sound(data, MAX_DEPTH):
        raise UnusableError
    profile: dict[str, Any] = shaped(data, SHAPE)
    if not any(has_value(profile[name], shape) for name, shape in SHAPE.items()):
        raise UnusableError
    if profile["is_authenticated"] is None:
        profile["is_authenticated"] = True
    known = {name: profile.pop(name) for name in SHAPE}
    return known | {"extra": profile}


def has_value(value: Any, shape: Any) -> bool:
    """Return whether a documented field has a value, in itself or in an object within it."""
    if isinstance(shape, dict) and value:
        return any(has_value(value[name], inner) for name, inner in shape.items())
    if isinstance(shape, list):
        return any(has_value(it, shape[0]) for it in value)
    return value is not None and value not in ("", {})


def is_sound(value: object, room: int) -> bool:
    """Return whether all text and numbers can be serialized again, in at most `room` levels."""
    if isinstance(value, str):
        return bool(value.encode()) or not value
    if isinstance(value, float):
        return isfinite(value)
    if not isinstance(value, dict | list):
        return True
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return room > 0 and all(is_sound(it, room - 1) for it in inner)


def shaped(value: Any, shape: Any) -> Any:
    """Return a value in its documented shape; null stands for a missing field."""
    if isinstance(shape, dict):
        if type(value) is not dict:
            raise UnusableError
        known = {name: field(value.get(name), inner) for name, inner in shape.items()}
        return known | {name: it for name, it in value.items() if name not in shape}
    if isinstance(shape, list):
        if type(value) is not list:
            raise UnusableError
        return [shaped(it, shape[0]) for it in value]
    if shape is int and type(value) is str and set(value) <= set("0123456789"):
        value = int(value) if 0 < len(value) <= 1000 else value
    if type(value) is not shape:
        raise UnusableError
    return value


def field(value: Any, shape: Any) -> Any:
    if value is None:
        return [] if isinstance(shape, list) else None
    return shaped(value, shape)


SCALARS: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        7,
        2**63,
        -(2**64),
        10**999,
        10**1000,
        0.0,
        -0.0,
        1.0,
        1e308,
        5e-324,
    ),
    *(
        "",
        "0",
        "7",
        "007",
        "-1",
        "1.0",
        "٣",
        "x",
        "true",
        "null",
        "\0",
        "é",
        "\U0001f600",
        "1" * 1001,
    ),
    *([], {}, [None], [[]], [{}], {"": None}, {"id": 1}, [{"id": "5"}], [{"id": 1, "name": 2}]),
    *("</script>", "__class__", MARK, inf, -inf, float("nan"), "\ud800", {"\udfff": 1}),
)
NAMES = (*SHAPE, "extra", "_extra", "__class__", "", "Id", "user-name", "workspace_roles\0", "é")
ROLE = {"id": 1, "name": "owner", "description": None}
PROFILE: dict[str, Any] = {
    "is_authenticated": True,
    "id": 7,
    "user_name": "ada",
    "email": "ada@example.com",
    "account_type": "internal",
    "enabled": True,
    "first_name": "Ada",
    "last_name": "Lovelace",
    "user_workspace": {"id": "w1", "name": "Engines"},
    "workspace_roles": [ROLE, {"id": 2, "name": "admin", "since": [1843, {"month": 9}]}],
    "workspace_permissions": [{"id": 1, "name": "audit", "description": "may look"}],
}
SEPARATORS = ((",", ":"), (", ", ": "), (" ,\n", "\t:\r"))
DONORS = [
    json.dumps(PROFILE).encode(),
    *(
        b"true",
        b"null",
        b"NaN",
        b"1e999",
        b"-",
        b"[]",
        b'"id": ',
        b', "id": "1"',
        b"\\ud83d\\ude00",
    ),
    *(
        b'"is_authenticated": false',
        b'"is_authenticated": null',
        b"[" * 40,
        b'{"a":' * 40,
        b"9" * 4301,
    ),
]


def draw_body(dice: Dice) -> bytes:
    """Draw a profile with changes to its JSON, its bytes, both or neither."""
    profile = dict(PROFILE)
    for _ in range(dice.pick(0, 1, 1, 1, 2, 3)):
        alter(dice, profile)
    if dice.chance(0.3):
        profile["is_authenticated"] = False
    if dice.chance(0.05):
        profile = {dice.pick(*NAMES): dice.pick(*SCALARS) for _ in range(dice.number(0, 3))}
    body = written(dice, profile)
    return mutated(dice, body, DONORS) if dice.chance(0.3) else body


def alter(dice: Dice, profile: dict[str, Any]) -> None:
    """Change one field of a profile."""
    value = dice.pick(*SCALARS)
    how = dice.number(0, 6)
    if how == 0:
        del profile[dice.pick(*profile)]
    elif how == 1:
        value = nested(value, dice.pick(1, 2, 28, 29, 30, 31, 32, 33), dice.pick("id", None))
    elif how == 2:
        value = [ROLE | {dice.pick(*ENTRY, "extra", "x"): value}, *dice.pick([], [None], [ROLE])]
    elif how == 3:
        value = {dice.pick("id", "name", "extra", "x"): value}
    profile[dice.pick(*NAMES)] = value


def nested(value: Any, depth: int, name: str | None) -> Any:
    for _ in range(depth):
        value = [value] if name is None else {name: value}
    return value


def written(dice: Dice, profile: dict[str, Any]) -> bytes:
    """Write a profile as JSON, or in a form that only Python accepts as JSON."""
    text = json.dumps(profile, ensure_ascii=dice.chance(0.5), separators=dice.pick(*SEPARATORS))
    if dice.chance(0.1):
        text = f"{text[:-1]}, {json.dumps(dice.pick(*NAMES))}: {json.dumps(dice.pick(*SCALARS))}}}"
    return text.encode(dice.pick(*["utf-8"] * 40, *UNICODE), "surrogatepass")
