"""Five thousand unknown tokens at once: beside the bare HTTP client, and the published package."""

from __future__ import annotations

import asyncio
import logging
import signal
from importlib import import_module
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, NoReturn

import anyio

from benchmarks.bare import TIMEOUT, in_process_with
from benchmarks.burst import CASES, Burst, rate_beside_bare
from benchmarks.harness import Figure, measured
from benchmarks.proxy_process import local_proxy
from benchmarks.sides import published_python, side

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKENS = 5000
LIBRARIES = ("httpx2", "httpx")
ROUNDS_BESIDE_PUBLISHED = {1000: 3, TOKENS: 1}  # for each number of tokens
ENVIRON = {"OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS": f"{TIMEOUT:g}"}


def measure() -> list[Figure]:
    beside_bare = [in_process_with(library, flood, library, backend) for library, backend in CASES]
    return beside_bare + [
        figure for tokens in ROUNDS_BESIDE_PUBLISHED for figure in _beside_published(tokens)
    ]


def flood(library: str, backend: str) -> Figure:
    """Measure where only this library is to be found; any lookup that fails raises."""
    with local_proxy() as proxy:
        values, best = anyio.run(rate_beside_bare, Burst(proxy.url, TOKENS), 0, backend=backend)
    return Figure(
        f"flood: {TOKENS:,} tokens, {library}, {backend}",
        values,
        at_least=0.95 if backend == "asyncio" else None,
        note=f"bare: {best} connections",
    )


def _beside_published(tokens: int) -> list[Figure]:
    name = f"flood: {tokens:,} tokens"
    figures = [Figure(f"{name}, {library} ÷ published", at_least=2.5) for library in LIBRARIES]
    errors = Figure(f"{name}, published: unanswered after {TIMEOUT:g} s", digits=0)
    return measured([*figures, errors], lambda: _measure_beside_published(tokens))


def _measure_beside_published(tokens: int) -> list[tuple[float, ...]]:
    rounds = [_round(tokens) for _ in range(ROUNDS_BESIDE_PUBLISHED[tokens])]
    return list(zip(*rounds, strict=True))


def _round(tokens: int) -> Sequence[float]:
    """Return the ratio for each library, and how many the published package left unanswered."""
    with local_proxy() as proxy, side(published_python(), ENVIRON) as published:
        answered, seconds = published.call(published_burst, proxy.url, tokens)
    rates = [tokens / in_process_with(library, our_burst, tokens) for library in LIBRARIES]
    ratios = [rate * seconds / answered if answered else inf for rate in rates]
    return *ratios, tokens - answered


def our_burst(tokens: int) -> float:
    with local_proxy() as proxy:
        return anyio.run(Burst(proxy.url, tokens).sdk)


def published_burst(url: str, tokens: int) -> tuple[int, float]:
    """Return how many it answers and in how many seconds: after its timeout it answers no more.

    The signal breaks into a loop that may be too busy to look at any clock; what it leaves behind
    ends with the process.
    """
    client = import_module("oxaigen_auth").ProxyAuthClient
    answered = 0

    async def ask(number: int) -> None:
        nonlocal answered
        await client.get_me(bearer_token=f"flood-{number}", proxy_base_url=url)
        answered += 1

    async def ask_all() -> None:
        await asyncio.gather(*map(ask, range(tokens)), return_exceptions=True)

    logging.disable()  # its errors are counted instead
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT)
    start = perf_counter()
    try:
        asyncio.new_event_loop().run_until_complete(ask_all())
    except KeyboardInterrupt:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return answered, perf_counter() - start


def _give_up(*_: object) -> NoReturn:
    raise KeyboardInterrupt  # an event loop takes anything else for the failure of one task
