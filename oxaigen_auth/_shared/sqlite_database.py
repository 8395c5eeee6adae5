"""The database of an SQLite store: its tables, and the connection of a process.

Nothing here waits: with a busy timeout, a writer that was stopped would stop all event loops.

A child of a fork must not open a database that was open in its parent: SQLite has noted, per
process and file, which locks are held, and a child inherits the notes without the locks. So a fork
closes the connections; they are opened again by their next use.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock, RLock
from weakref import WeakSet

from oxaigen_auth._shared.store import SharedStoreError

# `bound` is the generation and the epoch for which an entry was stored.
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, token_id BLOB, question_id BLOB,
    user_tag BLOB, bound BLOB, expires REAL, sealed BLOB, UNIQUE (token_id, question_id));
CREATE INDEX entries_by_user ON entries (user_tag);
CREATE INDEX entries_by_expiry ON entries (expires);
CREATE TABLE leases (key BLOB PRIMARY KEY, owner BLOB, expires REAL) WITHOUT ROWID;
CREATE TABLE marks (user_tag BLOB PRIMARY KEY, count INTEGER) WITHOUT ROWID;
CREATE TABLE counter (count INTEGER);
INSERT INTO counter VALUES (0);
"""
_SETTINGS = """
PRAGMA synchronous = OFF;
PRAGMA wal_autocheckpoint = 250;
PRAGMA journal_size_limit = 4194304;
"""
_PAGE_LIMIT = 16_384  # of 4 KiB
_LOG_LIMIT = 32 * 1024 * 1024  # bytes; the log only grows while a stopped reader needs it
_no_fork = RLock()  # held by a fork, and by those that it must wait for
_LOCK_SECONDS = 0.002  # how long to wait for another thread, whose calls are as short
_FORK_SECONDS = 1.0


class BusyError(Exception):
    """Another process or thread is writing. Nothing was done."""


def code_of(error: sqlite3.Error) -> int:
    """Return the primary result code of an error; 0 if it is not from SQLite but from Python."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def create_database(path: Path) -> None:
    """Create a database that no other process knows yet. SQLite gives its -wal the same mode.

    Raises:
        OSError: if the file cannot be created.
        SharedStoreError: if the database cannot be created in it.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with _no_fork, closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
    except sqlite3.Error as error:
        raise SharedStoreError(f"{path}: {error}") from error


class Database:
    """A connection to a database.

    Args:
        path: an existing database. None is created here, as it would have no tables.

    Raises:
        sqlite3.Error: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log = f"{path}-wal"
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._connection.executescript(_SETTINGS)
            self._connection.execute(f"PRAGMA max_page_count = {_PAGE_LIMIT}")
        except BaseException:
            self.close()
            raise
        self.execute = self._connection.execute

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock during the block, and commit at its end.

        Raises:
            sqlite3.Error: if another connection holds it, or SQLite cannot write.
            FileNotFoundError: if the -wal was deleted. Other processes would use another one.
            SharedStoreError: if the -wal is too large.
        """
        self._limit_log()
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # after some errors, SQLite has rolled back
                self.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the connection. The last one of all processes deletes the -wal."""
        self._connection.close()

    def _limit_log(self) -> None:
        if self._log_size() > _LOG_LIMIT:
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if self._log_size() > _LOG_LIMIT:
                raise SharedStoreError(f"{self._log} is too large: a reader has stopped")

    def _log_size(self) -> int:
        return os.stat(self._log).st_size  # noqa: PTH116 (on each write)


class ProcessDatabase:
    """The connection of one process, used by its threads in turn.

    Without event loops that have entered, it is closed after each use.
    """

    def __init__(self) -> None:
        self._users = 0
        self._lock = Lock()
        self._is_held = False  # by a fork
        self._database: Database | None = None
        with _no_fork:
            _processes.add(self)

    @property
    def is_open(self) -> bool:
        return self._database is not None

    @contextmanager
    def use(self, path: Path) -> Iterator[Database]:
        """Connect to a database unless connected, and use it alone during the block.

        Raises:
            BusyError: if another thread is using it, or this one is, outside a signal handler.
            sqlite3.Error: if it cannot be opened.
        """
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            raise BusyError
        try:
            yield self._connected(path)
        finally:
            if not self._users:
                self._close()
            self._lock.release()

    def enter(self) -> None:
        """Count an event loop."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Close the connection when the last event loop leaves. It may be from before a fork."""
        with self._lock:
            self._users = max(self._users - 1, 0)
            if not self._users:
                self._close()

    def _connected(self, path: Path) -> Database:
        if self._database is None or self._database.path != path:
            self._close()
            self._database = Database(path)
        return self._database

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def before_fork(self) -> None:
        """Close the connection, and let no thread use it until `after_fork`.

        In a signal handler inside `use`, it stays open.
        """
        self._is_held = self._lock.acquire(timeout=_FORK_SECONDS)
        if self._is_held:
            self._close()

    def after_fork(self) -> None:
        if self._is_held:
            self._lock.release()


_processes: WeakSet[ProcessDatabase] = WeakSet()


def _before_fork() -> None:
    _no_fork.acquire()
    for process in _processes:
        process.before_fork()


def _after_fork() -> None:
    for process in _processes:
        process.after_fork()
    _no_fork.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
