"""Clients of a shared store in a real engine: cancelled callers, and clients that only forget."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from oxaigen_auth import (
    BlockingProxyAuthClient,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
)
from oxaigen_auth.testing import FakeProxy
from tests.support.redis_server import redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from oxaigen_auth import ProxyAuthClient

pytestmark = pytest.mark.anyio

SHORT, LONG = 1_000, 10_000  # calls for each engine and backend
TOKENS = 60
SECRET = "a secret of at least thirty-two bytes"


@contextmanager
def store_url(engine: str, folder: Path) -> Iterator[str]:
    if engine == "redis":
        with redis_server(folder) as server:
            yield server.url
    else:
        folder.chmod(0o700)
        yield f"sqlite:///{folder}/auth.db"


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
async def test_nobody_gets_the_user_of_another_token_and_no_lease_is_left(
    engine: str,
    long: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    rng = random.Random(1)
    proxy = FakeProxy()
    for number in range(TOKENS):
        proxy.add_user(f"token-{number}", id=number)
    served = 0

    async def ask(client: ProxyAuthClient) -> None:
        nonlocal served
        number = rng.randrange(TOKENS)
        with anyio.move_on_after(rng.random() * 0.1):
            user = await client.get_me(f"token-{number}", fresh=rng.random() < 0.2)
            assert user.id == number
            served += 1
        if rng.random() < 0.05:
            client.forget(f"token-{number}")

    with store_url(engine, tmp_path) as url:
        clients = [proxy.client(shared_store=url, shared_secret=(SECRET,)) for _ in range(3)]
        async with clients[0], clients[1], clients[2]:
            for _ in range((LONG if long else SHORT) // 20):
                proxy.delay = rng.random() * 0.01
                async with anyio.create_task_group() as group:
                    for _ in range(20):
                        group.start_soon(ask, rng.choice(clients))
            await anyio.sleep(0.6)  # until the leases expire whose release was lost
            proxy.delay = 0
            proxy_calls = proxy.count()
            for client in clients:
                client.forget_all()
            await anyio.sleep(0.2)
            started = anyio.current_time()
            for number in range(TOKENS):
                assert (await clients[0].get_me(f"token-{number}")).id == number
            assert anyio.current_time() - started < TOKENS * 0.25  # none waits for a lease
            assert proxy.count() == proxy_calls + TOKENS
    assert served > 50
    assert [client.stats().shared_refused for client in clients] == [0, 0, 0]


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_a_blocking_client_that_only_forgets_reaches_the_others(
    engine: str, tmp_path: Path
) -> None:
    proxy = FakeProxy()
    proxy.add_user("a-token", id=1)
    with store_url(engine, tmp_path) as url:
        settings = OxaigenAuthSettings(shared_store=url, shared_secret=(SECRET,))

        def client() -> BlockingProxyAuthClient:
            return BlockingProxyAuthClient(
                "https://app.example.com", settings=settings, transport=proxy
            )

        with client() as other:
            assert other.get_me("a-token").id == 1
            proxy.reject("a-token")
            with client() as unused:
                unused.forget("a-token")
            time.sleep(0.2)
            with pytest.raises(OxaigenAuthUnauthenticatedError):
                other.get_me("a-token")
