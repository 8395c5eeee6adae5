"""The lookup of a question in the store that several processes share, which lets one of them ask.

    read ──entry──▶ verdict
      │ none
    acquire ──entry──▶ verdict
      │ lease                 │ another process holds it: acquire again, for `MAX_WAIT` at most,
    ask the proxy ◀───────────┘ then ask without a lease
      │
    put ──stored──▶ verdict
      ├─ outdated: the token was forgotten since; its callers ask again
      └─ superseded: another process put a verdict; the newer of the two counts

Whichever await is the last line that runs: a lease is released, or it expires; and a verdict counts
only if nothing was forgotten between the start of its lookup and its end. If the engine fails, or
has lost what it knew, nobody knows that: the verdict is given to those who wait for it, as without
a store, and is not cached unless events tell what is forgotten. After a call of the engine that
failed, the lookup makes no other one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import uniform
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, TypeAlias

from anyio import CancelScope, current_time, sleep
from attrs import define, field, frozen

from oxaigen_auth._shared.guard import EngineGuard
from oxaigen_auth._shared.store import EntryKey, PutResult, Snapshot
from oxaigen_auth._syntax.jwt import expiry
from oxaigen_auth._validation.question import Question, Secret
from oxaigen_auth._validation.shared_entries import Opened
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable, Verdict
from oxaigen_auth.models import User

if TYPE_CHECKING:
    from oxaigen_auth._validation.shared_verdicts import SharedVerdicts

MAX_WAIT = 0.5  # seconds that a lookup waits for that of another process
FIRST_PAUSE = 0.005  # seconds between two looks at a lease; each further one is longer
MAX_PAUSE = 0.02

Ask: TypeAlias = Callable[[], Awaitable[tuple[Verdict[Any], float]]]


@frozen
class Answer:
    """The result of a lookup.

    Args:
        asked: when the lookup started, by the client's clock.
        stamp: that of the token, read before the engine confirmed the verdict.
        is_confirmed: False if something may have been forgotten since the lookup started. Then the
            verdict is for those who wait for it, and is not cached.
        stale: a shared acceptance, for those who may get one while the proxy is unavailable.
    """

    verdict: Verdict[Any]
    asked: float
    stamp: int
    is_confirmed: bool = True
    stale: Answer | None = None


@define(eq=False, repr=False)
class SharedLookup:
    """One lookup.

    Args:
        max_age: seconds. An older verdict is not used; with 0, none is.
    """

    fleet: SharedVerdicts
    question: Question
    secret: Secret
    max_age: float
    _keys: Sequence[EntryKey] = field(init=False)
    _owner: bytes = field(factory=partial(token_bytes, 16), init=False)
    _may_lead: bool = field(default=False, init=False)
    _has_failed: bool = field(default=False, init=False)
    _first_stamp: int = field(init=False)  # as it was before the lookup
    _stamp: int = field(init=False)  # as it was before the snapshot was read
    _looked_at: float = field(init=False)  # by the client's clock
    _snapshot: Snapshot = field(init=False)
    _known: Opened | None = field(default=None, init=False)

    async def run(self, ask: Ask) -> Answer:
        """Return a shared verdict; or ask the proxy, and share its verdict.

        `ask` returns the proxy's verdict and when it was asked.
        """
        fleet = self.fleet
        self._first_stamp = fleet.stamp(self.question)
        self._keys = fleet.entries.keys(self.question, self.secret)
        try:
            is_read = await self._read()
            answer = (await self._shared() if is_read else None) or await self._ask(ask)
        finally:
            if self._may_lead and not self._has_failed:
                await self._release()  # noqa: ASYNC102 (shielded and bounded)
        if answer.is_confirmed and answer.stamp != fleet.stamp(self.question):
            fleet.verdicts.outdate(self.question.fingerprint)
        return answer

    async def _shared(self) -> Answer | None:
        """Return the shared verdict, perhaps after waiting for another process, or None."""
        if self.max_age and not self._is_usable():
            await self._acquire()
        if self._known is None or not self._is_usable():
            self.fleet.observer.on_shared_miss(self.question)
            return None
        self.fleet.observer.on_shared_hit(self.question, self._known.verdict)
        return self._answer(self._known)

    async def _acquire(self) -> None:
        """Take the lease, or wait until another process has put a verdict."""
        timeout = self.fleet.verdicts.settings.proxy_timeout_seconds
        give_up = current_time() + min(MAX_WAIT, timeout / 4)
        pause = FIRST_PAUSE
        self._may_lead = True  # even if the answer of the engine is lost
        acquire = partial(self.fleet.store.acquire, self._keys, self._owner)
        while await self._look(self.fleet.writes, acquire):
            if self._snapshot.leads or self._is_usable() or current_time() >= give_up:
                break
            await sleep(uniform(pause / 2, pause))  # noqa: S311 (no secret)
            pause = min(pause * 2, MAX_PAUSE)

    async def _ask(self, ask: Ask) -> Answer:
        started = self.fleet.entries.host_clock.stamp()
        verdict, asked = await ask()
        if isinstance(verdict, Unavailable):
            return Answer(verdict, asked, self._stamp, stale=self._stale())
        if isinstance(verdict, Rejected) and self._is_known_as_accepted():
            self.fleet.forget(self.secret)  # the acceptances of other processes are older
            return Answer(verdict, asked, self.fleet.stamp(self.question))
        if self._has_failed:
            return self._unconfirmed(verdict, asked)
        return await self._put(verdict, asked, started)

    async def _put(self, verdict: Accepted[Any] | Rejected, asked: float, started: bytes) -> Answer:
        """Share a verdict. If another process has shared a newer one, return that."""
        fleet = self.fleet
        stamp = fleet.stamp(self.question) if self._is_forgettable(verdict) else self._first_stamp
        result = await fleet.writes.call(partial(self._put_entry, verdict, started))
        if result is None or result is PutResult.LOST:
            self._has_failed = result is None
            return self._unconfirmed(verdict, asked, is_lost=result is not None)
        self._may_lead = False
        if result is PutResult.OUTDATED:
            fleet.verdicts.outdate(self.question.fingerprint)
        elif result is PutResult.SUPERSEDED and await self._read():
            known = self._known
            if known is not None and known.age < fleet.verdicts.clock() - asked:
                return self._answer(known)
        return Answer(verdict, asked, stamp)

    async def _put_entry(self, verdict: Accepted[Any] | Rejected, started: bytes) -> PutResult:
        entries, snapshot, question = self.fleet.entries, self._snapshot, self.question
        tag = entries.user_tags(question.base_url, self._user(verdict))[0]
        return await self.fleet.store.put(
            self._keys[0],
            entries.seal(self.secret, self._keys[0], snapshot, verdict, tag, started),
            generation=snapshot.found[0].generation,
            epoch=snapshot.epoch,
            count=snapshot.count,
            lifetime=entries.lifetime(verdict) if self._is_forgettable(verdict) else 0.0,
            seen=snapshot.found[0].entry,
            owner=self._owner,
        )

    def _user(self, verdict: Accepted[Any] | Rejected) -> User | None:
        value = verdict.value if isinstance(verdict, Accepted) else None
        return value if isinstance(value, User) else self.fleet.verdicts.caches.user(self.question)

    def _is_forgettable(self, verdict: Accepted[Any] | Rejected) -> bool:
        """Return whether the engine knows when the verdict is forgotten together with its user."""
        return isinstance(verdict, Rejected) or self._user(verdict) is not None

    def _unconfirmed(
        self, verdict: Accepted[Any] | Rejected, asked: float, *, is_lost: bool = False
    ) -> Answer:
        """Return a verdict of which the engine does not know whether it was forgotten since."""
        before, now = self._first_stamp, self.fleet.stamp(self.question)
        is_known = before == now or self._tells_what_is_forgotten(before, now, is_lost=is_lost)
        return Answer(verdict, asked, before, is_confirmed=is_known)

    def _tells_what_is_forgotten(self, before: int, now: int, *, is_lost: bool) -> bool:
        """Return whether another stamp means that the token was forgotten."""
        return not (self.fleet.store.pushes or is_lost) and bool(before and now)

    async def _release(self) -> None:
        with CancelScope(shield=True):
            release = partial(self.fleet.store.release, self._keys[0], self._owner)
            await self.fleet.writes.call(release)

    async def _read(self) -> bool:
        """Read what the engine holds. Return whether it has answered."""
        return await self._look(self.fleet.reads, partial(self.fleet.store.read, self._keys))

    async def _look(self, guard: EngineGuard, look: Callable[[], Awaitable[Snapshot]]) -> bool:
        self._stamp = self.fleet.stamp(self.question)
        snapshot = await guard.call(look)
        if snapshot is None:
            self._has_failed = True
            return False
        self._snapshot, self._looked_at = snapshot, self.fleet.verdicts.clock()
        opened = [self._open(number) for number in range(len(self._keys))]
        self._known = min((it for it in opened if it), key=lambda it: it.age, default=None)
        return True

    def _open(self, number: int) -> Opened | None:
        key, snapshot = self._keys[number], self._snapshot
        opened = self.fleet.entries.open(self.secret, number, key, snapshot)
        if opened is None and snapshot.found[number].entry is not None:
            self.fleet.observer.on_shared_entry_refused(self.question)
        return opened

    def _is_usable(self) -> bool:
        """Return whether the shared verdict may be used."""
        known = self._known
        if known is None:
            return False
        ttl = min(self.max_age, self.fleet.entries.ttl(known.verdict))
        return known.age < ttl and not self._has_expired(known)

    def _has_expired(self, known: Opened) -> bool:
        """Return whether an accepted token has expired since."""
        exp = expiry(self.secret) if isinstance(known.verdict, Accepted) else None
        return exp is not None and exp <= self.fleet.verdicts.wall_clock()

    def _is_known_as_accepted(self) -> bool:
        """Return whether other processes may hold acceptances."""
        known = self._known
        is_accepted = known is not None and isinstance(known.verdict, Accepted)
        return is_accepted or bool(self.question.permission)

    def _answer(self, known: Opened) -> Answer:
        return Answer(known.verdict, self._looked_at - known.age, self._stamp)

    def _stale(self) -> Answer | None:
        known = self._known
        is_accepted = known is not None and isinstance(known.verdict, Accepted)
        return self._answer(known) if known is not None and is_accepted else None
