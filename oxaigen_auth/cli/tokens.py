"""Reads the token of a command: from stdin, from the environment, or from an argument."""

from __future__ import annotations

import os
import sys

from oxaigen_auth._syntax.tokens import MAX_TOKEN, is_token

TOKEN_VARIABLE = "OXAIGEN_AUTH_TOKEN"  # noqa: S105 (a name)


class TokenError(Exception):
    """There is no token, or it is malformed. The message does not show it."""


def read_token(argument: str | None) -> str:
    """Return the token of an argument: itself, `-` for stdin, None for the variable or stdin.

    Raises:
        TokenError: there is no token, or it is malformed.
    """
    if argument not in (None, "-"):
        return _checked(argument, "The argument TOKEN")
    variable = os.environ.get(TOKEN_VARIABLE, "").strip()
    if argument is None and variable:
        return _checked(variable, f"The variable {TOKEN_VARIABLE}")
    if sys.stdin is None or sys.stdin.closed or (argument is None and sys.stdin.isatty()):
        raise TokenError(f"There is no token: pipe it to stdin, or set {TOKEN_VARIABLE}.")
    text = sys.stdin.buffer.read(2 * MAX_TOKEN).decode("utf-8", "replace").strip()
    if not text:
        raise TokenError(f"stdin is empty: pipe the token to it, or set {TOKEN_VARIABLE}.")
    return _checked(text, "stdin")


def _checked(text: str, source: str) -> str:
    if text[:7].lower() == "bearer ":
        raise TokenError(f"{source} holds more than a token: leave out 'Bearer'.")
    if not is_token(text):
        raise TokenError(
            f"{source} holds no bearer token: expected visible ASCII characters without spaces, "
            f"{MAX_TOKEN // 1024} KiB at most."
        )
    return text
