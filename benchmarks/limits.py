"""Lookups per second by number of connections, for the default of `max_connections`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from benchmarks.bare import TIMEOUT, in_process_with
from benchmarks.burst import CASES, DELAYS, TOKENS, Burst
from benchmarks.harness import Figure, alternate
from benchmarks.proxy_process import local_proxy
from oxaigen_auth import OxaigenAuthSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 5
LIMITS = (1, 2, 4, 8, 10, 16, 20, 32, 50, 100)
MAX_SECONDS = 4.0  # of a burst: it has fewer tokens if the proxy's latency alone adds up to more


def measure() -> list[Figure]:
    return [
        figure
        for library, backend in CASES
        for delay in DELAYS
        for figure in in_process_with(library, measure_one, library, backend, delay)
    ]


def measure_one(
    library: str, backend: str, delay: float, limits: Sequence[int] = LIMITS
) -> list[Figure]:
    """Measure each limit in a process that can import this library only."""
    with local_proxy(delay) as proxy:
        rates = anyio.run(_measure, proxy.url, delay, limits, backend=backend)
    case = f"{library}, {backend}, {delay * 1000:g} ms"
    return [
        Figure(f"limits: {case}, {limit} connections", tuple(values), digits=0)
        for limit, values in zip(limits, rates, strict=True)
    ]


async def _measure(url: str, delay: float, limits: Sequence[int]) -> list[list[float]]:
    return await alternate(ROUNDS, *(partial(_rate, url, delay, limit) for limit in limits))


async def _rate(url: str, delay: float, limit: int) -> float:
    tokens = min(TOKENS, int(MAX_SECONDS * limit / delay)) if delay else TOKENS
    settings = OxaigenAuthSettings(proxy_timeout_seconds=TIMEOUT, max_connections=limit)
    return tokens / await Burst(url, tokens).sdk(settings)
