"""What a client counts."""

from __future__ import annotations

from attrs import define


@define
class ClientStats:
    """What a client did since it was made.

    A lookup is a hit (answered from a cache) or a miss; a miss that waited for another caller's
    lookup also counts as joined. `accepted`, `rejected` and `unavailable` count the proxy's
    answers, `forgotten` the calls of `forget`.
    """

    hits: int = 0
    misses: int = 0
    joined: int = 0
    upstream_calls: int = 0
    accepted: int = 0
    rejected: int = 0
    unavailable: int = 0
    forgotten: int = 0
