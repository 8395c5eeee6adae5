"""What a client remembers, and how it forgets. Shared by all its event loops.

A key holds the token's fingerprint, its epoch, the proxy's base URL and the permission's name. The
epoch is what `forget` advances. So forgetting changes the key: nobody finds what was kept under the
old one, nobody boards a lookup that is under way, and what such a lookup brings is not kept; on
every event loop and for every proxy at once.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from oxaigen_auth._core.cache import Cache
from oxaigen_auth._core.epochs import Epochs
from oxaigen_auth.verdict import Accepted, Rejected, Stale

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxaigen_auth.models import User
    from oxaigen_auth.settings import OxaigenAuthSettings
    from oxaigen_auth.verdict import Verdict

Key: TypeAlias = tuple[bytes, int, str, str]
BASE = 2  # where in a key the proxy's base URL is
_NAME = 3  # where in a key the permission's name is; "" in a user's


@define(eq=False)
class Memory:
    """Users, permissions and rejections, each in a cache of its own: no flood of one evicts others.

    Only accepted and rejected verdicts are kept; `asked` is when their lookup started, a reading
    of `clock` in seconds. Under one key there is a user or a rejection, never both, and never an
    older one than was kept before: two event loops may ask at the same time.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    _users: Cache[Accepted[User]] = field(init=False)
    _grants: Cache[Accepted[bool]] = field(init=False)
    _rejections: Cache[Rejected] = field(init=False)
    _epochs: Epochs = field(init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        size, ttl = self.settings.cache_max_entries, self.settings.cache_ttl_seconds
        grace = self.settings.stale_if_error_seconds
        self._users = Cache(size, ttl, self.clock, grace)
        self._grants = Cache(size, ttl, self.clock, grace)
        self._rejections = Cache(size, self.settings.negative_cache_ttl_seconds, self.clock)
        self._epochs = Epochs(size)

    def key(self, token: bytes, base: str, name: str = "") -> Key:
        """Return the key of a user, or with a permission's name the key of that permission.

        The token is given by its fingerprint, here and below.
        """
        return token, self._epochs.of(token), base, name

    def forget(self, token: bytes) -> None:
        self._epochs.advance(token)

    def recall(self, key: Key) -> Verdict[Any] | None:
        if key[_NAME]:
            return self._grants.get(key)
        return self._users.get(key) or self._rejections.get(key)

    def stale(self, key: Key) -> Stale[Any] | None:
        """Return what the proxy vouched for not too long ago; never that a permission is missing.

        For when the proxy is unavailable, and `stale_if_error_seconds` allows it.
        """
        kept = self._accepted(key).stale(key)
        return None if kept is None or kept.value is False else Stale(kept.value)

    def is_due(self, key: Key) -> bool:
        """Whether what is kept under this key is so old that it should be looked up ahead."""
        age = self.clock() - self._accepted(key).born(key)
        return age >= self.settings.cache_ttl_seconds - self.settings.refresh_ahead_seconds

    def keep(self, key: Key, verdict: Verdict[Any], asked: float) -> None:
        """Keep a verdict, unless a newer one is kept, or it is *unavailable*."""
        if not key[_NAME]:
            self._keep_user(key, verdict, asked)
        elif isinstance(verdict, Accepted):
            self._keep_grant(key, verdict, asked)
        elif isinstance(verdict, Rejected):
            self._revoke(key, verdict, asked)

    def _accepted(self, key: Key) -> Cache[Accepted[Any]]:
        return self._grants if key[_NAME] else self._users

    def _keep_user(self, key: Key, verdict: Verdict[User], asked: float) -> None:
        with self._lock:
            if asked < max(self._users.born(key), self._rejections.born(key)):
                return
            if isinstance(verdict, Accepted):
                self._rejections.discard(key)
                self._users.put(key, verdict, born=asked)
            elif isinstance(verdict, Rejected):
                self._users.discard(key)
                self._rejections.put(key, verdict, born=asked)

    def _keep_grant(self, key: Key, verdict: Accepted[bool], asked: float) -> None:
        with self._lock:
            if asked >= self._grants.born(key):
                self._grants.put(key, verdict, born=asked)

    def _revoke(self, key: Key, verdict: Rejected, asked: float) -> None:
        """Forget a user whose permission check said that the token is not good any more.

        The rejection is kept, unless it is older than what was known of the user.
        """
        token, _, base, _ = key
        known = self._users.born(self.key(token, base))
        self.forget(token)
        if asked >= known:
            self._keep_user(self.key(token, base), verdict, asked)
