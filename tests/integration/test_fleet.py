"""What eight real workers share, with an engine and a mock in processes of their own.

`--long` sends as many requests as the figures of docs/fleet.md name.
"""

from __future__ import annotations

import os
import signal
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.support.engines import RedisEngine
from tests.support.fleet import EIGHT, SECRET, fleet, token_of, user_id_of
from tests.support.fleet_parts import DEADLINE, ENGINES, Parts, eventually, running, slowest
from tests.support.traffic import (
    NO_ANSWER,
    Load,
    Request,
    round_robin,
    send,
    status,
    statuses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=ENGINES)
def eight(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("eight")
    with running(request.param, folder, EIGHT, {}) as parts:
        yield parts


def test_one_cold_token_makes_one_call_over_eight_workers(eight: Parts, long: bool) -> None:  # noqa: FBT001
    """On a machine that is busy with other tests, the lease may end before the proxy answers."""
    (token,) = eight.tokens(1)
    size = 10_000 if long else 800
    assert statuses(send(round_robin(eight.workers, [token], size))) == {200: size}
    assert eight.mock.calls(token) <= (1 if long else 2)
    assert sum(worker.stats()["shared_hits"] for worker in eight.workers) >= len(eight.workers) - 2


def test_each_of_many_tokens_makes_one_call(eight: Parts, long: bool) -> None:  # noqa: FBT001
    tokens = eight.tokens(1_000 if long else 60)
    eight.mock.clear_calls()
    answers = send(round_robin(eight.workers, tokens, 10))
    assert statuses(answers) == {200: len(tokens) * 10}
    assert len(tokens) <= eight.mock.calls() <= len(tokens) * 1.02 + 1


def test_a_sign_out_at_one_worker_is_seen_by_all_under_load(eight: Parts, long: bool) -> None:  # noqa: FBT001
    random = Random(1)
    with Load(eight.background_load(seconds=240.0 if long else 3.0)) as load:
        for token in eight.tokens(1_000 if long else 5):
            assert eight.all_answer(token, 200)
            eight.mock.revoke(token)
            random.choice(eight.workers).sign_out(token)
            assert eight.refused_after(token) <= eight.engine.delay
    assert set(statuses(load.answers)) == {200}


@pytest.mark.parametrize("eight", ["redis"], indirect=True)
def test_a_sign_out_is_seen_by_workers_whose_connections_are_reset(eight: Parts) -> None:
    assert isinstance(eight.engine, RedisEngine)
    (token,) = eight.tokens(1)
    assert eight.all_answer(token, 200)
    eight.mock.revoke(token)
    eight.engine.reset_connections()
    eight.workers[0].sign_out(token)
    assert eight.refused_after(token) <= eight.engine.delay


def test_a_deleted_account_is_refused_by_all_workers(eight: Parts) -> None:
    for user in eight.users(3):
        token = token_of(user)
        assert eight.all_answer(token, 200)
        eight.mock.revoke(token)
        path = f"/back-channel/sign-out/{user_id_of(user)}"
        eight.workers[0].http.post(path, headers=SECRET).raise_for_status()
        assert eight.refused_after(token) <= eight.engine.delay


def test_a_lookup_whose_worker_is_killed_is_made_by_the_others(eight: Parts) -> None:
    """They wait for as long as the lease lasts, and not for a whole timeout."""
    mock, (token,) = eight.mock, eight.tokens(1)
    with fleet(("trio",), mock, eight.engine.settings) as (victim,):
        pid = victim.stats()["pid"]
        mock.delay(1.0)
        with Load([Request(victim, token)]) as lookup:
            eventually(lambda: mock.calls(token) == 1)
            os.kill(pid, signal.SIGKILL)
            answers = send(round_robin(eight.workers, [token], len(eight.workers)))
    mock.delay(0)
    assert statuses(lookup.answers) == {NO_ANSWER: 1}
    assert statuses(answers) == {200: len(eight.workers)}
    assert slowest(answers) < DEADLINE


def test_a_worker_that_joins_and_is_killed_costs_hardly_more_calls(
    eight: Parts,
    long: bool,  # noqa: FBT001
) -> None:
    known, *tokens = eight.tokens(1_001 if long else 61)
    assert status(eight.workers[0], known) == 200
    with fleet(("asyncio",), eight.mock, eight.engine.settings) as (new,):
        assert status(new, known) == 200
        assert eight.mock.calls(known) == 1
        eight.mock.clear_calls()
        with Load(round_robin([*eight.workers, new], tokens, 10), callers=16) as load:
            eventually(lambda: eight.mock.calls() > len(tokens) / 4)
            os.kill(new.process.pid, signal.SIGKILL)
    assert set(statuses(load.answers)) == {200, NO_ANSWER}
    # Leases may end before the answer on a busy machine. Without a store there are 9 calls each.
    assert eight.mock.calls() <= len(tokens) * (1.02 if long else 1.5)


def test_a_frozen_worker_delays_no_other_and_refuses_what_was_forgotten_meanwhile(
    eight: Parts,
) -> None:
    (token,) = eight.tokens(1)
    frozen, *others = eight.workers
    assert eight.all_answer(token, 200)
    pid = frozen.stats()["pid"]
    with Load(eight.background_load(seconds=3, workers=others)) as load:
        os.kill(pid, signal.SIGSTOP)
        try:
            eight.mock.revoke(token)
            others[0].sign_out(token)
            time.sleep(eight.engine.delay)
            assert [status(it, token) for it in others] == [401] * len(others)
        finally:
            os.kill(pid, signal.SIGCONT)
        time.sleep(eight.engine.delay)
        assert status(frozen, token) == 401
    assert set(statuses(load.answers)) == {200}
    assert slowest(load.answers) < DEADLINE


def test_an_outage_of_the_proxy_ends_for_all_workers(eight: Parts) -> None:
    """A user whom one worker has seen is served by all, and the circuits close again."""
    known, *new = eight.tokens(6)
    assert status(eight.workers[0], known) == 200
    eight.mock.end()
    assert eight.all_answer(known, 200)
    answers = send([Request(worker, token) for token in new for worker in eight.workers])
    assert statuses(answers) == {502: len(new) * len(eight.workers)}
    eight.mock.start()
    eventually(lambda: all(eight.all_answer(token, 200) for token in new))
