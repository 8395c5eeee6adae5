"""Reads entries, and creates what makes them invalid where it is missing or not authentic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, cast

from attrs import define, evolve, field
from coredis.connection import BaseConnection

from oxaigen_auth._shared.redis import scripts
from oxaigen_auth._shared.redis.events import Authenticator
from oxaigen_auth._shared.redis.origins import (
    EPOCH,
    GENERATION,
    Origin,
    new_epoch,
    new_generation,
)
from oxaigen_auth._shared.store import (
    LEASE_SECONDS,
    Entry,
    EntryKey,
    Found,
    SharedStoreError,
    Snapshot,
)

MAX_DIGITS = 16  # of a count, which Lua holds exactly

_LEASE_MS = round(LEASE_SECONDS * 1000)


class Record(NamedTuple):
    """A stored entry, and under which generation, epoch and count it was stored."""

    binding: bytes
    began_at: int
    entry: Entry

    @classmethod
    def under(cls, generation: bytes, epoch: bytes, count: int, entry: Entry) -> Record:
        return cls(_binding(generation, epoch), count, entry)

    @classmethod
    def unpack(cls, data: bytes) -> Record:
        return cls(data[:16], int.from_bytes(data[16:24]), Entry(data[24:40], data[40:]))

    def pack(self) -> bytes:
        return self.binding + self.began_at.to_bytes(8) + b"".join(self.entry)


def _binding(generation: bytes, epoch: bytes) -> bytes:
    return blake2b(generation + epoch, digest_size=16).digest()


@define(eq=False)
class RedisReader:
    """Reads for one store.

    Values are the count and epoch, then for each key its generation and its entry, as they are
    stored; None if they are not.

    Args:
        is_pending: whether this process has forgotten an entry, but the server may not know yet.
    """

    authenticator: Authenticator
    memory_ms: int
    is_pending: Callable[[EntryKey, Entry], bool]
    rejected: int = field(default=0, init=False)
    _epoch: bytes = field(default=b"", init=False)  # the last one that was authentic

    async def read(self, connection: BaseConnection, keys: Sequence[EntryKey]) -> Snapshot:
        """Read with one plain command, unless something has to be created.

        Raises:
            SharedStoreError: the epoch was not authentic. It is now, unless this happens again.
        """
        names = [scripts.FLEET]
        for key in keys:
            names += (scripts.generation_key(key.token_id), scripts.entry_key(key))
        values = cast("list[Any]", await connection.create_request(b"MGET", *names))
        checked = self._check(keys, values)
        if all(checked):
            return await self._snapshot(connection, keys, values)
        rejected = _rejected(values, checked)
        snapshot = await self.read_or_create(connection, keys, b"", rejected)
        if rejected[0]:
            raise SharedStoreError("another secret is used in the same database")
        return snapshot

    async def read_or_create(
        self,
        connection: BaseConnection,
        keys: Sequence[EntryKey],
        owner: bytes,
        rejected: list[bytes] | None = None,
    ) -> Snapshot:
        """Create what is missing, and replace values that are rejected.

        `owner` takes the lease of the first key if it is free, unless it is b"".
        """
        rejected = rejected or [b""] * (len(keys) + 1)
        for _ in range(2):
            leads, *values = await self._create(connection, keys, owner, rejected)
            checked = self._check(keys, values)
            if all(checked):
                snapshot = await self._snapshot(connection, keys, values)
                return evolve(snapshot, leads=leads == 1)
            rejected = _rejected(values, checked)
        raise SharedStoreError("another secret is used in the same database")

    async def _create(
        self,
        connection: BaseConnection,
        keys: Sequence[EntryKey],
        owner: bytes,
        rejected: list[bytes],
    ) -> list[Any]:
        sign = self.authenticator.sign
        names = [scripts.FLEET, scripts.lease_key(keys[0])]
        args = [sign(new_epoch(Origin.MISSING)), rejected[0]]
        for key, generation in zip(keys, rejected[1:], strict=True):
            names += (scripts.generation_key(key.token_id), scripts.entry_key(key))
            args += (sign(new_generation(key.token_id, Origin.MISSING)), generation)
        values = await scripts.READ.run(connection, names, owner, _LEASE_MS, self.memory_ms, *args)
        return cast("list[Any]", values)

    def _check(self, keys: Sequence[EntryKey], values: list[Any]) -> list[bool]:
        """Whether the epoch, and each generation, is there and signed for what it is."""
        fleet = values[0]
        checked = [fleet is not None and self._is_fleet(fleet)]
        checked += (
            generation is not None and self._is_signed(generation, GENERATION + key.token_id)
            for key, generation in zip(keys, values[1::2], strict=True)
        )
        return checked

    def _is_fleet(self, fleet: bytes) -> bool:
        count, _, epoch = fleet.partition(b":")
        if epoch != self._epoch and self._is_signed(epoch, EPOCH):
            self._epoch = epoch
        return epoch == self._epoch and count.isdigit() and len(count) <= MAX_DIGITS

    def _is_signed(self, signed: bytes, start: bytes) -> bool:
        message = self.authenticator.verify(signed)
        authentic = message is not None and message.startswith(start)
        self.rejected += not authentic
        return authentic

    async def _snapshot(
        self, connection: BaseConnection, keys: Sequence[EntryKey], values: list[Any]
    ) -> Snapshot:
        count_text, _, epoch = values[0].partition(b":")
        count, generations = int(count_text), values[1::2]
        entries = {
            key: self._valid(key, _binding(generation, epoch), data)
            for key, generation, data in zip(keys, generations, values[2::2], strict=True)
            if data is not None
        }
        records = [record for record in entries.values() if record is not None]
        marks = await self._marks(connection, epoch, count, records)
        found = []
        for key, generation in zip(keys, generations, strict=True):
            record = entries.get(key)
            entry = None if record is None else record.entry
            found.append(Found(generation, entry, marks.get(entry.user_tag, 0) if entry else 0))
        return Snapshot(epoch, count, found)

    def _valid(self, key: EntryKey, binding: bytes, data: bytes) -> Record | None:
        record = Record.unpack(data)
        if record.binding != binding or self.is_pending(key, record.entry):
            return None  # the token, or everything, was forgotten
        return record

    async def _marks(
        self, connection: BaseConnection, epoch: bytes, count: int, records: list[Record]
    ) -> dict[bytes, int]:
        """Return the marks of users whose entries may be older than a forgotten user."""
        tags = [record.entry.user_tag for record in records if record.began_at != count]
        if not tags:
            return {}
        command = connection.create_request(b"ZMSCORE", scripts.MARKS, epoch, *tags)
        kept, *marks = cast("list[Any]", await command)
        if kept is None:  # the marks were lost
            return dict.fromkeys(tags, count)
        return {tag: int(mark or 0) for tag, mark in zip(tags, marks, strict=True)}


def _rejected(values: list[Any], checked: list[bool]) -> list[bytes]:
    """Return the values that are not authentic, and b"" for the others."""
    candidates = [values[0], *values[1::2]]
    return [
        b"" if ok or value is None else value for value, ok in zip(candidates, checked, strict=True)
    ]
