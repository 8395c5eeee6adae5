"""How the cost of a cache hit grows with the number of cached users.

A round looks up random tokens, so that of a million entries most have to be read from main memory
instead of the processor's caches. A dict with as many small entries under keys of 16 bytes shows
how much of the growth is unavoidable.
"""

from __future__ import annotations

import gc
from functools import partial
from random import Random
from time import process_time
from typing import TYPE_CHECKING

import anyio

from benchmarks.harness import Figure, alternate, ratios
from benchmarks.internals import filled_client, token_of

if TYPE_CHECKING:
    from oxaigen_auth import ProxyAuthClient

FEW, MANY = 1_000, 1_000_000
ROUNDS = 30
HITS = 5_000
_random = Random(1)  # noqa: S311


def measure() -> list[Figure]:
    return anyio.run(_measure)


async def _measure() -> list[Figure]:
    small, large = filled_client(FEW), filled_client(MANY)
    small_dict, large_dict = _filled_dict(FEW), _filled_dict(MANY)
    gc.collect()
    gc.freeze()  # collecting all this between rounds would take longer than the rounds
    few, many, dict_few, dict_many = await alternate(
        ROUNDS,
        partial(_hits, small, FEW),
        partial(_hits, large, MANY),
        partial(_dict_hits, small_dict, FEW),
        partial(_dict_hits, large_dict, MANY),
    )
    gc.unfreeze()
    floor = [hit + b - a for hit, a, b in zip(few, dict_few, dict_many, strict=True)]
    return [
        Figure("growth: a hit among 1,000,000 ÷ among 1,000", ratios(many, few), at_most=1.3),
        Figure("growth: the same, with the growth of a dict lookup", ratios(floor, few)),
    ]


async def _hits(client: ProxyAuthClient, users: int) -> float:
    """Return the processor seconds of `HITS` hits. Each token is a new string."""
    tokens = [token_of(_random.randrange(users)) for _ in range(HITS)]
    start = process_time()
    for token in tokens:
        await client.get_me(token)
    return process_time() - start


async def _dict_hits(entries: dict[bytes, tuple[object, float]], users: int) -> float:
    keys = [_key(_random.randrange(users)) for _ in range(HITS)]
    start = process_time()
    for key in keys:
        _value, _stored_at = entries[key]
    return process_time() - start


def _filled_dict(users: int) -> dict[bytes, tuple[object, float]]:
    return {_key(number): (object(), float(number)) for number in range(users)}


def _key(number: int) -> bytes:
    return number.to_bytes(16, "little")
