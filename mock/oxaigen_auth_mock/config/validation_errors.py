"""Formats pydantic's errors: the path of the value, the value, and what is expected instead.

The values of tokens are never shown.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from pydantic_core import ErrorDetails

MAX_LENGTH: Final = 60  # characters shown of a value
MAX_BITS: Final = 1024
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{,99}")
SUBJECT: Final = re.compile(r"^[A-Z]\w+(?= should )")  # of pydantic's messages: Input, String, …
SHAPES: Final = {
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list",
    "list_type": "a list of tables",
    "string_unicode": "valid Unicode",
}
CHOICE: Final = re.compile(r"'([^']*)'")


def format_error(subject: str, error: ErrorDetails, known: Iterable[str] = ()) -> str:
    """Return one sentence about an error.

    Args:
        subject: the path, variable or flag that holds the value.
        error: one of `ValidationError.errors()`.
        known: the valid keys, for an unknown key; the valid kinds, for a missing kind.
    """
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return f"{subject} is missing"
    if kind == "extra_forbidden":
        return format_unknown_key(subject, str(error["loc"][-1]), known)
    if kind == "union_tag_not_found":
        return f"{subject}.kind is missing; expected one of {', '.join(known)}"
    if kind == "value_error":
        problem = subject if isinstance(value, Mapping) else _describe(subject, value)
        return f"{problem}: {context['error']}"
    if kind == "string_unicode":
        subject = f"a key of {subject}"
    if kind == "union_tag_invalid":
        subject, value = f"{subject}.kind", value["kind"]
    return f"{_describe(subject, value)}; {_expected(error, value)}"


def _expected(error: ErrorDetails, value: object) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in SHAPES:
        return f"expected {SHAPES[kind]}"
    if kind in ("union_tag_invalid", "literal_error"):
        choices = CHOICE.findall(context.get("expected_tags") or context["expected"])
        return f"expected one of {', '.join(choices)}{did_you_mean(value, choices)}"
    return SUBJECT.sub("it", error["msg"])


def format_unknown_key(subject: str, key: str, known: Iterable[str]) -> str:
    known = list(known)
    return f"{subject} is unknown; expected one of {', '.join(known)}{did_you_mean(key, known)}"


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the closest of some names, or nothing."""
    close = get_close_matches(name, list(names), 1) if isinstance(name, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def format_path(path: Iterable[str | int]) -> str:
    """Format the location of a value.

    >>> format_path(("personas", 0, "extra", "e mail"))
    "personas[0].extra['e mail']"
    """
    text = ""
    for step in path:
        if isinstance(step, str) and NAME.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{format_value(step)}]"
    return text


def format_value(value: object) -> str:
    """Format a value for a message: scalars shortened, containers by their kind only."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping | list | tuple):
        return "a table" if isinstance(value, Mapping) else "a list"
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return "a very large number"  # Python refuses to format thousands of digits
    text = repr(value[: MAX_LENGTH + 1]) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"


def _describe(subject: str, value: object) -> str:
    if "token" in subject.lower() and isinstance(value, str):
        return f"{subject} is invalid (value not shown)"
    return f"{subject} is {format_value(value)}"
