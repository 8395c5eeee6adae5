"""The cached verdicts of a client, shared by all its event loops.

A verdict is discarded when its token is forgotten or rejected. Lookups that run at that moment are
outdated by generations: the key of a flight holds one, so that no caller joins an outdated flight,
and its answer is neither stored nor used. That holds on every event loop, and for every proxy
if the token was forgotten.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf
from operator import itemgetter
from threading import Lock
from typing import Any, cast

from attrs import define, field

from oxaigen_auth._core.cache import Cache
from oxaigen_auth._core.generations import Generations, Pending
from oxaigen_auth._core.sizes import size_of
from oxaigen_auth._validation.question import FlightKey, Question
from oxaigen_auth._validation.token_watches import TokenWatches
from oxaigen_auth._validation.verdict import Accepted, Rejected, Stale, Verdict
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings

MAX_BASE_URLS = 8  # cached per token, but at most half of a cache
MAX_PERMISSIONS = 64  # cached per token, with the same limit
ENTRY_SIZE = 320  # bytes that a cache takes for an entry, apart from the value and the question
MANY_EXPIRED = 3  # accepted tokens in a row that had expired: then the clock may be wrong

_fingerprint_of = itemgetter(0)
_log = logging.getLogger("oxaigen_auth")


@define(eq=False)
class VerdictStore:
    """Users, permissions and rejections, each in a cache of its own: one kind evicts no other.

    For one question there is a user or a rejection, never both, and never an older one than was
    stored before: two event loops may look up the same token at once.

    Args:
        clock: returns seconds, for the age of verdicts.
        wall_clock: returns seconds since the epoch, for the `exp` of tokens.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    wall_clock: Callable[[], float] = time.time
    watches: TokenWatches = field(factory=TokenWatches, init=False)
    _users: Cache[Accepted[User]] = field(init=False)
    _grants: Cache[Accepted[bool]] = field(init=False)
    _rejections: Cache[Rejected] = field(init=False)
    _generations: Generations = field(factory=Generations, init=False)
    _expired: float = field(default=0, init=False)  # accepted tokens in a row
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        entries, size = settings.cache_max_entries, settings.cache_max_bytes
        half = max(1, entries // 2)
        urls, names = min(MAX_BASE_URLS, half), min(MAX_PERMISSIONS, half)

        def cache(ttl: float, stale_ttl: float, size: int, per_token: int) -> Cache[Any]:
            return Cache(entries, ttl, self.clock, stale_ttl, size, per_token, _fingerprint_of)

        ttl, stale_ttl = settings.cache_ttl_seconds, settings.stale_if_error_seconds
        self._users = cache(ttl, stale_ttl, size * 3 // 4, urls)
        self._grants = cache(ttl, stale_ttl, size // 8, names)
        self._rejections = cache(settings.negative_cache_ttl_seconds, 0.0, size // 8, urls)

    def get(self, question: Question) -> Verdict[Any] | None:
        """Return the verdict if it is not older than its TTL."""
        if question.permission:
            return self._grants.get(question)
        return self._users.get(question) or self._rejections.get(question)

    def get_stale(self, question: Question) -> Stale[Any] | None:
        """Return a cached acceptance, up to `stale_if_error_seconds` past its TTL.

        Used when the proxy is unavailable. A denied permission is never served stale.
        """
        stored = self._accepted(question).stale(question)
        return None if stored is None or stored.value is False else Stale(stored.value)

    def should_refresh(self, question: Question) -> bool:
        """Whether the verdict's TTL ends within `refresh_ahead_seconds`."""
        age = self.clock() - self._accepted(question).stored_at(question)
        return age >= self.settings.cache_ttl_seconds - self.settings.refresh_ahead_seconds

    def forget(self, fingerprint: bytes) -> None:
        """Discard what is stored for a token, and outdate its running lookups."""
        with self._lock:
            self._generations.forget(fingerprint)
            for cache in (self._users, self._grants, self._rejections):
                for question in cache.group(fingerprint):
                    cache.discard(question)
        self.watches.forget(fingerprint)

    def begin(self, question: Question) -> None:
        """Note that a lookup runs. Each caller and each flight calls `end` afterwards."""
        with self._lock:
            self._generations.begin(question.fingerprint, question.base_url)

    def end(self, question: Question) -> None:
        with self._lock:
            self._generations.end(question.fingerprint, question.base_url)

    def flight_key(self, question: Question) -> FlightKey:
        """Return the key of the flight that a caller may join now, or start."""
        return FlightKey(question, self._running(question).generation)

    def is_outdated(self, key: FlightKey, verdict: Accepted[Any]) -> bool:
        """Return whether a token was forgotten since `key` was made, or rejected by a newer lookup.

        The caller must call this between `begin` and `end`.
        """
        running = self._running(key.question)
        return key.generation < running.forgotten or verdict.asked < running.rejected

    def put(
        self, key: FlightKey, verdict: Verdict[Any], asked: float, exp: float | None = None
    ) -> Verdict[Any]:
        """Store a verdict, unless it is outdated, a newer one is stored, or it is *unavailable*.

        Return the verdict, with the time of its lookup if it accepts the token.

        `asked` is when the lookup started, a reading of `clock`; `exp` when the token expires, in
        seconds since the epoch, or None if that is unknown.
        """
        if isinstance(verdict, Accepted):
            verdict = Accepted(verdict.value, asked)
            self._accept(key, verdict, inf if exp is None else self._end_of_life(exp))
        elif isinstance(verdict, Rejected):
            self._reject(key, verdict, asked)
        return verdict

    def _accepted(self, question: Question) -> Cache[Accepted[Any]]:
        return self._grants if question.permission else self._users

    def _running(self, question: Question) -> Pending:
        return self._generations.of(question.fingerprint, question.base_url)

    def _newest(self, question: Question) -> float:
        """Return when the lookup of the newest known verdict started."""
        if question.permission:
            return self._grants.stored_at(question)
        stored = max(self._users.stored_at(question), self._rejections.stored_at(question))
        return max(stored, self._running(question).newest)

    def _accept(self, key: FlightKey, verdict: Accepted[Any], end: float) -> None:
        question, asked = key.question, verdict.asked
        cache = self._accepted(question)
        size = ENTRY_SIZE + size_of((question, verdict), cache.max_bytes)
        with self._lock:
            if self.is_outdated(key, verdict) or asked < self._newest(question):
                return
            if not question.permission:
                self._generations.note(question.fingerprint, question.base_url, asked)
                self._rejections.discard(question)
            cache.put(question, verdict, stored_at=asked, end=end, size=size)

    def _reject(self, key: FlightKey, verdict: Rejected, asked: float) -> None:
        """Discard every older acceptance by this proxy. Store the rejection if nothing is newer.

        If the rejection comes from a permission check, newer acceptances are discarded as well.
        """
        fingerprint, base_url, permission = key.question
        user = Question(fingerprint, base_url)
        size = ENTRY_SIZE + size_of((user, verdict))
        with self._lock:
            if key.generation < self._running(user).forgotten:
                return
            newest = self._newest(user)
            self._generations.reject(fingerprint, base_url, asked)
            self._discard_accepted(user, before=inf if permission else asked)
            if asked >= newest:
                self._generations.note(fingerprint, base_url, asked)
                self._rejections.put(user, verdict, stored_at=asked, size=size)
        self.watches.reject(fingerprint)

    def _discard_accepted(self, user: Question, before: float) -> None:
        """Discard a proxy's acceptances from lookups that started before this time."""
        for cache in (self._users, self._grants):
            for question in cast("tuple[Question, ...]", cache.group(user.fingerprint)):
                if question.base_url == user.base_url and cache.stored_at(question) < before:
                    cache.discard(question)

    def _end_of_life(self, exp: float) -> float:
        """Return when a token expires by `clock`. A later step of the wall clock has no effect."""
        left = exp - self.wall_clock()
        self._expired = min(self._expired, 0) if left > 0 else self._expired + 1
        if self._expired == MANY_EXPIRED:
            self._expired = -inf  # adding 1 does not change it: the warning is logged once
            _log.warning(
                "The last %d tokens that the auth proxy accepted had expired by the clock of this "
                "machine, so none of them is cached: check the clock",
                MANY_EXPIRED,
            )
        return self.clock() + left
