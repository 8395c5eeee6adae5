"""1,000 lookups of different tokens at once, compared with the bare HTTP client at its best."""

from __future__ import annotations

from functools import partial
from itertools import count
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field

from benchmarks.bare import TIMEOUT, bare_client, bare_get, in_process_with
from benchmarks.harness import Figure, alternate, ratios
from benchmarks.proxy_process import local_proxy
from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

TOKENS = 1000
ROUNDS = 5
TRIALS = 3
# The proxy's latency in seconds, and the numbers of connections to try with the bare client. They
# include the best one; the trials stop at a number that is much slower.
DELAYS = {0: (2, 4, 8, 16), 0.005: (4, 8, 16, 32), 0.05: (24, 32, 48, 64, 100, 150)}
MUCH_SLOWER = 1.5
CASES = (("httpx2", "asyncio"), ("httpx", "asyncio"), ("httpx2", "trio"), ("httpx", "trio"))


def measure() -> list[Figure]:
    return [
        in_process_with(library, measure_one, library, backend, delay)
        for library, backend in CASES
        for delay in DELAYS
    ]


def measure_one(library: str, backend: str, delay: float) -> Figure:
    """Measure in a process that can import this library only. The target applies to asyncio."""
    with local_proxy(delay) as proxy:
        burst = Burst(proxy.url)
        values, best = anyio.run(compare_with_bare, burst, delay, backend=backend)
    return Figure(
        f"burst: {library}, {backend}, {delay * 1000:g} ms",
        values,
        at_least=0.85 if backend == "asyncio" else None,
        note=f"bare: {best} connections",
    )


async def compare_with_bare(burst: Burst, delay: float) -> tuple[tuple[float, ...], int]:
    """Return the ratios of the SDK's rate to the bare client's, and the latter's connections."""
    best = await _best_connections(Burst(burst.url), DELAYS[delay])
    sdk, bare = await alternate(ROUNDS, burst.sdk, partial(burst.bare, best))
    return ratios(bare, sdk), best  # a ratio of rates is the inverse of a ratio of times


async def _best_connections(burst: Burst, candidates: tuple[int, ...]) -> int:
    best, least = 0, inf
    for connections in candidates:
        seconds = min([await burst.bare(connections) for _ in range(TRIALS)])
        if seconds > MUCH_SLOWER * least:
            break
        if seconds < least:
            best, least = connections, seconds
    return best


@define(eq=False)
class Burst:
    """Times bursts. Each burst has new tokens and a new client."""

    url: str
    tokens: int = TOKENS
    _numbers: Iterator[int] = field(factory=count, init=False)

    async def sdk(self, settings: OxaigenAuthSettings | None = None) -> float:
        """Return the seconds that the SDK's client takes. A failed lookup raises."""
        settings = settings or OxaigenAuthSettings(proxy_timeout_seconds=TIMEOUT)
        async with ProxyAuthClient(self.url, settings=settings) as client:
            return await self._time(client.get_me)

    async def bare(self, connections: int) -> float:
        """Return the seconds that the bare client takes, with a limiter before its pool."""
        limiter = anyio.CapacityLimiter(connections)
        async with bare_client(connections) as client:

            async def get(token: str) -> None:
                async with limiter:
                    await bare_get(client, self.url, token)

            return await self._time(get)

    async def _time(self, ask: Callable[[str], Coroutine[Any, Any, object]]) -> float:
        start = perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(self.tokens):
                group.start_soon(ask, f"burst-{next(self._numbers)}")
        return perf_counter() - start
