"""A thousand unknown tokens at once, against the bare HTTP client at its best concurrency."""

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
# Seconds that the proxy takes for an answer, and the numbers of connections that the bare client
# tries: the best is among them, and the first trial that is far behind it is the last.
DELAYS = {0: (2, 4, 8, 16), 0.005: (4, 8, 16, 32), 0.05: (24, 32, 48, 64, 100, 150)}
HOPELESS = 1.5
CASES = (("httpx2", "asyncio"), ("httpx", "asyncio"), ("httpx2", "trio"), ("httpx", "trio"))


def measure() -> list[Figure]:
    return [
        in_process_with(library, measure_one, library, backend, delay)
        for library, backend in CASES
        for delay in DELAYS
    ]


def measure_one(library: str, backend: str, delay: float) -> Figure:
    """Measure where only this library is to be found. The target is for asyncio."""
    with local_proxy(delay) as proxy:
        burst = Burst(proxy.url)
        values, best = anyio.run(rate_beside_bare, burst, delay, backend=backend)
    return Figure(
        f"burst: {library}, {backend}, {delay * 1000:g} ms",
        values,
        at_least=0.85 if backend == "asyncio" else None,
        note=f"bare: {best} connections",
    )


async def rate_beside_bare(burst: Burst, delay: float) -> tuple[tuple[float, ...], int]:
    """Return the SDK's rates as ratios to the bare client's best, and what suited that one."""
    best = await _best_level(Burst(burst.url), DELAYS[delay])
    sdk, bare = await alternate(ROUNDS, burst.sdk, partial(burst.bare, best))
    return ratios(bare, sdk), best  # of rates, which are the inverse of times


async def _best_level(burst: Burst, levels: tuple[int, ...]) -> int:
    best, least = 0, inf
    for level in levels:
        seconds = min([await burst.bare(level) for _ in range(TRIALS)])
        if seconds > HOPELESS * least:
            break
        if seconds < least:
            best, least = level, seconds
    return best


@define(eq=False)
class Burst:
    """Times bursts of tokens that no burst before had, each with a client of its own."""

    url: str
    tokens: int = TOKENS
    _numbers: Iterator[int] = field(factory=count, init=False)

    async def sdk(self, settings: OxaigenAuthSettings | None = None) -> float:
        """Return the seconds a client takes; any lookup that fails raises."""
        settings = settings or OxaigenAuthSettings(proxy_timeout_seconds=TIMEOUT)
        async with ProxyAuthClient(self.url, settings=settings) as client:
            return await self._time(client.get_me)

    async def bare(self, connections: int) -> float:
        """Return the seconds the bare client takes; the limiter spares its pool the queue."""
        turns = anyio.CapacityLimiter(connections)
        async with bare_client(connections) as client:

            async def get(token: str) -> None:
                async with turns:
                    await bare_get(client, self.url, token)

            return await self._time(get)

    async def _time(self, ask: Callable[[str], Coroutine[Any, Any, object]]) -> float:
        start = perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(self.tokens):
                group.start_soon(ask, f"burst-{next(self._numbers)}")
        return perf_counter() - start
