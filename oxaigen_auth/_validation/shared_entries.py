"""Writes verdicts as sealed entries, and reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, frozen

from oxaigen_auth._shared.clocks import STAMP_SIZE, HostClock
from oxaigen_auth._shared.keys import Keyring
from oxaigen_auth._shared.store import NO_USER, Entry, EntryKey, Snapshot
from oxaigen_auth._validation.question import Question, Secret
from oxaigen_auth._validation.verdict import Accepted, Rejected
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings

_FORMAT = b"oxaigen-auth entry 1\0"
_COUNT_SIZE = 8
_TEXT_AT = STAMP_SIZE + _COUNT_SIZE


@frozen
class Opened:
    """A verdict from the shared store, and how many seconds ago its lookup started, at most."""

    verdict: Accepted[Any] | Rejected
    age: float


@define(eq=False)
class SharedEntries:
    """Seals and opens the entries of one client.

    Args:
        read_user: makes a user from a profile, which is decoded JSON.
    """

    settings: OxaigenAuthSettings
    keyring: Keyring
    host_clock: HostClock
    read_user: Callable[[Any], User]

    def keys(self, question: Question, secret: Secret) -> Sequence[EntryKey]:
        """Return where a verdict is stored, for each of the secrets. The first one is written."""
        scope = self._scope(question.base_url)
        return self.keyring.entry_keys(secret, scope, question.permission or None)

    def user_tags(self, base_url: str, user: User | int | None) -> Sequence[bytes]:
        """Return what identifies a user, for each of the secrets."""
        user_id = user.id if isinstance(user, User) else user
        if user_id is None:
            return [NO_USER]
        return self.keyring.user_tags(self._scope(base_url), user_id)

    def seal(  # noqa: PLR0913, PLR0917 (what an entry consists of)
        self,
        secret: Secret,
        key: EntryKey,
        snapshot: Snapshot,
        verdict: Accepted[Any] | Rejected,
        user_tag: bytes,
        started: bytes,
    ) -> Entry:
        """Return the entry for a verdict. `started` is the stamp of its lookup."""
        text = started + snapshot.count.to_bytes(_COUNT_SIZE, "big") + _write(verdict)
        bound = bound_to(key, user_tag, snapshot.found[0].generation, snapshot.epoch)
        return Entry(user_tag, self.keyring.seal(secret, text, bound))

    def open(self, secret: Secret, number: int, key: EntryKey, snapshot: Snapshot) -> Opened | None:
        """Return what the entry of one of the secrets holds, however old; None if it is invalid."""
        found = snapshot.found[number]
        if found.entry is None:
            return None
        bound = bound_to(key, found.entry.user_tag, found.generation, snapshot.epoch)
        text = self.keyring.open(number, secret, found.entry.sealed, bound)
        if text is None:
            return None
        age = self.host_clock.age(text[:STAMP_SIZE], self.settings.shared_max_skew_seconds)
        count = int.from_bytes(text[STAMP_SIZE:_TEXT_AT], "big")
        if age is None or found.mark > count:
            return None
        try:
            return Opened(self._read(text[_TEXT_AT:]), age)
        except Exception:  # noqa: BLE001 (written by another version of this package)
            return None

    def lifetime(self, verdict: Accepted[Any] | Rejected) -> float:
        """Return for how many seconds an entry is of use."""
        ttl = self.ttl(verdict)
        is_stale_of_use = ttl and isinstance(verdict, Accepted)
        return ttl + self.settings.stale_if_error_seconds if is_stale_of_use else ttl

    def ttl(self, verdict: Accepted[Any] | Rejected) -> float:
        settings = self.settings
        is_rejection = isinstance(verdict, Rejected)
        return settings.negative_cache_ttl_seconds if is_rejection else settings.cache_ttl_seconds

    def _read(self, text: bytes) -> Accepted[Any] | Rejected:
        content = json.loads(text)
        if "user" in content:
            return Accepted(self.read_user(content["user"]))
        if "granted" in content:
            return Accepted(bool(content["granted"]))
        detail, forbidden, reason = content["rejected"]
        return Rejected(detail, forbidden, reason)

    def _scope(self, base_url: str) -> str:
        """Keep apart what a mock says during development."""
        return f"{base_url} production" if self.settings.is_production else base_url


def _write(verdict: Accepted[Any] | Rejected) -> bytes:
    if isinstance(verdict, Rejected):
        content: Any = {"rejected": [verdict.detail, verdict.forbidden, verdict.reason]}
    elif isinstance(verdict.value, User):
        profile = verdict.value.to_dict()
        content = {"user": profile | profile.pop("extra")}
    else:
        content = {"granted": verdict.value}
    return json.dumps(content, separators=(",", ":")).encode()


def bound_to(key: EntryKey, user_tag: bytes, generation: bytes, epoch: bytes) -> bytes:
    """Return what an entry is bound to: it cannot be moved, nor outlive a generation."""
    parts = (*key, user_tag, generation, epoch)
    return _FORMAT + b"".join(len(part).to_bytes(2, "big") + part for part in parts)
