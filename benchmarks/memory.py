"""Memory per cached user, after lookups over HTTP, and compared with the published package."""

from __future__ import annotations

import gc
import tracemalloc

import anyio

from benchmarks.bare import TIMEOUT
from benchmarks.harness import Figure, measured
from benchmarks.internals import fill, parser
from benchmarks.package_process import both_packages
from benchmarks.proxy_process import local_proxy, profile
from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient

USERS = 20_000
MANY_USERS = 100_000
CALLERS = 20
WARM_UP = 500  # users before the first reading, which load code and open connections
COMPARED = (
    Figure("memory: 100,000 users ÷ published", at_most=0.2, digits=3),
    Figure("memory: bytes per user at 100,000", digits=0),
    Figure("memory: bytes per user at 100,000, published", digits=0),
)


def measure() -> list[Figure]:
    with local_proxy() as proxy:
        size = anyio.run(_measure, proxy.url)
    looked_up = Figure("memory: bytes per cached user", (size,), at_most=1400, digits=0)
    return [looked_up, *measured(COMPARED, _compare_with_published)]


def _compare_with_published() -> list[tuple[float]]:
    with both_packages() as (ours, published):
        our = ours.call(bytes_per_user, MANY_USERS)
        their = published.call(bytes_per_user, MANY_USERS)
    return [(our / their,), (our,), (their,)]


def bytes_per_user(users: int) -> float:
    """Return the bytes per user in the cache of the installed package. All users have one role."""
    parser()(profile(0))  # loads the package
    tracemalloc.start()
    before = _allocated()
    cache = fill(users)
    size = (_allocated() - before) / users
    tracemalloc.stop()
    del cache
    return size


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
