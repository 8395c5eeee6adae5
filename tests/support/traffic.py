"""Sends requests to the workers of a fleet from several threads, as many users do."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple, Self

from attrs import define, field

from tests.support.fleet import bearer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from tests.support.fleet import Worker

TIMEOUT = 60.0  # seconds: more than a request takes, however busy the machine
OK = 200
NO_ANSWER = 0  # the status of a request to a worker that was killed


class Request(NamedTuple):
    """A request for `/v1/me`, sent `due` seconds after the first one."""

    worker: Worker
    token: str
    due: float = 0.0


class Answer(NamedTuple):
    """The status of a request, and when it began and ended, in seconds after the first one."""

    request: Request
    status: int
    began: float
    ended: float


def send(requests: Sequence[Request], *, callers: int = 16) -> list[Answer]:
    """Send the requests, this many at once, and return the answers in the order of their ends."""
    left = iter(list(requests))  # each step of a list's iterator is atomic
    start = time.monotonic()
    with ThreadPoolExecutor(callers) as pool:
        futures = [pool.submit(_send_some, left, start) for _ in range(callers)]
        answers = [answer for future in futures for answer in future.result()]
    return sorted(answers, key=lambda it: it.ended)


def statuses(answers: Sequence[Answer]) -> Counter[int]:
    return Counter(it.status for it in answers)


def round_robin(workers: Sequence[Worker], tokens: Sequence[str], each: int = 1) -> list[Request]:
    """Return so many requests for each token, to one worker after another."""
    repeated = [token for token in tokens for _ in range(each)]
    return [Request(workers[i % len(workers)], token) for i, token in enumerate(repeated)]


def steady(
    workers: Sequence[Worker], tokens: Sequence[str], *, rate: float, seconds: float, random: Random
) -> list[Request]:
    """Return requests at random times, on average `rate` a second, each for a random token."""
    requests = []
    due = random.expovariate(rate)
    while due < seconds:
        requests.append(Request(random.choice(workers), random.choice(tokens), due))
        due += random.expovariate(rate)
    return requests


def status(worker: Worker, token: str) -> int:
    """Send one request over a connection of its own."""
    return send([Request(worker, token)], callers=1)[0].status


def _send_some(left: Iterator[Request], start: float) -> list[Answer]:
    connections: dict[str, _Connection] = {}
    answers = []
    for request in left:
        time.sleep(max(0.0, start + request.due - time.monotonic()))
        url = request.worker.url
        connection = connections.setdefault(url, _Connection(url))
        began = time.monotonic() - start
        got = connection.status(request.token)
        answers.append(Answer(request, got, began, time.monotonic() - start))
    for connection in connections.values():
        connection.http.close()
    return answers


@define(eq=False)
class _Connection:
    """A connection that is kept alive. A server may close it between two requests."""

    url: str
    http: HTTPConnection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.http = HTTPConnection(self.url.removeprefix("http://"), timeout=TIMEOUT)

    def status(self, token: str) -> int:
        reused = self.http.sock is not None
        try:
            self.http.request("GET", "/v1/me", headers=bearer(token))
            response = self.http.getresponse()
            response.read()
        except (HTTPException, OSError):
            self.http.close()
            return self.status(token) if reused else NO_ANSWER
        return response.status


class Load(Thread):
    """Sends requests in the background, until the block ends. `answers` has the results then."""

    def __init__(self, requests: Sequence[Request], *, callers: int = 8) -> None:
        super().__init__(daemon=True)
        self._requests = requests
        self._callers = callers
        self.answers: list[Answer] = []

    def run(self) -> None:
        self.answers = send(self._requests, callers=self._callers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join()
