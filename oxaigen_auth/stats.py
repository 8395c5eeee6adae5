"""The counts of a client."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from attrs import define, field

from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Accepted, Rejected, Verdict
from oxaigen_auth.errors import Reason


@define
class ClientStats:
    """The counts of a client since it was made.

    Attributes:
        hits: questions answered from the cache.
        misses: questions that needed a lookup.
        coalesced: misses that joined the lookup of another caller.
        upstream_calls: requests sent to the proxy.
        accepted: lookups in which the proxy accepted the token.
        rejected: lookups in which it rejected the token.
        unavailable: lookups without a usable answer.
        short_circuited: lookups that did not ask the proxy, because its circuit was open.
        stale: callers that got a verdict past its TTL.
        refreshed: lookups started before the TTL of a verdict ended.
        rate_limited: callers whose address had sent too many rejected tokens.
        forgotten: calls of `ProxyAuthClient.forget`, `forget_user` and `forget_all`.
        shared_hits: lookups that used the verdict of another process.
        shared_misses: lookups that found no verdict in the shared store, and asked the proxy.
        shared_refused: entries of the shared store that were forgotten, forged or damaged.
        shared_failures: how many times the shared store stopped working.
    """

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    upstream_calls: int = 0
    accepted: int = 0
    rejected: int = 0
    unavailable: int = 0
    short_circuited: int = 0
    stale: int = 0
    refreshed: int = 0
    rate_limited: int = 0
    forgotten: int = 0
    shared_hits: int = 0
    shared_misses: int = 0
    shared_refused: int = 0
    shared_failures: int = 0


@define(eq=False)
class StatsObserver(Observer):
    """Counts the events of a client."""

    stats: ClientStats = field(factory=ClientStats, init=False)

    def on_hit(self, _: Question, __: Verdict[Any], /) -> None:
        self.stats.hits += 1

    def on_miss(self, _: Question, /) -> None:
        self.stats.misses += 1

    def on_retry(self, _: Question, /) -> None:
        self.stats.misses += 1

    def on_coalesced(self, _: Question, __: Hashable, /) -> None:
        self.stats.coalesced += 1

    def on_queue_timeout(self, _: Question, /) -> None:
        self.stats.unavailable += 1

    def on_upstream_call(self) -> None:
        self.stats.upstream_calls += 1

    def on_short_circuited(self, _: Question, /) -> None:
        self.stats.short_circuited += 1

    def on_verdict(self, _: Question, verdict: Verdict[Any], /) -> None:
        if isinstance(verdict, Accepted):
            self.stats.accepted += 1
        elif isinstance(verdict, Rejected):
            self.stats.rejected += 1
        else:
            self.stats.unavailable += 1

    def on_stale(self, _: Question, /) -> None:
        self.stats.stale += 1

    def on_start(self, _: Question, __: Hashable, /, *, background: bool) -> None:
        self.stats.refreshed += background

    def on_refusal(self, _: Question | None, reason: Reason, /) -> None:
        self.stats.rate_limited += reason == "rate_limited"

    def on_shared_hit(self, _: Question, __: Verdict[Any], /) -> None:
        self.stats.shared_hits += 1

    def on_shared_miss(self, _: Question, /) -> None:
        self.stats.shared_misses += 1

    def on_shared_entry_refused(self, _: Question, /) -> None:
        self.stats.shared_refused += 1

    def on_shared_store_failed(self, _: str, __: str, ___: str, /) -> None:
        self.stats.shared_failures += 1

    def on_forget(self) -> None:
        self.stats.forgotten += 1
