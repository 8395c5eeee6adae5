"""What a client remembers, and how it forgets. Shared by all its event loops.

Verdicts are kept under a question: the token's fingerprint, the proxy's base URL and the
permission's name, "" for the user. What is kept is discarded when the token is forgotten or
rejected. For the lookups that are under way then, there are generations: a flight's key holds one,
so that nobody joins an outdated flight, and its answer is neither kept nor believed; on every event
loop at once, and for every proxy if the token was forgotten.
"""

from __future__ import annotations

import logging
import time
from math import inf
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from attrs import define, field

from oxaigen_auth._core.cache import Cache
from oxaigen_auth._core.generations import Generations
from oxaigen_auth._core.sizes import size_of
from oxaigen_auth._validation.verdict import Accepted, Rejected, Stale

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxaigen_auth._validation.verdict import Verdict
    from oxaigen_auth.models import User
    from oxaigen_auth.settings import OxaigenAuthSettings

Question: TypeAlias = tuple[bytes, str, str]
Key: TypeAlias = tuple[bytes, str, str, int]
BASE, _NAME = 1, 2  # where in a question or key the base URL and the permission's name are

MAX_BASES = 8  # under which one token is remembered; but never in more than half of a cache
MAX_PERMISSIONS = 64  # that are remembered of one token; the same holds
ENTRY_SIZE = 320  # bytes that a cache takes for an entry, apart from the value and the question
MANY_EXPIRED = 3  # accepted tokens in a row that had expired: then the clock may be wrong

_token_of = itemgetter(0)
_log = logging.getLogger("oxaigen_auth")


@define(eq=False)
class Memory:
    """Users, permissions and rejections, each in a cache of its own: no flood of one evicts others.

    Only accepted and rejected verdicts are kept; `asked` is when their lookup started, a reading
    of `clock` in seconds. For one question there is a user or a rejection, never both, and never an
    older one than was kept before: two event loops may ask at the same time. `wall_clock` returns
    seconds since the epoch.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    wall_clock: Callable[[], float] = time.time
    _users: Cache[Accepted[User]] = field(init=False)
    _grants: Cache[Accepted[bool]] = field(init=False)
    _rejections: Cache[Rejected] = field(init=False)
    _generations: Generations = field(factory=Generations, init=False)
    _expired: float = field(default=0, init=False)  # accepted tokens in a row
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        most, room = settings.cache_max_entries, settings.cache_max_bytes
        half = max(1, most // 2)
        bases, names = min(MAX_BASES, half), min(MAX_PERMISSIONS, half)
        ttl, grace = settings.cache_ttl_seconds, settings.stale_if_error_seconds
        self._users = Cache(most, ttl, self.clock, grace, room * 3 // 4, bases, _token_of)
        self._grants = Cache(most, ttl, self.clock, grace, room // 8, names, _token_of)
        ttl = settings.negative_cache_ttl_seconds
        self._rejections = Cache(most, ttl, self.clock, 0.0, room // 8, bases, _token_of)

    def begin(self, token: bytes, base: str) -> None:
        """Note that a lookup is under way. Each caller and each flight calls `end` afterwards.

        The token is given by its fingerprint, here and below.
        """
        with self._lock:
            self._generations.begin(token, base)

    def end(self, token: bytes, base: str) -> None:
        with self._lock:
            self._generations.end(token, base)

    def key(self, token: bytes, base: str, name: str = "") -> Key:
        """Return the key of the flight that a caller may join now, or start."""
        return token, base, name, self._generations.of(token, base).generation

    def forget(self, token: bytes) -> None:
        """Discard what is kept of a token, and outdate what is being looked up."""
        with self._lock:
            self._generations.forget(token)
            for cache in (self._users, self._grants, self._rejections):
                for question in cache.group(token):
                    cache.discard(question)

    def is_outdated(self, key: Key, verdict: Accepted[Any]) -> bool:
        """Tell whether a token was forgotten since `key` was made, or rejected by a newer lookup.

        To be asked between `begin` and `end`, by each caller for whom a lookup accepted the token.
        """
        token, base, _, generation = key
        pending = self._generations.of(token, base)
        return generation < pending.forgotten or verdict.asked < pending.rejected

    def recall(self, question: Question) -> Verdict[Any] | None:
        if question[_NAME]:
            return self._grants.get(question)
        return self._users.get(question) or self._rejections.get(question)

    def stale(self, question: Question) -> Stale[Any] | None:
        """Return what the proxy vouched for not too long ago; never that a permission is missing.

        For when the proxy is unavailable, and `stale_if_error_seconds` allows it.
        """
        kept = self._accepted(question).stale(question)
        return None if kept is None or kept.value is False else Stale(kept.value)

    def is_due(self, question: Question) -> bool:
        """Whether what is kept is so old that it should be looked up ahead."""
        age = self.clock() - self._accepted(question).born(question)
        return age >= self.settings.cache_ttl_seconds - self.settings.refresh_ahead_seconds

    def keep(
        self, key: Key, verdict: Verdict[Any], asked: float, exp: float | None = None
    ) -> Verdict[Any]:
        """Keep a verdict, unless it is outdated, a newer one is kept, or it is *unavailable*.

        `exp` is when the token expires, by the wall clock; None: it does not say. Return the
        verdict, which says when it was asked for if it accepts the token.
        """
        if isinstance(verdict, Accepted):
            verdict = Accepted(verdict.value, asked)
            self._accept(key, verdict, inf if exp is None else self._end(exp))
        elif isinstance(verdict, Rejected):
            self._reject(key, verdict, asked)
        return verdict

    def _accepted(self, question: Question) -> Cache[Accepted[Any]]:
        return self._grants if question[_NAME] else self._users

    def _newest(self, question: Question) -> float:
        """Return when the newest verdict that is known was asked for."""
        token, base, name = question
        if name:
            return self._grants.born(question)
        kept = max(self._users.born(question), self._rejections.born(question))
        return max(kept, self._generations.of(token, base).newest)

    def _accept(self, key: Key, verdict: Accepted[Any], end: float) -> None:
        token, base, name, _ = key
        question, asked = (token, base, name), verdict.asked
        cache = self._accepted(question)
        size = ENTRY_SIZE + size_of((question, verdict), cache.max_bytes)
        with self._lock:
            if self.is_outdated(key, verdict) or asked < self._newest(question):
                return
            if not name:
                self._generations.note(token, base, asked)
                self._rejections.discard(question)
            cache.put(question, verdict, born=asked, end=end, size=size)

    def _reject(self, key: Key, verdict: Rejected, asked: float) -> None:
        """Discard every older acceptance by this proxy; keep the rejection if nothing is newer.

        A permission check that says that the token is not good any more ends newer ones as well.
        """
        token, base, name, generation = key
        user = token, base, ""
        size = ENTRY_SIZE + size_of((user, verdict))
        with self._lock:
            if generation < self._generations.of(token, base).forgotten:
                return
            newest = self._newest(user)
            self._generations.reject(token, base, asked)
            self._discard(token, base, inf if name else asked)
            if asked >= newest:
                self._generations.note(token, base, asked)
                self._rejections.put(user, verdict, born=asked, size=size)

    def _discard(self, token: bytes, base: str, before: float) -> None:
        """Discard what a proxy vouched for when it was asked before this time."""
        for cache in (self._users, self._grants):
            for question in cast("tuple[Question, ...]", cache.group(token)):
                if question[BASE] == base and cache.born(question) < before:
                    cache.discard(question)

    def _end(self, exp: float) -> float:
        """Return when a token expires by `clock`. No later step of the wall clock changes that."""
        left = exp - self.wall_clock()
        self._expired = min(self._expired, 0) if left > 0 else self._expired + 1
        if self._expired == MANY_EXPIRED:
            self._expired = -inf  # which no sum changes: once is enough
            _log.warning(
                "The last %d tokens that the auth proxy accepted had expired by the clock of this "
                "machine, so none of them is cached: check the clock",
                MANY_EXPIRED,
            )
        return self.clock() + left
