"""The engine for the workers of one host: a database of entries, beside a file of generations.

Calls are made on the thread of the event loop: they take less time than a switch to another thread.
Nothing is awaited while a lock is held, so a call that is cancelled leaves nothing behind.

Why no entry outlives a `forget`: an entry is stored together with the generation and the epoch for
which it was asked, and is only returned while both are the current ones. `forget` writes a new
generation at any moment, without the lock of the database:

- before the comparison in `put`: nothing is stored.
- between the comparison and the commit: an entry with the old generation is stored, which no read
  returns, and the second comparison, after the commit, makes it `OUTDATED`.
- after the second comparison: the entry was valid when `put` returned; it no longer is.

If the files are replaced, the id in each generation and epoch changes, and the same is true.

`forget_user` leaves its mark, and deletes the user's entries, in one transaction. A `put` whose
transaction comes first has its entry deleted; one that comes later finds the mark. Only then does
`forget_user` change the stamps, so what a worker reads again is without the user.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count as counter
from pathlib import Path
from random import uniform
from typing import TypeVar

import anyio
from attrs import evolve

from oxaigen_auth._shared import sqlite_rows as rows
from oxaigen_auth._shared.generation_file import (
    EPOCH,
    OTHERS,
    GenerationFile,
    token_word,
    topic_word,
)
from oxaigen_auth._shared.sqlite_database import BusyError, Database, ProcessDatabase, code_of
from oxaigen_auth._shared.sqlite_files import StoreFiles
from oxaigen_auth._shared.store import (
    Entry,
    EntryKey,
    Found,
    Listener,
    PutResult,
    SharedStoreError,
    Snapshot,
)

T = TypeVar("T")
Operation = Callable[[Database, GenerationFile], T]

_PURGE_EVERY = 64  # puts
# Seconds before another attempt, at random half of it or up to one and a half of it.
_DELAYS = 0.0005, 0.001, 0.002, 0.004, 0.008
_SYNC_DELAYS = 0.0, 0.0005, 0.001, 0.002  # seconds before the attempts of a call that must not wait
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
# A file that was truncated has no tables, which is an error in general.
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}

# The -wal was deleted, a row is missing, a value is no number, or a message of SQLite not UTF-8.
_DAMAGES = FileNotFoundError, LookupError, TypeError, ValueError


class SqliteStore:
    """Implements `SharedStore` for the processes of one host.

    Args:
        path: an absolute path in a private folder, which exists. See `sqlite_files` for the files.
        secret: that of the file beside it, if the process uses that.
    """

    pushes = False

    def __init__(self, path: Path, secret: bytes | None = None) -> None:
        self.name = f"sqlite:///{path}"
        self._files = StoreFiles(path, secret)
        self.stamp = self._files.stamp  # called on each hit, so without a method of its own
        self._processes: dict[int, ProcessDatabase] = {}
        self._puts = counter(1)

    async def read(self, keys: Sequence[EntryKey]) -> Snapshot:
        return await self._run(lambda database, file: _snapshot(database, file, keys))

    async def acquire(self, keys: Sequence[EntryKey], owner: bytes) -> Snapshot:
        def operation(database: Database, file: GenerationFile) -> Snapshot:
            leads = rows.take_lease(database, keys[0], owner)
            # After the lease: the holder before has stored its entry when it released it.
            return evolve(_snapshot(database, file, keys), leads=leads)

        return await self._run(operation)

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
        put = rows.Put(key, entry, generation + epoch, count, lifetime, seen, owner)
        return await self._run(lambda database, file: self._put(database, file, put))

    async def release(self, key: EntryKey, owner: bytes) -> None:
        await self._run(lambda database, _: rows.release_lease(database, key, owner))

    def forget(self, token_ids: Sequence[bytes]) -> None:
        self._files.renew([token_word(token_id) for token_id in token_ids])
        with suppress(BusyError, SharedStoreError):  # the rows are not valid anyway
            self._attempt(lambda database, _: rows.delete_tokens(database, token_ids))

    def forget_user(self, user_tags: Sequence[bytes]) -> None:
        """Mark the users. If that is not possible at once, forget all."""
        for delay in _SYNC_DELAYS:
            time.sleep(delay)
            with suppress(BusyError, SharedStoreError):
                self._attempt(lambda database, _: rows.mark_users(database, user_tags))
                self._files.renew([OTHERS])
                return
        self.forget_all()

    def forget_all(self) -> None:
        """Make a new epoch. The rows, of which there may be many, expire."""
        self._files.renew([EPOCH, OTHERS])

    def announce(self, topic: bytes) -> None:
        self._files.renew([topic_word(topic)])

    def announced(self, topic: bytes) -> int:
        return self._files.word(topic_word(topic))

    def open(self, listener: Listener) -> None:
        """Count the event loop as a user. It is live at once: the stamp is compared on each hit."""
        with suppress(SharedStoreError):
            self._process().enter()
            self._files.current()
        listener.on_listening(live=True)

    async def aclose(self) -> None:
        with suppress(SharedStoreError):  # it was never open in this process
            self._process().leave()

    async def _run(self, operation: Operation[T]) -> T:
        attempts = 0
        while True:
            try:
                return self._attempt(operation)
            except BusyError:
                delay = _DELAYS[min(attempts, len(_DELAYS) - 1)]
                attempts += 1
            await anyio.sleep(delay * uniform(0.5, 1.5))  # noqa: S311 (spreads the attempts)

    def _attempt(self, operation: Operation[T]) -> T:
        file = self._files.current()
        path = file.database
        try:
            with self._process().use(path) as database:
                return _with_eviction(operation, database, file)
        except sqlite3.Error as error:
            if code_of(error) in _BUSY:
                raise BusyError from error
            if code_of(error) in _DAMAGED or not os.path.exists(path):  # noqa: PTH110 (any error)
                self._files.discard(file)  # the next call makes a new one
            raise SharedStoreError(f"{path}: {error}") from error
        except _DAMAGES as error:
            self._files.discard(file)
            raise SharedStoreError(f"{path} is damaged") from error

    def _put(self, database: Database, file: GenerationFile, put: rows.Put) -> PutResult:
        if next(self._puts) % _PURGE_EVERY == 0:
            rows.purge(database)
        result = rows.put_entry(database, put, _bound(file, put.key))
        return rows.changed(put, _bound(self._files.current(), put.key)) or result

    def _process(self) -> ProcessDatabase:
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is not None:
            return process
        if any(inherited.is_open for inherited in self._processes.values()):
            raise SharedStoreError(
                f"{self._files.path} was open when the process was forked by other means than "
                "os.fork; open it after the fork"
            )
        return self._processes.setdefault(pid, ProcessDatabase())


def _with_eviction(operation: Operation[T], database: Database, file: GenerationFile) -> T:
    try:
        return operation(database, file)
    except sqlite3.OperationalError as error:
        if code_of(error) == sqlite3.SQLITE_FULL and rows.evict(database):
            raise BusyError from error  # there is room at the next attempt
        raise


def _snapshot(database: Database, file: GenerationFile, keys: Sequence[EntryKey]) -> Snapshot:
    count, entries = rows.read_rows(database, keys)
    epoch = file.bound(EPOCH)
    found = []
    for key, row in zip(keys, entries, strict=True):
        generation = file.bound(token_word(key.token_id))
        entry = row[1] if row is not None and row[0] == generation + epoch else None
        found.append(Found(generation, entry, mark=0))  # entries of marked users are deleted
    return Snapshot(epoch, count, found)


def _bound(file: GenerationFile, key: EntryKey) -> bytes:
    return file.bound(token_word(key.token_id)) + file.bound(EPOCH)
