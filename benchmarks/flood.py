"""5,000 lookups at once, compared with the bare HTTP client and with the published package."""

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
from benchmarks.burst import CASES, Burst, compare_with_bare
from benchmarks.harness import Figure, measured
from benchmarks.package_process import package_process, published_python
from benchmarks.proxy_process import local_proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKENS = 5000
LIBRARIES = ("httpx2", "httpx")
ROUNDS = {1000: 3, TOKENS: 1}  # for each number of tokens
ENVIRON = {"OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS": f"{TIMEOUT:g}"}


def measure() -> list[Figure]:
    floods = [in_process_with(library, flood, library, backend) for library, backend in CASES]
    return floods + [figure for tokens in ROUNDS for figure in _compare_with_published(tokens)]


def flood(library: str, backend: str) -> Figure:
    """Measure in a process that can import this library only. A failed lookup raises."""
    with local_proxy() as proxy:
        values, best = anyio.run(compare_with_bare, Burst(proxy.url, TOKENS), 0, backend=backend)
    return Figure(
        f"flood: {TOKENS:,} tokens, {library}, {backend}",
        values,
        at_least=0.95 if backend == "asyncio" else None,
        note=f"bare: {best} connections",
    )


def _compare_with_published(tokens: int) -> list[Figure]:
    name = f"flood: {tokens:,} tokens"
    figures = [Figure(f"{name}, {library} ÷ published", at_least=2.5) for library in LIBRARIES]
    errors = Figure(f"{name}, published: unanswered after {TIMEOUT:g} s", digits=0)
    return measured([*figures, errors], lambda: _measure_rounds(tokens))


def _measure_rounds(tokens: int) -> list[tuple[float, ...]]:
    rounds = [_round(tokens) for _ in range(ROUNDS[tokens])]
    return list(zip(*rounds, strict=True))


def _round(tokens: int) -> Sequence[float]:
    """Return a ratio for each library, and the published package's number of failed lookups."""
    with local_proxy() as proxy, package_process(published_python(), ENVIRON) as published:
        answered, seconds = published.call(published_burst, proxy.url, tokens)
    rates = [tokens / in_process_with(library, our_burst, tokens) for library in LIBRARIES]
    ratios = [rate * seconds / answered if answered else inf for rate in rates]
    return *ratios, tokens - answered


def our_burst(tokens: int) -> float:
    with local_proxy() as proxy:
        return anyio.run(Burst(proxy.url, tokens).sdk)


def published_burst(url: str, tokens: int) -> tuple[int, float]:
    """Return the number of answered lookups, and the seconds that they took.

    No lookup is answered after the timeout. A signal interrupts the event loop, which may be too
    busy to check its clock. The interrupted tasks end with the process.
    """
    client = import_module("oxaigen_auth").ProxyAuthClient
    answered = 0

    async def ask(number: int) -> None:
        nonlocal answered
        await client.get_me(bearer_token=f"flood-{number}", proxy_base_url=url)
        answered += 1

    async def ask_all() -> None:
        await asyncio.gather(*map(ask, range(tokens)), return_exceptions=True)

    logging.disable()  # errors are counted instead
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
    raise KeyboardInterrupt  # an event loop would treat another exception as that of a task
