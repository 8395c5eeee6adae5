"""What the processes of a fleet share: verdicts, what was forgotten, and that a proxy is back.

What another process forgets reaches the own cache in two ways:

    The engine pushes   Its events discard cached verdicts. While events may be lost, a cached
                        verdict is used for `UNCHECKED_TTL` only; when they arrive again, everything
                        is looked up again.
    It does not         Each cached verdict has a stamp, which is compared on each hit. While the
                        engine cannot be used, the stamps of all tokens are 0.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

from attrs import define, field

from oxaigen_auth._core.background import in_event_loop
from oxaigen_auth._shared.guard import EngineGuard
from oxaigen_auth._shared.store import SharedStore
from oxaigen_auth._validation.checks import Checks
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Question, Secret
from oxaigen_auth._validation.shared_entries import SharedEntries
from oxaigen_auth._validation.shared_lookup import Answer, Ask, SharedLookup
from oxaigen_auth._validation.verdict import Accepted
from oxaigen_auth._validation.verdict_store import VerdictStore

CALL_TIMEOUT = 0.25  # seconds; less would take a busy event loop for a slow engine
UNCHECKED_TTL = 1.0  # seconds
UNKNOWN_STAMP = 0  # of an engine that cannot be used
MAX_CIRCUITS = 256  # open at once; above that the oldest is discarded


@define(eq=False, repr=False)
class StampCheck:
    """Discards cached verdicts whose stamp is not that of their token any more."""

    verdicts: VerdictStore
    stamp: Callable[[bytes], int]

    def is_current(self, question: Question) -> bool:
        if self.stamp(question.fingerprint) == UNKNOWN_STAMP:
            return self.verdicts.age(question) < UNCHECKED_TTL
        self.verdicts.caches.discard(question)
        return False

    def is_forgotten(self, question: Question, verdict: Accepted[Any]) -> bool:
        return self.stamp(question.fingerprint) not in {verdict.stamp, UNKNOWN_STAMP}


@define(eq=False, repr=False)
class AgeCheck:
    """Limits the age of cached verdicts, while events may be lost."""

    verdicts: VerdictStore

    def stamp(self, _: bytes) -> int:
        return -1  # that of no verdict

    def is_current(self, question: Question) -> bool:
        return self.verdicts.age(question) < UNCHECKED_TTL

    def is_forgotten(self, _: Question, __: Accepted[Any]) -> bool:
        return False  # nobody knows: without engine and proxy, each process is on its own


@define(eq=False, repr=False)
class SharedVerdicts:
    """The shared store of one client, for all its event loops.

    Args:
        verdicts: the client's own cache.
    """

    store: SharedStore
    entries: SharedEntries
    verdicts: VerdictStore
    observer: Observer
    reads: EngineGuard = field(init=False)
    writes: EngineGuard = field(init=False)
    _era: int = field(default=1, init=False)  # changes whenever events may have been lost
    _open_circuits: OrderedDict[str, int] = field(factory=OrderedDict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        timeout = min(CALL_TIMEOUT, self.verdicts.settings.proxy_timeout_seconds / 8)

        def guard(operation: str) -> EngineGuard:
            return EngineGuard(
                self.verdicts.clock, timeout, lambda problem: self._report(operation, problem)
            )

        self.reads, self.writes = guard("read"), guard("write")
        self.verdicts.checks = self._check()

    def open(self) -> SharedStore:
        """Begin to serve the running event loop, and return what must be closed with it."""
        self.store.open(self)
        return self.store

    async def look_up(
        self, question: Question, secret: Secret, ask: Ask, *, max_age: float
    ) -> Answer:
        """Return a shared verdict whose age is less than `max_age` seconds, or that of `ask`."""
        return await SharedLookup(self, question, secret, max_age).run(ask)

    @property
    def fingerprint(self) -> Callable[[str], bytes]:
        """Return a function that returns the fingerprint of a token, which is its first id."""
        return self.entries.keyring.token_id

    def stamp(self, question: Question) -> int:
        """Return a number that changes when the token may have been forgotten."""
        return self._era if self.store.pushes else self.store.stamp(question.fingerprint)

    def forget(self, token: str) -> None:
        self.store.forget(self.entries.keyring.token_ids(token))
        self._let_send()

    def forget_user(self, base_url: str, user_id: int) -> None:
        self.store.forget_user(self.entries.user_tags(base_url, user_id))
        self._let_send()

    def forget_all(self) -> None:
        self.store.forget_all()
        self._let_send()

    def _let_send(self) -> None:
        """Let the engine send what was forgotten, also if no lookup has opened it yet."""
        if self.store.pushes and in_event_loop():
            self.open()

    def on_token_forgotten(self, token_id: bytes) -> None:
        self.verdicts.forget(token_id)  # which is the fingerprint of the token

    def on_user_forgotten(self, user_tag: bytes) -> None:
        self.verdicts.forget_users(
            lambda base_url, user: user_tag in self.entries.user_tags(base_url, user)
        )

    def on_all_forgotten(self) -> None:
        self.verdicts.forget_all()

    def on_listening(self, *, live: bool) -> None:
        if not self.store.pushes:
            return
        with self._lock:
            self._era += 1
            self.verdicts.checks = None if live else self._check()
        if live:
            self.verdicts.caches.clear()
            self.verdicts.watches.reject_all()

    def on_sending(self, problem: str | None) -> None:
        self._report("forget", problem)

    def on_circuit_open(self, base_url: str) -> None:
        """Note that the circuit of a proxy has opened in this process."""
        with self._lock:
            self._open_circuits[base_url] = self._announced(base_url)
            if len(self._open_circuits) > MAX_CIRCUITS:
                self._open_circuits.popitem(last=False)

    def on_circuit_closed(self, base_url: str) -> None:
        """Tell the other processes that a proxy answers again."""
        self.store.announce(self.entries.keyring.topic(base_url))

    def has_answered_others(self, base_url: str) -> bool:
        """Return whether a proxy has answered another process since its circuit opened here."""
        with self._lock:
            known = self._open_circuits.get(base_url)
            if known is None or known == self._announced(base_url):
                return False
            del self._open_circuits[base_url]
            return True

    def _check(self) -> Checks:
        if self.store.pushes:
            return AgeCheck(self.verdicts)
        return StampCheck(self.verdicts, self.store.stamp)

    def _announced(self, base_url: str) -> int:
        return self.store.announced(self.entries.keyring.topic(base_url))

    def _report(self, operation: str, problem: str | None) -> None:
        if problem is None:
            self.observer.on_shared_store_recovered(self.store.name, operation)
        else:
            self.observer.on_shared_store_failed(self.store.name, operation, problem)
