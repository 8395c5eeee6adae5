"""An engine of the shared store in memory, which can fail, be slow, lose data and lose events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_bytes

import anyio
import anyio.lowlevel
from attrs import define, field

from oxaigen_auth._shared.store import (
    LEASE_SECONDS,
    NO_USER,
    Entry,
    EntryKey,
    Found,
    Listener,
    PutResult,
    SharedStoreError,
    Snapshot,
)

KEPT_SECONDS = 3600.0


@define(eq=False)
class MemoryServer:
    """What several `MemoryStore` share. `connected` has those that get events."""

    clock: Callable[[], float]
    epoch: bytes = field(factory=lambda: token_bytes(16))
    count: int = 0
    generations: dict[bytes, bytes] = field(factory=dict)
    entries: dict[EntryKey, tuple[Entry, float]] = field(factory=dict)
    marks: dict[bytes, int] = field(factory=dict)
    leases: dict[EntryKey, tuple[bytes, float]] = field(factory=dict)
    announced: dict[bytes, int] = field(factory=dict)
    connected: list[MemoryStore] = field(factory=list)
    forgotten: set[bytes] = field(factory=set)  # generations and epochs that a forget has made

    def entry(self, key: EntryKey) -> Entry | None:
        entry, end = self.entries.get(key, (None, 0.0))
        return entry if end > self.clock() else None

    def holder(self, key: EntryKey) -> bytes | None:
        owner, end = self.leases.get(key, (None, 0.0))
        return owner if end > self.clock() else None

    def new_forgotten(self) -> bytes:
        made = token_bytes(16)
        self.forgotten.add(made)
        return made

    def lose_everything(self) -> None:
        self.generations.clear()
        self.entries.clear()
        self.marks.clear()
        self.leases.clear()
        self.epoch, self.count = token_bytes(16), 0

    def snapshot(self, keys: Sequence[EntryKey], *, leads: bool = False) -> Snapshot:
        found = []
        for key in keys:
            generation = self.generations.setdefault(key.token_id, token_bytes(16))
            entry = self.entry(key)
            mark = 0 if entry is None else self.marks.get(entry.user_tag, 0)
            found.append(Found(generation, entry, mark))
        return Snapshot(self.epoch, self.count, found, leads)

    def publish(self, event: Callable[[Listener], None]) -> None:
        for store in self.connected:
            store.deliver(event)


@define(eq=False)
class MemoryStore:
    """The connection of one process.

    Args:
        delay: seconds before and after each operation.
        problem: what the operations in `failing` fail with, unless it is empty.
    """

    server: MemoryServer
    name: str = "memory:"
    pushes: bool = True
    delay: Callable[[], float] = lambda: 0.0
    problem: str = ""
    failing: frozenset[str] = frozenset({"read", "acquire", "put", "release"})
    listener: Listener | None = None
    calls: list[str] = field(factory=list)
    deliver_events: bool = True
    closed: bool = False

    async def _reach(self, operation: str) -> None:
        self.calls.append(operation)
        await anyio.sleep(self.delay())
        if self.problem and operation in self.failing:
            raise SharedStoreError(self.problem)

    async def read(self, keys: Sequence[EntryKey]) -> Snapshot:
        await self._reach("read")
        snapshot = self.server.snapshot(keys)
        await anyio.sleep(self.delay())
        return snapshot

    async def acquire(self, keys: Sequence[EntryKey], owner: bytes) -> Snapshot:
        await self._reach("acquire")
        if self.server.holder(keys[0]) in {None, owner}:
            self.server.leases[keys[0]] = owner, self.server.clock() + LEASE_SECONDS
        snapshot = self.server.snapshot(keys, leads=self.server.holder(keys[0]) == owner)
        await anyio.sleep(self.delay())
        return snapshot

    async def put(  # noqa: PLR0913 (as in the interface)
        self,
        key: EntryKey,
        entry: Entry,
        *,
        generation: bytes,
        epoch: bytes,
        count: int,
        lifetime: float,
        seen: Entry | None,
        owner: bytes,
    ) -> PutResult:
        await self._reach("put")
        server = self.server
        mark = 0 if entry.user_tag == NO_USER else server.marks.get(entry.user_tag, 0)
        self._release(key, owner)
        result = PutResult.STORED
        now = {server.generations.get(key.token_id), server.epoch}
        if mark > count or (now - {generation, epoch}) & server.forgotten:
            result = PutResult.OUTDATED
        elif now != {generation, epoch}:
            result = PutResult.LOST
        elif server.entry(key) != seen:
            result = PutResult.SUPERSEDED
        elif lifetime:
            server.entries[key] = entry, server.clock() + lifetime
        await anyio.sleep(self.delay())
        return result

    async def release(self, key: EntryKey, owner: bytes) -> None:
        await self._reach("release")
        self._release(key, owner)

    def _release(self, key: EntryKey, owner: bytes) -> None:
        if self.server.holder(key) == owner:
            del self.server.leases[key]

    def stamp(self, token_id: bytes) -> int:
        generation = self.server.generations.setdefault(token_id, token_bytes(16))
        state = generation + self.server.epoch + self.server.count.to_bytes(8, "big")
        return hash(state)

    def forget(self, token_ids: Sequence[bytes]) -> None:
        for token_id in token_ids:
            self.server.generations[token_id] = self.server.new_forgotten()
            self.server.publish(lambda it, token_id=token_id: it.on_token_forgotten(token_id))  # type: ignore[misc]

    def forget_user(self, user_tags: Sequence[bytes]) -> None:
        self.server.count += 1
        for tag in user_tags:
            self.server.marks[tag] = self.server.count
            self.server.publish(lambda it, tag=tag: it.on_user_forgotten(tag))  # type: ignore[misc]

    def forget_all(self) -> None:
        self.server.epoch = self.server.new_forgotten()
        self.server.publish(lambda it: it.on_all_forgotten())

    def announce(self, topic: bytes) -> None:
        self.server.announced[topic] = self.server.announced.get(topic, 0) + 1

    def announced(self, topic: bytes) -> int:
        return self.server.announced.get(topic, 0)

    def deliver(self, event: Callable[[Listener], None]) -> None:
        if self.pushes and self.deliver_events and self.listener is not None:
            event(self.listener)

    def connect(self) -> None:
        """Let events arrive from now on."""
        self.deliver_events = True
        assert self.listener is not None
        self.listener.on_listening(live=True)

    def disconnect(self) -> None:
        self.deliver_events = False
        assert self.listener is not None
        self.listener.on_listening(live=False)

    def open(self, listener: Listener) -> None:
        if self.listener is None:
            self.listener = listener
            self.server.connected.append(self)
            if self.pushes:
                self.connect()

    async def aclose(self) -> None:
        self.closed = True
        await anyio.lowlevel.checkpoint()
