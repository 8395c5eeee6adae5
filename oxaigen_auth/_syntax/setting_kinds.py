"""The kinds of settings: each makes a field that knows its valid values and how to read a text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from attrs import Attribute, field

from oxaigen_auth._syntax.shared_secrets import are_shared_secrets, expected_shared_secrets
from oxaigen_auth._syntax.shared_store_urls import (
    expected_shared_store_url,
    is_shared_store_url,
    shown_shared_store_url,
)
from oxaigen_auth._syntax.urls import is_base_url

_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def checked(
    default: Any,
    check: Callable[[Any], bool],
    expected: str | Callable[[Any], str],
    *,
    parse: Callable[[str], Any] = str,
    shown: Callable[[Any], str] | None = None,
) -> Any:
    """Return a field.

    Args:
        default: its value if the variable is not set.
        check: returns whether a value is valid.
        expected: describes the valid values; may depend on the invalid one.
        parse: returns the value of a text; raises ValueError or KeyError.
        shown: returns the representation of a value of which `repr` would show a secret.
    """
    metadata = {"check": check, "expected": expected, "parse": parse}
    return field(default=default, metadata=metadata, repr=shown or True)


def url(default: str | None) -> Any:
    return checked(
        default,
        lambda v: v is default or is_base_url(v),
        "an http or https URL without user, query or fragment, such as https://app.example.com",
    )


def seconds(default: float, *, least: float = 0.0) -> Any:
    return checked(
        default, lambda v: _is_number(v, least), f"a number of seconds >= {least:g}", parse=float
    )


def count(default: int, *, least: int = 1) -> Any:
    return checked(default, lambda v: _is_count(v, least), f"an integer >= {least}", parse=int)


def switch(*, default: bool) -> Any:
    return checked(
        default,
        lambda v: type(v) is bool,
        "1, true, yes or on; 0, false, no or off",
        parse=lambda text: _FLAGS[text.lower()],
    )


def texts(is_one: Callable[[Any], bool], expected: str) -> Any:
    return checked(
        (),
        lambda v: type(v) is tuple and all(map(is_one, v)),
        f"{expected}; as a keyword, a tuple of them",
        parse=_csv,
    )


def shared_store_url() -> Any:
    return checked(
        None,
        lambda v: v is None or is_shared_store_url(v),
        expected_shared_store_url,
        shown=shown_shared_store_url,
    )


def shared_secrets() -> Any:
    return checked(
        (),
        are_shared_secrets,
        expected_shared_secrets,
        parse=_csv,
        shown=lambda v: "***" if v else repr(v),
    )


def shown(setting: Attribute[Any], value: object) -> str:
    """Return a representation of a value, also of an invalid one, that shows no secret."""
    if callable(setting.repr):
        return setting.repr(value)
    # The text before an "@" may be a password.
    return re.sub(r"^(.).*@", r"\1***@", repr(value))[:200]


def _is_number(value: Any, least: float) -> bool:
    return type(value) in {int, float} and least <= value < math.inf


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _csv(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))
