"""What a client counts."""

from __future__ import annotations

from attrs import define


@define
class ClientStats:
    """What a client did since it was made.

    A lookup is a hit (answered from a cache) or a miss; a miss that waited for another caller's
    lookup also counts as joined. `accepted`, `rejected` and `unavailable` count the proxy's
    answers, `refused` the lookups that did not ask it because the breaker was open, `stale` the
    callers who got an answer past its time, `refreshed` the lookups that were started ahead of it,
    `throttled` the callers who brought too many bad tokens, `forgotten` the calls of `forget`.
    """

    hits: int = 0
    misses: int = 0
    joined: int = 0
    upstream_calls: int = 0
    accepted: int = 0
    rejected: int = 0
    unavailable: int = 0
    refused: int = 0
    stale: int = 0
    refreshed: int = 0
    throttled: int = 0
    forgotten: int = 0
