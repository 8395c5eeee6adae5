"""Questions name their token by its fingerprint, and secrets do not show themselves."""

from __future__ import annotations

from enum import Enum

import pytest

from oxaigen_auth._core.fingerprint import fingerprint
from oxaigen_auth._validation.question import Secret, user_question
from tests.support.tokens import OTHER, TOKEN

BASE = "https://app.example.com"


def test_questions_are_equal_if_token_url_and_permission_are() -> None:
    user = user_question(TOKEN, BASE)
    assert user == user_question(TOKEN, BASE)
    others = [user_question(OTHER, BASE), user_question(TOKEN, f"{BASE}/a"), user.about("audit")]
    assert user not in others
    assert user.about("audit") == user_question(TOKEN, BASE).about("audit")


def test_a_question_does_not_hold_its_token() -> None:
    assert TOKEN not in repr(user_question(TOKEN, BASE).about("audit"))


def test_a_secret_is_its_token_but_does_not_show_it() -> None:
    secret = Secret(TOKEN)
    assert secret == TOKEN
    assert f"{secret!r}" == "Secret('***')"


class Masked(str):
    """A token whose own methods return something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "***"

    def encode(self, encoding: str = "", errors: str = "") -> bytes:  # noqa: ARG002
        return b"***"


class Tokens(str, Enum):  # noqa: UP042 (unlike of a `StrEnum`, its text is "Tokens.ONE")
    ONE = TOKEN


@pytest.mark.parametrize("token", [Masked(TOKEN), Tokens.ONE])
def test_a_subclass_of_str_counts_as_its_text(token: str) -> None:
    assert str(token) != TOKEN
    assert str.encode(Secret(token)) == TOKEN.encode()
    assert f"{Secret(token)}" == TOKEN
    assert fingerprint(token) == fingerprint(TOKEN)
