"""A fleet on several hosts, whose network loses packets between some of them, in one direction.

Needs root on Linux, for network namespaces, and Redis or Valkey.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.engines import engine_of
from tests.support.fleet import Worker, fleet, mock_process
from tests.support.fleet_parts import DEADLINE, USERS, Parts
from tests.support.hosts import Host, hosts, why_no_hosts
from tests.support.traffic import round_robin, send, status, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED_WITHIN = 1.1  # seconds, by a worker that the engine no longer reaches


class Network(NamedTuple):
    """Three hosts, and a fleet of two workers, the first one near and the second one far."""

    proxy: Host
    engine: Host
    far: Host
    parts: Parts


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if reason := why_no_hosts():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("network")
    with (
        hosts(["proxy", "engine", "near", "far"]) as (proxy, engine_host, near, far),
        engine_of("redis", folder / "engine", engine_host) as engine,
        mock_process(folder, users=USERS, host=proxy) as mock,
        fleet(("asyncio", "trio"), mock, engine.settings, places=(near, far)) as workers,
    ):
        yield Network(proxy, engine_host, far, Parts(engine, mock, workers))


@contextmanager
def lost(*directions: tuple[Host, Host]) -> Iterator[None]:
    """Lose the packets from the first host of each pair to the second one."""
    for sender, receiver in directions:
        sender.drop_packets_to(receiver)
    try:
        yield
    finally:
        for sender, receiver in directions:
            sender.send_packets_to(receiver)


def answer(worker: Worker, token: str) -> int:
    """Return the status, which must not take longer than a lookup may."""
    start = time.monotonic()
    got = status(worker, token)
    assert time.monotonic() - start < DEADLINE
    return got


def partition(network: Network, direction: str) -> list[tuple[Host, Host]]:
    far, engine = network.far, network.engine
    return {
        "to the engine": [(far, engine)],
        "from the engine": [(engine, far)],
        "both": [(far, engine), (engine, far)],
    }[direction]


@pytest.mark.parametrize("direction", ["to the engine", "from the engine", "both"])
def test_a_host_that_the_engine_does_not_reach_serves_users_and_forgets(
    network: Network, direction: str
) -> None:
    parts = network.parts
    near, far = parts.workers
    parts.wait_until_shared()
    (token,) = parts.tokens(1)
    assert [answer(it, token) for it in (near, far)] == [200, 200]
    with lost(*partition(network, direction)):
        parts.mock.revoke(token)
        near.sign_out(token)
        assert answer(near, token) == 401
        time.sleep(REFUSED_WITHIN)
        assert answer(far, token) == 401
        for cold in parts.tokens(5):
            assert [answer(it, cold) for it in (near, far)] == [200, 200]
    parts.wait_until_shared()


def test_a_host_that_cannot_reach_the_proxy_uses_what_the_others_know(network: Network) -> None:
    """Its circuit opens for itself only."""
    parts = network.parts
    near, far = parts.workers
    parts.wait_until_shared()
    known, *new = parts.tokens(7)
    assert answer(near, known) == 200
    with lost((network.far, network.proxy), (network.proxy, network.far)):
        assert answer(far, known) == 200
        answers = send(round_robin([far], new), callers=len(new))
        assert statuses(answers) == {502: len(new)}
        assert [answer(near, it) for it in new] == [200] * len(new)
        assert [answer(far, it) for it in new] == [200] * len(new)
