"""What a cached user weighs, filled in by lookups as in production."""

from __future__ import annotations

import gc
import tracemalloc

import anyio

from benchmarks.bare import TIMEOUT
from benchmarks.harness import Figure
from benchmarks.proxy_process import local_proxy
from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient

USERS = 20_000
CALLERS = 20
WARM_UP = 500  # users before the first reading: connections, buffers, code that loads late


def measure() -> list[Figure]:
    with local_proxy() as proxy:
        weight = anyio.run(_measure, proxy.url)
    return [Figure("memory: bytes per cached user", (weight,), at_most=1400, digits=0)]


async def _measure(url: str) -> float:
    settings = OxaigenAuthSettings(
        proxy_timeout_seconds=TIMEOUT, cache_ttl_seconds=3600, cache_max_entries=WARM_UP + USERS
    )
    async with ProxyAuthClient(url, settings=settings) as client:
        await _look_up(client, range(WARM_UP))
        tracemalloc.start()
        try:
            before = _allocated()
            await _look_up(client, range(WARM_UP, WARM_UP + USERS))
            return (_allocated() - before) / USERS
        finally:
            tracemalloc.stop()


async def _look_up(client: ProxyAuthClient, numbers: range) -> None:
    async def ask(some: range) -> None:
        for number in some:
            await client.get_me(f"memory-{number}")

    async with anyio.create_task_group() as group:
        for start in range(CALLERS):
            group.start_soon(ask, numbers[start::CALLERS])


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
