"""Puts into words what pydantic found wrong: where, what it held, what is allowed.

Never shows the value of anything that is called a token.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic_core import ErrorDetails

SHOWN: Final = 60  # characters of a value
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{,99}")
CHOICE: Final = re.compile(r"'([^']*)'")

PATTERNS: Final = {
    r"^[\x21-\x7e]+$": "visible ASCII characters",
    r"^[A-Za-z0-9_-]+$": "letters A to Z, digits, _ and -",
    r"^[^\x00-\x1f\x7f]+$": "one line of text, and not be empty",
    r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$": "letters, digits and !#$%&'*+.^_`|~-",
    r"^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$": (
        "visible ASCII characters without quotes, commas, semicolons and backslashes"
    ),
}
SHAPES: Final = {
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list",
    "list_type": "a list",
}


def format_path(path: Iterable[str | int]) -> str:
    """Write a path as people do.

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


def format_error(subject: str, error: ErrorDetails, known: Iterable[str] = ()) -> str:
    """Say what is wrong with a subject, such as a path or a variable, in a sentence.

    Args:
        subject: what holds the mistake.
        error: one of `ValidationError.errors()`.
        known: for an unknown key the keys that there are; for a missing kind the kinds.
    """
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return f"{subject} is missing."
    if kind == "extra_forbidden":
        return format_unknown_key(subject, str(error["loc"][-1]), known)
    if kind == "union_tag_not_found":
        return f"{subject}.kind is missing; it should be one of {', '.join(known)}."
    if kind == "union_tag_invalid":
        choices = CHOICE.findall(context["expected_tags"])
        held, close = _held(f"{subject}.kind", value["kind"]), did_you_mean(value["kind"], choices)
        return f"{held}, but it should be one of {', '.join(choices)}{close}"
    if kind == "value_error":
        held = subject if isinstance(value, Mapping) else _held(subject, value)
        return f"{held}: {context['error']}."
    return f"{_held(subject, value)}, but {_allowed(error, context)}"


def format_unknown_key(subject: str, key: str, known: Iterable[str]) -> str:
    """Say that there is no such key, and which ones there are."""
    known = list(known)
    return f"{subject} is unknown; there are {', '.join(known)}{did_you_mean(key, known)}"


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """End a sentence, with the question whether the nearest of some names was meant."""
    close = get_close_matches(name, list(names), 1) if isinstance(name, str) else []
    return f"; did you mean {close[0]!r}?" if close else "."


def format_value(value: object) -> str:
    """Write a value as JSON would, in a few words."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping | list | tuple):
        return "a table" if isinstance(value, Mapping) else "a list"
    text = repr(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _held(subject: str, value: object) -> str:
    secret = "token" in subject.lower() and isinstance(value, str)
    return f"{subject} holds {'what is not shown here' if secret else format_value(value)}"


def _allowed(error: ErrorDetails, context: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind in SHAPES:
        return f"it should be {SHAPES[kind]}."
    if kind == "string_pattern_mismatch":
        return f"it may only hold {PATTERNS[context['pattern']]}."
    words = re.sub(r"^\w+ should", "it should", error["msg"])
    choices = CHOICE.findall(context["expected"]) if kind == "literal_error" else []
    return words + did_you_mean(error["input"], choices)
