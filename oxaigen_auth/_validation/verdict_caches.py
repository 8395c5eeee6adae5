"""The caches of a client's verdicts, one for each kind: no kind evicts another one."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, cast

from attrs import define, field

from oxaigen_auth._core.cache import Cache
from oxaigen_auth._validation.forgotten_users import IsMeant
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Accepted, Rejected
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings

MAX_BASE_URLS = 8  # cached per token, but at most half of a cache
MAX_PERMISSIONS = 64  # cached per token, with the same limit

_fingerprint_of = itemgetter(0)


@define(eq=False)
class VerdictCaches:
    """Users, permissions and rejections.

    Args:
        clock: returns seconds, for the age of verdicts.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    users: Cache[Accepted[User]] = field(init=False)
    grants: Cache[Accepted[bool]] = field(init=False)
    rejections: Cache[Rejected] = field(init=False)
    _all: tuple[Cache[Any], ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        entries, size = settings.cache_max_entries, settings.cache_max_bytes
        half = max(1, entries // 2)
        urls, names = min(MAX_BASE_URLS, half), min(MAX_PERMISSIONS, half)

        def cache(ttl: float, stale_ttl: float, size: int, per_token: int) -> Cache[Any]:
            return Cache(entries, ttl, self.clock, stale_ttl, size, per_token, _fingerprint_of)

        ttl, stale_ttl = settings.cache_ttl_seconds, settings.stale_if_error_seconds
        self.users = cache(ttl, stale_ttl, size * 3 // 4, urls)
        self.grants = cache(ttl, stale_ttl, size // 8, names)
        self.rejections = cache(settings.negative_cache_ttl_seconds, 0.0, size // 8, urls)
        self._all = self.users, self.grants, self.rejections

    def accepted(self, question: Question) -> Cache[Accepted[Any]]:
        """Return the cache for what a question is about."""
        return self.grants if question.permission else self.users

    def newest(self, question: Question) -> float:
        """Return when the lookup of the newest cached verdict started; minus infinity if none."""
        if question.permission:
            return self.grants.stored_at(question)
        return max(self.users.stored_at(question), self.rejections.stored_at(question))

    def user(self, question: Question) -> User | None:
        """Return the cached user of a token, also of one that a question on a permission has."""
        stored = self.users.stale(Question(question.fingerprint, question.base_url))
        return None if stored is None else stored.value

    def tokens_of(self, is_meant: IsMeant) -> set[bytes]:
        """Return the fingerprints of the tokens of cached users."""
        return {
            question.fingerprint
            for question, stored in self.users.pairs()
            if is_meant(question.base_url, stored.value)
        }

    def discard(self, question: Question) -> None:
        for cache in self._all:
            cache.discard(question)

    def discard_token(self, fingerprint: bytes) -> None:
        for cache in self._all:
            for question in cache.group(fingerprint):
                cache.discard(question)

    def discard_accepted(self, user: Question, before: float) -> None:
        """Discard a proxy's acceptances from lookups that started before this time."""
        for cache in (self.users, self.grants):
            for question in cast("tuple[Question, ...]", cache.group(user.fingerprint)):
                if question.base_url == user.base_url and cache.stored_at(question) < before:
                    cache.discard(question)

    def discard_grants_of_unknown_users(self) -> None:
        known = {question for question, _ in self.users.pairs()}
        for question, _ in self.grants.pairs():
            if question.about("") not in known:
                self.grants.discard(question)

    def clear(self) -> None:
        for cache in self._all:
            cache.clear()
