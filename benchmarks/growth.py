"""What a hit costs as the cache grows. The processor's own caches count: they are why it grows.

A round asks for tokens at random, and so finds most of a million entries in main memory. The dict
shows how much of that nobody can avoid: the same numbers of bare entries under keys of 16 bytes.
"""

from __future__ import annotations

import gc
from functools import partial
from random import Random
from time import process_time
from typing import TYPE_CHECKING

import anyio

from benchmarks.harness import Figure, alternate, ratios
from benchmarks.insides import filled_client, token_of

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
    gc.freeze()  # between the rounds it would take longer than they do
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
        Figure("growth: the same, if it grew like a dict's", ratios(floor, few)),
    ]


async def _hits(client: ProxyAuthClient, users: int) -> float:
    """Return the processor seconds of some hits; each token is a new string."""
    tokens = [token_of(_random.randrange(users)) for _ in range(HITS)]
    start = process_time()
    for token in tokens:
        await client.get_me(token)
    return process_time() - start


async def _dict_hits(entries: dict[bytes, tuple[object, float]], users: int) -> float:
    keys = [_key(_random.randrange(users)) for _ in range(HITS)]
    start = process_time()
    for key in keys:
        _value, _born = entries[key]
    return process_time() - start


def _filled_dict(users: int) -> dict[bytes, tuple[object, float]]:
    return {_key(number): (object(), float(number)) for number in range(users)}


def _key(number: int) -> bytes:
    return number.to_bytes(16, "little")
