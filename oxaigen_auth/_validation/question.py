"""A question to the proxy about a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

from oxaigen_auth._core.fingerprint import fingerprint as process_fingerprint


class Secret(str):
    """A bearer token, which its `repr` does not show."""

    __slots__ = ()

    def __new__(cls, token: str) -> Self:
        """Take the text itself: a subclass of str, such as an enum, may have another `__str__`."""
        return super().__new__(cls, str.__str__(token))

    def __repr__(self) -> str:
        return "Secret('***')"


class Question(NamedTuple):
    """Asks for the bearer of a token, or whether the bearer holds a permission.

    The fingerprint identifies the token. The base URL ends without a slash.
    """

    fingerprint: bytes
    base_url: str
    permission: str = ""

    def about(self, permission: str) -> Question:
        """Return the question whether the bearer holds a permission."""
        return Question(self.fingerprint, self.base_url, permission)


def user_question(
    token: str, base_url: str, fingerprint: Callable[[str], bytes] = process_fingerprint
) -> Question:
    """Return the question for the bearer of a token."""
    # `Question(…)` would add a Python call, a measurable part of a hit.
    return tuple.__new__(Question, (fingerprint(token), base_url, ""))


class FlightKey(NamedTuple):
    """A question and the generation of its token: no caller joins a flight of an older one."""

    question: Question
    generation: int
