from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from oxaigen_auth._shared import sqlite_rows as rows
from oxaigen_auth._shared.sqlite_database import Database, create_database
from oxaigen_auth._shared.store import LEASE_SECONDS, Entry, EntryKey, PutResult

BOUND = b"generation and epoch"
USER = b"user tag........"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(rows, "boot_time", lambda: now[0])
    return now


@pytest.fixture
def database(tmp_path: Path, clock: list[float]) -> Iterator[Database]:
    assert clock
    create_database(tmp_path / "rows")
    with closing(Database(tmp_path / "rows")) as database:
        yield database


def key(number: int) -> EntryKey:
    return EntryKey(number.to_bytes(16, "big"), b"question id.....")


def put(database: Database, number: int, *, lifetime: float = 10, count: int = 0) -> PutResult:
    entry = Entry(USER, b"sealed")
    change = rows.Put(key(number), entry, BOUND, count, lifetime, None, b"owner")
    return rows.put_entry(database, change, BOUND)


def stored(database: Database, table: str = "entries") -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def test_rows_that_have_expired_are_purged_in_small_steps(
    database: Database, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_PURGE_ROWS", 4)
    for number in range(10):
        put(database, number, lifetime=1 if number < 6 else 10)
        rows.take_lease(database, key(number), b"another")
    rows.purge(database)
    assert (stored(database), stored(database, "leases")) == (10, 10)
    clock[0] += 2
    rows.purge(database)
    assert (stored(database), stored(database, "leases")) == (6, 0)
    rows.purge(database)
    rows.purge(database)
    assert stored(database) == 4


def test_the_entries_that_expire_next_are_evicted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_EVICT_ROWS", 2)
    for number in range(3):
        put(database, number, lifetime=30 - number)
    assert rows.evict(database)
    assert rows.read_rows(database, [key(0)]) == (0, [(BOUND, Entry(USER, b"sealed"))])
    assert rows.evict(database)
    assert not rows.evict(database)


def test_a_lease_from_a_clock_that_was_set_back_is_free(
    database: Database, clock: list[float]
) -> None:
    assert rows.take_lease(database, key(1), b"first")
    clock[0] += LEASE_SECONDS / 2
    assert not rows.take_lease(database, key(1), b"second")
    clock[0] -= 100
    assert rows.take_lease(database, key(1), b"second")


def test_a_lease_that_is_taken_during_the_wait_for_the_write_lock_is_held(
    database: Database, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = database.transaction

    @contextmanager
    def after_another() -> Iterator[None]:
        clock[0] += 0.01
        with closing(Database(database.path)) as other:
            assert rows.take_lease(other, key(1), b"first")
        with transaction():
            yield

    monkeypatch.setattr(database, "transaction", after_another)
    assert not rows.take_lease(database, key(1), b"second")


def test_a_lease_may_be_taken_again_by_its_owner(database: Database, clock: list[float]) -> None:
    assert rows.take_lease(database, key(1), b"first")
    clock[0] += LEASE_SECONDS / 2
    assert rows.take_lease(database, key(1), b"first")
    clock[0] += LEASE_SECONDS * 0.7
    assert not rows.take_lease(database, key(1), b"second")


def test_a_lookup_during_which_too_many_users_were_forgotten_is_outdated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_MARKS", 10)
    for number in range(30):
        rows.mark_users(database, [number.to_bytes(16, "big")])
    assert stored(database, "marks") == 10
    assert put(database, 1, count=19) is PutResult.OUTDATED
    assert put(database, 1, count=20) is PutResult.STORED
