"""A fleet of real workers with its engine and its mock, and what the tests of fleets ask of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from attrs import define, field

from tests.support.engines import RedisEngine, SqliteEngine, engine_of
from tests.support.fleet import Mock, Worker, fleet, mock_process, token_of
from tests.support.traffic import OK, Answer, Request, round_robin, send, status, steady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

ENGINES = ("sqlite", "redis")
USERS = 3_000
DEADLINE = 5.0  # seconds: PROXY_TIMEOUT_SECONDS
PATIENCE = 30.0  # seconds: more than a recovery takes, however busy the machine


@define(eq=False)
class Parts:
    """An engine, a mock, and the workers. Each test takes users that no other test has used."""

    engine: SqliteEngine | RedisEngine
    mock: Mock
    workers: list[Worker]
    _users: Iterator[int] = field(factory=lambda: iter(range(USERS)), init=False)

    def users(self, count: int) -> list[int]:
        return [next(self._users) for _ in range(count)]

    def tokens(self, count: int) -> list[str]:
        return [token_of(user) for user in self.users(count)]

    def all_answer(self, token: str, expected: int) -> bool:
        """Return whether a request to each worker, one after another, gets this status."""
        return all(status(worker, token) == expected for worker in self.workers)

    def refused_after(self, token: str) -> float:
        """Wait until no worker accepts a token. Return when the last one did, in seconds."""
        start = time.monotonic()
        requests = round_robin(self.workers, [token], len(self.workers))

        def accepted() -> list[float]:
            offset = time.monotonic() - start
            answers = send(requests, callers=len(requests))
            return [offset + it.began for it in answers if it.status == OK]

        return max(chain.from_iterable(iter(accepted, [])), default=0.0)

    def background_load(
        self, *, seconds: float, workers: Sequence[Worker] | None = None
    ) -> list[Request]:
        """Return requests of 20 users, 40 a second."""
        random = Random(len(self.workers))
        return steady(
            workers or self.workers, self.tokens(20), rate=40, seconds=seconds, random=random
        )

    def wait_until_shared(self) -> None:
        """Wait until all workers use the store. They notice at different times that it is back."""

        def makes_one_call() -> bool:
            (token,) = self.tokens(1)
            return self.all_answer(token, 200) and self.mock.calls(token) == 1

        eventually(makes_one_call)


@contextmanager
def running(
    engine_name: str, folder: Path, servers: Sequence[str], settings: Mapping[str, str]
) -> Iterator[Parts]:
    """Run an engine, a mock, and a worker for each of the servers."""
    with (
        engine_of(engine_name, folder / "engine") as engine,
        mock_process(folder, users=USERS, latency=0.02) as mock,
        fleet(servers, mock, {**engine.settings, **settings}) as workers,
    ):
        parts = Parts(engine, mock, workers)
        parts.all_answer(parts.tokens(1)[0], 200)  # the first call of a worker takes longer
        yield parts


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def slowest(answers: Sequence[Answer]) -> float:
    return max(it.ended - it.began for it in answers)
