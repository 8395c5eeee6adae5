"""What a cached user weighs: put there by lookups as in production, and beside the published."""

from __future__ import annotations

import gc
import tracemalloc

import anyio

from benchmarks.bare import TIMEOUT
from benchmarks.harness import Figure, measured
from benchmarks.insides import fill, parser
from benchmarks.proxy_process import local_proxy, profile
from benchmarks.sides import both_sides
from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient

USERS = 20_000
MANY_USERS = 100_000
CALLERS = 20
WARM_UP = 500  # users before the first reading: connections, buffers, code that loads late
BESIDE = (
    Figure("memory: 100,000 users ÷ published", at_most=0.2, digits=3),
    Figure("memory: bytes per user at 100,000", digits=0),
    Figure("memory: bytes per user at 100,000, published", digits=0),
)


def measure() -> list[Figure]:
    with local_proxy() as proxy:
        weight = anyio.run(_measure, proxy.url)
    looked_up = Figure("memory: bytes per cached user", (weight,), at_most=1400, digits=0)
    return [looked_up, *measured(BESIDE, _beside_published)]


def _beside_published() -> list[tuple[float]]:
    with both_sides() as (ours, published):
        our, their = ours.call(weigh, MANY_USERS), published.call(weigh, MANY_USERS)
    return [(our / their,), (our,), (their,)]


def weigh(users: int) -> float:
    """Return the bytes per user of this side's cache; all users have the same role."""
    parser()(profile(0))  # which loads the package
    tracemalloc.start()
    before = _allocated()
    kept = fill(users)
    weight = (_allocated() - before) / users
    tracemalloc.stop()
    del kept
    return weight


async def _measure(url: str) -> float:
    settings = OxaigenAuthSettings(
        proxy_timeout_seconds=TIMEOUT,
        cache_ttl_seconds=3600,
        cache_max_entries=WARM_UP + USERS,
        cache_max_bytes=2**40,
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
