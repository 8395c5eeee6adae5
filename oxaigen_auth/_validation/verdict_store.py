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
from threading import Lock
from typing import Any

from attrs import define, evolve, field

from oxaigen_auth._core.generations import Generations, Pending
from oxaigen_auth._core.sizes import size_of
from oxaigen_auth._validation.checks import Checks
from oxaigen_auth._validation.forgotten_users import ForgottenUsers, IsMeant
from oxaigen_auth._validation.question import FlightKey, Question
from oxaigen_auth._validation.token_watches import TokenWatches
from oxaigen_auth._validation.verdict import Accepted, Rejected, Stale, Verdict
from oxaigen_auth._validation.verdict_caches import VerdictCaches
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings

ENTRY_SIZE = 320  # bytes that a cache takes for an entry, apart from the value and the question
MANY_EXPIRED = 3  # accepted tokens in a row that had expired: then the clock may be wrong

_log = logging.getLogger("oxaigen_auth")


@define(eq=False)
class VerdictStore:
    """Stores verdicts, and discards what is forgotten or rejected.

    For one question there is a user or a rejection, never both, and never an older one than was
    stored before: two event loops may look up the same token at once.

    Args:
        clock: returns seconds, for the age of verdicts.
        wall_clock: returns seconds since the epoch, for the `exp` of tokens.

    Attributes:
        checks: compares each hit, unless None.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    wall_clock: Callable[[], float] = time.time
    watches: TokenWatches = field(factory=TokenWatches, init=False)
    checks: Checks | None = field(default=None, init=False)
    forgotten_users: ForgottenUsers = field(factory=ForgottenUsers, init=False)
    caches: VerdictCaches = field(init=False)
    _generations: Generations = field(factory=Generations, init=False)
    _expired: float = field(default=0, init=False)  # accepted tokens in a row
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self.caches = VerdictCaches(self.settings, self.clock)

    def get(self, question: Question) -> Verdict[Any] | None:
        """Return the verdict if it is not older than its TTL, and was not forgotten elsewhere."""
        verdict: Accepted[Any] | Rejected | None
        if question.permission:
            verdict = self.caches.grants.get(question)
        else:
            verdict = self.caches.users.get(question) or self.caches.rejections.get(question)
        checks = self.checks
        if (
            checks is None
            or verdict is None
            or verdict.stamp == checks.stamp(question.fingerprint)
            or checks.is_current(question)
        ):
            return verdict
        return None

    def get_stale(self, question: Question) -> Stale[Any] | None:
        """Return a cached acceptance, up to `stale_if_error_seconds` past its TTL.

        Used when the proxy is unavailable. A denied permission is never served stale.
        """
        stored = self.caches.accepted(question).stale(question)
        if stored is None or stored.value is False:
            return None
        if self.checks is not None and self.checks.is_forgotten(question, stored):
            return None
        return Stale(stored.value)

    def age(self, question: Question) -> float:
        """Return how long ago the lookup of the cached verdict started, in seconds."""
        return self.clock() - self._newest(question)

    def should_refresh(self, question: Question) -> bool:
        """Whether the verdict's TTL ends within `refresh_ahead_seconds`."""
        age = self.clock() - self.caches.accepted(question).stored_at(question)
        return age >= self.settings.cache_ttl_seconds - self.settings.refresh_ahead_seconds

    def forget(self, fingerprint: bytes) -> None:
        """Discard what is stored for a token, and outdate its running lookups."""
        self.outdate(fingerprint)
        self.watches.forget(fingerprint)

    def outdate(self, fingerprint: bytes) -> None:
        """Do the same as `forget`, but leave open connections to their next validation."""
        with self._lock:
            self._generations.forget(fingerprint)
            self.caches.discard_token(fingerprint)

    def forget_users(self, is_meant: IsMeant) -> None:
        """Forget the tokens of users.

        A running lookup is outdated if it brings one of them. Whose a token is may not be known:
        that of a permission whose user is not cached any more is discarded, and that of an open
        connection is validated again.
        """
        with self._lock:
            self.forgotten_users.add(is_meant)
            tokens = self.caches.tokens_of(is_meant)
            for fingerprint in tokens:
                self._generations.forget(fingerprint)
                self.caches.discard_token(fingerprint)
            self.caches.discard_grants_of_unknown_users()
        for fingerprint in tokens:
            self.watches.forget(fingerprint)
        self.watches.reject_all()

    def outdate_forgotten(self, question: Question, verdict: Verdict[Any], since: int) -> None:
        """Outdate a lookup whose user was forgotten since `forgotten_users.count` was `since`."""
        if not isinstance(verdict, Accepted) or since == self.forgotten_users.count:
            return
        user = verdict.value if isinstance(verdict.value, User) else self.caches.user(question)
        with self._lock:
            is_forgotten = self.forgotten_users.include(question.base_url, user, since)
        if is_forgotten:
            self.outdate(question.fingerprint)

    def forget_all(self) -> None:
        """Discard everything, outdate all running lookups, and validate open connections again."""
        with self._lock:
            self._generations.forget_all()
            self.caches.clear()
        self.watches.reject_all()

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
        self,
        key: FlightKey,
        verdict: Verdict[Any],
        asked: float,
        exp: float | None = None,
        stamp: int = 0,
    ) -> Verdict[Any]:
        """Store a verdict, unless it is outdated, a newer one is stored, or it is *unavailable*.

        Return the verdict, with the time of its lookup if it accepts the token.

        `asked` is when the lookup started, a reading of `clock`; `exp` when the token expires, in
        seconds since the epoch, or None if that is unknown; `stamp` is that of the shared store.
        """
        if isinstance(verdict, Accepted):
            verdict = Accepted(verdict.value, asked, stamp)
            self._accept(key, verdict, inf if exp is None else self._end_of_life(exp))
        elif isinstance(verdict, Rejected):
            verdict = evolve(verdict, stamp=stamp) if stamp else verdict
            self._reject(key, verdict, asked)
        return verdict

    def _running(self, question: Question) -> Pending:
        return self._generations.of(question.fingerprint, question.base_url)

    def _newest(self, question: Question) -> float:
        """Return when the lookup of the newest known verdict started."""
        newest = self.caches.newest(question)
        return newest if question.permission else max(newest, self._running(question).newest)

    def _accept(self, key: FlightKey, verdict: Accepted[Any], end: float) -> None:
        question, asked = key.question, verdict.asked
        cache = self.caches.accepted(question)
        size = ENTRY_SIZE + size_of((question, verdict), cache.max_bytes)
        with self._lock:
            if self.is_outdated(key, verdict) or asked < self._newest(question):
                return
            if not question.permission:
                self._generations.note(question.fingerprint, question.base_url, asked)
                self.caches.rejections.discard(question)
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
            self.caches.discard_accepted(user, before=inf if permission else asked)
            if asked >= newest:
                self._generations.note(fingerprint, base_url, asked)
                self.caches.rejections.put(user, verdict, stored_at=asked, size=size)
        self.watches.reject(fingerprint)

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
