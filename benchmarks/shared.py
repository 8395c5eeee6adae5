"""The store that several workers share, compared with a client without one and with a bare GET."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import anyio

from benchmarks.callgrind import instructions
from benchmarks.harness import Figure, NotMeasuredError, alternate, measured, ratios
from benchmarks.instructions import HITS, count
from benchmarks.package_process import command
from benchmarks.proxy_process import local_proxy
from benchmarks.route import ENVIRON, TOKEN
from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

ROUNDS, CALLS = 15, 300
SECRET = ("a secret of at least thirty-two bytes",)
HIT = (
    Figure("shared: instructions of a hit, SQLite ÷ no store", at_most=1.15, digits=3),
    Figure("shared: instructions of a hit, Redis ÷ no store", at_most=1.02, digits=3),
)
SHARED_HIT = (
    Figure("shared: hit in SQLite ÷ lookup at the proxy", at_most=0.3),
    Figure("shared: hit in Redis ÷ one GET of coredis", at_most=1.5),
    Figure("shared: hit in Redis ÷ lookup at the proxy"),
)


def measure() -> list[Figure]:
    return [*measured(HIT, _hits), *measured(SHARED_HIT, _shared_hits)]


@contextmanager
def stores() -> Iterator[tuple[str, str]]:
    """Yield the URLs of a store in SQLite and of one in a Redis server, both new."""
    server = which("redis-server") or which("valkey-server")
    if server is None:
        raise NotMeasuredError("needs redis-server")
    with TemporaryDirectory() as folder:  # its mode is 0700
        socket = Path(folder, "redis.sock")
        words = [server, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)  # noqa: S603
        try:
            yield f"sqlite:///{folder}/auth.db", f"unix://{socket}"
        finally:
            process.terminate()
            process.wait()


def _client(proxy: str, store: str | None, **options: Any) -> ProxyAuthClient:
    settings = OxaigenAuthSettings(
        shared_store=store, shared_secret=SECRET if store else (), **options
    )
    return ProxyAuthClient(proxy, settings=settings)


def _hits() -> list[tuple[float]]:
    with local_proxy() as proxy, stores() as urls:
        words = command(sys.executable, __name__, hits.__name__, proxy.url, *urls)
        alone, sqlite, redis = instructions(words, ENVIRON)[1::2]  # a section before each case
    return [(sqlite / alone,), (redis / alone,)]


def hits(proxy: str, *urls: str) -> None:
    """Count the instructions of hits without a store, then of those with each store."""
    anyio.run(_count_hits, proxy, (None, *urls))


async def _count_hits(proxy: str, urls: tuple[str | None, ...]) -> None:
    for url in urls:
        async with _client(proxy, url) as client:
            await client.get_me(TOKEN)
            if url is not None and url.startswith("unix:"):
                while client.validator.store.checks is not None:  # noqa: ASYNC110
                    await anyio.sleep(0.1)
            await count(partial(client.get_me, TOKEN), HITS)


def _shared_hits() -> list[tuple[float, ...]]:
    with local_proxy() as proxy, stores() as urls:
        sqlite, redis, get, lookup = anyio.run(_time_shared_hits, proxy.url, *urls)
    return [ratios(sqlite, lookup), ratios(redis, get), ratios(redis, lookup)]


async def _time_shared_hits(proxy: str, sqlite: str, redis: str) -> list[list[float]]:
    from coredis import Redis  # noqa: PLC0415 (needs an extra)

    bare = Redis(unix_socket_path=redis.removeprefix("unix://"), decode_responses=False)
    async with (
        _client(proxy, None) as alone,
        _client(proxy, sqlite) as first,
        _client(proxy, redis) as second,
        bare,
    ):
        await anyio.sleep(0.3)  # until events arrive from Redis
        await bare.set("key", bytes(600))
        for client in (alone, first, second):
            await client.get_me(TOKEN)
        return await alternate(
            ROUNDS,
            partial(_time, partial(_shared_hit, first)),
            partial(_time, partial(_shared_hit, second)),
            partial(_time, partial(bare.get, "key")),
            partial(_time, partial(alone.get_me, TOKEN, fresh=True)),
        )


async def _shared_hit(client: ProxyAuthClient) -> None:
    client.validator.store.caches.clear()  # as in a worker that has not seen the token
    await client.get_me(TOKEN)


async def _time(call: Callable[[], Awaitable[object]]) -> float:
    start = perf_counter()
    for _ in range(CALLS):
        await call()
    return perf_counter() - start
