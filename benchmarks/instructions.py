"""Counts instructions, which vary less than times, so that small differences can be seen.

Both measurements of a ratio run in one event loop of one process, after a warm-up, with the garbage
collector disabled.
"""

from __future__ import annotations

import gc
import sys
from functools import partial
from hashlib import blake2b
from secrets import token_bytes
from typing import TYPE_CHECKING

import anyio
from starlette.requests import HTTPConnection

from benchmarks.callgrind import instructions, start_section
from benchmarks.harness import Figure, measured
from benchmarks.internals import steps
from benchmarks.package_process import command, published_python
from benchmarks.proxy_process import local_proxy
from benchmarks.route import ENVIRON, TOKEN, apps, ask, figures, make_app, no_op

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI

HITS = 1000
REQUESTS = 100
WARM_UP = 20
HIT = (
    Figure("hit: instructions of get_me ÷ hash, lookup, coroutine", at_most=4),
    Figure("hit: instructions of get_me", digits=0),
)
STEPS = (
    "pass the connection, nothing else",
    "hash the token",
    "read the token from the headers",
    "read the host from the headers",
    "look up the cache",
)


def measure_hit() -> list[Figure]:
    with local_proxy() as proxy:
        return measured(HIT, lambda: _hit(proxy.url))


def measure() -> list[Figure]:
    ours = figures("instructions", targets=True)
    theirs = figures("instructions, published", targets=False)
    with local_proxy() as proxy:
        host = proxy.url.removeprefix("http://")
        parts = [Figure(f"instructions of one step: {step}", digits=3) for step in STEPS]
        return [
            *measured(ours, lambda: _ratios(sys.executable, routes, host)),
            *measured(theirs, lambda: _ratios(published_python(), routes, host)),
            *measured(parts, lambda: _ratios(sys.executable, one_step_each, host)),
        ]


def _hit(url: str) -> list[tuple[float]]:
    sdk, reference = _counted(sys.executable, hit, url)
    return [(sdk / reference,), (sdk / HITS,)]


def _ratios(python: str, function: Callable[..., None], host: str) -> list[tuple[float]]:
    trivial, *others = _counted(python, function, host)
    return [(other / trivial,) for other in others]


def _counted(python: str, function: Callable[..., None], *args: str) -> list[int]:
    words = command(python, function.__module__, function.__name__, *args)
    return instructions(words, ENVIRON)[1::2]  # a section before each case


def hit(url: str) -> None:
    anyio.run(_hit_cases, url)


async def _hit_cases(url: str) -> None:
    from oxaigen_auth import ProxyAuthClient  # noqa: PLC0415 (the published package has another)

    users: dict[bytes, object] = {}
    key = token_bytes(32)

    async def reference(token: str) -> object:
        return users[blake2b(token.encode(), key=key, digest_size=16).digest()]

    async with ProxyAuthClient(url) as client:
        user = await client.get_me(TOKEN)
        users[blake2b(TOKEN.encode(), key=key, digest_size=16).digest()] = user
        for get in (client.get_me, reference):
            await count(partial(get, TOKEN), HITS)


def routes(host: str) -> None:
    anyio.run(_count_all, apps, host)


def one_step_each(host: str) -> None:
    anyio.run(_count_all, partial(_apps_of_steps, host), host)


def _apps_of_steps(host: str) -> list[FastAPI]:
    """Return an app whose dependency does nothing, and for each step an app that does only that."""
    each = steps(f"http://{host}", TOKEN)
    return [make_app(no_op), *(make_app(_dependency(each[step])) for step in STEPS)]


def _dependency(step: Callable[[HTTPConnection], object]) -> Callable[..., Awaitable[None]]:
    async def dependency(connection: HTTPConnection) -> None:
        step(connection)

    return dependency


async def _count_all(apps: Callable[[], list[FastAPI]], host: str) -> None:
    for app in apps():
        await count(partial(ask, app, host), REQUESTS)


async def count(call: Callable[[], Awaitable[object]], times: int) -> None:
    for _ in range(WARM_UP):
        await call()
    gc.collect()
    gc.disable()
    start_section()
    for _ in range(times):
        await call()
    start_section()
    gc.enable()
