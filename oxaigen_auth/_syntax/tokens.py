"""The syntax of bearer tokens and permission names."""

from __future__ import annotations

import re

MAX_TOKEN = 8 * 1024  # bytes

_PERMISSION_NAME = re.compile(r"[A-Za-z0-9_-]+")


def is_token(text: str) -> bool:
    """Return whether this can be a token: visible ASCII, a superset of RFC 6750 §2.1."""
    return 0 < len(text) <= MAX_TOKEN and text.isascii() and text.isprintable() and " " not in text


def is_permission_name(text: str) -> bool:
    """Return whether this is a permission name by the rules of the product page."""
    return _PERMISSION_NAME.fullmatch(text) is not None


def check_permission_name(name: object) -> str:
    """Return the name, which is safe in a path. For an enum member, this is its value.

    Raises:
        ValueError: the name does not have the form that the product page defines.
    """
    if not isinstance(name, str) or not is_permission_name(name):
        raise ValueError(
            f"{name!r} is not a permission name: use ASCII letters, digits, '_' and '-' only."
        )
    return str.__str__(name)  # a member of an enum that is a str may be formatted by its name
