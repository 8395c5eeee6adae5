"""The secrets from which the keys of the shared store are made."""

from __future__ import annotations

from typing import Any

_LEAST_BYTES = 32
_EXPECTED = (
    "secrets of at least 32 bytes each, all different, separated by commas; "
    "`openssl rand -hex 32` makes one; as a keyword, a tuple of them"
)


def are_shared_secrets(value: Any) -> bool:
    return not _fault(value)


def expected_shared_secrets(value: Any) -> str:
    """Return what is expected, and which secret is wrong, without showing it."""
    return f"{_EXPECTED}; {_fault(value)}"


def _fault(value: Any) -> str:
    if type(value) is not tuple:
        return "it is no tuple"
    for number, secret in enumerate(value, 1):
        length = _length(secret)
        if length < _LEAST_BYTES:
            return f"number {number} has {length} bytes"
        if secret in value[: number - 1]:
            return f"number {number} is the same as another one"
    return ""


def _length(secret: Any) -> int:
    """Return the number of bytes; 0 for what is no text."""
    try:
        return len(secret.encode()) if type(secret) is str else 0
    except UnicodeEncodeError:  # a variable that is not in UTF-8
        return 0
