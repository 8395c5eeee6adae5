"""How many calls a fleet makes to the proxy, with and without an engine, and when that fails.

`--long` measures for half a minute, and with eight workers.
"""

from __future__ import annotations

import signal
import time
from random import Random
from typing import TYPE_CHECKING, cast

import pytest

from benchmarks.fleet_model import Fleet, equal_rates
from tests.support.engines import RedisEngine
from tests.support.fleet import EIGHT, Worker, fleet, mock_process, token_of
from tests.support.fleet_parts import DEADLINE, ENGINES, Parts, running, slowest
from tests.support.traffic import Load, Request, send, status, statuses, steady

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TTL = 2.0  # seconds


@pytest.fixture(scope="module", params=ENGINES)
def brief(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parts]:
    """Run a fleet whose answers expire soon."""
    servers = EIGHT if request.config.getoption("--long") else EIGHT[:3]
    settings = {"CACHE_TTL_SECONDS": str(TTL), "SHARED_MAX_SKEW_SECONDS": "0.1"}
    folder = tmp_path_factory.mktemp("brief")
    with running(request.param, folder, servers, settings) as parts:
        yield parts


def test_the_calls_do_not_grow_with_the_workers(brief: Parts, long: bool) -> None:  # noqa: FBT001
    for size in (1, 2, 4, 8) if long else (3,):
        requests = constant_traffic(
            brief.workers[:size], users=brief.users(30), seconds=30.0 if long else 4.0
        )
        brief.mock.clear_calls()
        assert statuses(send(requests)) == {200: len(requests)}
        assert brief.mock.calls() <= calls_of(requests, shared=True) * 1.1


def test_without_a_store_each_worker_makes_its_own_calls(tmp_path: Path, long: bool) -> None:  # noqa: FBT001
    servers, settings = EIGHT if long else EIGHT[:2], {"CACHE_TTL_SECONDS": str(TTL)}
    with mock_process(tmp_path, users=30) as mock, fleet(servers, mock, settings) as workers:
        requests = constant_traffic(workers, users=range(30), seconds=30.0 if long else 4.0)
        assert statuses(send(requests)) == {200: len(requests)}
        tolerance = 0.1 if long else 0.2  # the machine may be busy with other tests
        assert mock.calls() == pytest.approx(calls_of(requests, shared=False), rel=tolerance)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_the_model_counts_the_calls_of_a_long_time(size: int) -> None:
    workers = cast("list[Worker]", list(range(size)))
    requests = steady(workers, ["a", "b"], rate=2, seconds=20_000, random=Random(size))
    model = Fleet(size, equal_rates(2, 2.0), TTL)
    for shared, rate in ((False, model.calls_without), (True, model.calls)):
        assert calls_of(requests, shared=shared) == pytest.approx(20_000 * rate, rel=0.03)


def constant_traffic(
    workers: list[Worker], *, users: Iterable[int], seconds: float
) -> list[Request]:
    tokens, random = [token_of(it) for it in users], Random(len(workers))
    return steady(workers, tokens, rate=60, seconds=seconds, random=random)


def calls_of(requests: list[Request], *, shared: bool) -> int:
    """Return how many calls the requests need: if one cache serves all, or one for each worker."""
    asked: dict[object, float] = {}
    calls = 0
    for request in requests:
        key = request.token if shared else (request.worker, request.token)
        if request.due >= asked.get(key, -TTL) + TTL:
            asked[key] = request.due
            calls += 1
    return calls


def test_users_are_served_while_the_engine_is_killed_and_started_again(brief: Parts) -> None:
    """What was forgotten meanwhile is refused everywhere after a TTL, and then at once again."""
    token, other = brief.tokens(2)
    assert brief.all_answer(token, 200)
    with Load(brief.background_load(seconds=TTL + 2)) as load:
        time.sleep(0.5)
        brief.engine.kill()
        brief.mock.revoke(token)
        brief.workers[0].sign_out(token)
        assert status(brief.workers[0], token) == 401
        time.sleep(TTL + 0.5)
        assert brief.all_answer(token, 401)
        brief.engine.start()
    assert set(statuses(load.answers)) == {200}
    assert slowest(load.answers) < DEADLINE
    assert brief.all_answer(token, 401)
    brief.wait_until_shared()
    assert brief.all_answer(other, 200)


@pytest.mark.parametrize("brief", ["redis"], indirect=True)  # SQLite has no process of its own
def test_users_are_served_while_the_engine_is_frozen(brief: Parts) -> None:
    assert isinstance(brief.engine, RedisEngine)
    with Load(brief.background_load(seconds=3)) as load:
        time.sleep(0.5)
        brief.engine.signal(signal.SIGSTOP)
        try:
            assert all(brief.all_answer(it, 200) for it in brief.tokens(3))
        finally:
            brief.engine.signal(signal.SIGCONT)
    assert set(statuses(load.answers)) == {200}
    assert slowest(load.answers) < DEADLINE
    brief.wait_until_shared()
