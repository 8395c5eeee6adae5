"""Which worker of an app answered a lookup."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from attrs import define

from oxaigen_auth_load.http1_connection import ConnectionFailedError, RequestTimeoutError
from oxaigen_auth_load.targets import HttpTarget

if TYPE_CHECKING:
    from collections.abc import Callable


@define
class Answer:
    headers: dict[bytes, bytes]
    status: int = 200
    body: bytes = b"{}"
    connection: int = 7

    def header(self, name: bytes) -> bytes | None:
        return self.headers.get(name)


@define(eq=False)
class Pool:
    """Answers with these, or raises them."""

    answers: list[Answer | Exception]

    async def get(self, _token: str, on_sent: Callable[[], None]) -> Answer:
        on_sent()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answered_by(*answers: Answer | Exception) -> list[str]:
    target = HttpTarget("app", cast("Any", Pool([*answers])), worker_header="X-Worker")

    async def ask() -> list[str]:
        names = [target.answered_by()]
        for _ in answers:
            await target.look_up("token", lambda: None)
            names.append(target.answered_by())
        return names[1:]

    return anyio.run(ask)


def test_the_header_names_the_worker_and_otherwise_the_connection_does() -> None:
    named, unnamed = Answer({b"x-worker": b"3"}), Answer({}, status=401)
    assert answered_by(named, unnamed) == ["3", f"connection 7 of process {os.getpid()}"]


@pytest.mark.parametrize("failure", [RequestTimeoutError(), ConnectionFailedError()])
def test_nobody_answers_a_lookup_that_fails(failure: Exception) -> None:
    assert answered_by(Answer({}), failure)[-1] == ""
