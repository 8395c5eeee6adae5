from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, Thread

import pytest

from oxaigen_auth._shared import sqlite_database
from oxaigen_auth._shared.sqlite_database import (
    BusyError,
    Database,
    ProcessDatabase,
    code_of,
    create_database,
)
from oxaigen_auth._shared.store import SharedStoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_database(tmp_path / "rows")
    return tmp_path / "rows"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(path)) as database:
        yield database


def count(database: Database) -> int:
    return int(database.execute("SELECT count FROM counter").fetchone()[0])


def log(path: Path) -> Path:
    return Path(f"{path}-wal")


def test_a_database_is_not_created_over_a_file_nor_in_a_missing_folder(path: Path) -> None:
    with pytest.raises(FileExistsError):
        create_database(path)
    with pytest.raises(FileNotFoundError):
        create_database(path.parent / "missing" / "rows")


def test_a_database_that_cannot_be_created_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "_SCHEMA", "CREATE")
    with pytest.raises(SharedStoreError, match="rows: incomplete input"):
        create_database(tmp_path / "rows")


def test_a_missing_database_is_not_created_by_opening_it(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        Database(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_connection_that_cannot_be_set_up_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "_SETTINGS", "WRONG")
    with pytest.raises(sqlite3.OperationalError, match="syntax error") as error:
        Database(path)
    assert code_of(error.value) == sqlite3.SQLITE_ERROR


def test_errors_of_python_have_no_code(database: Database) -> None:
    with pytest.raises(sqlite3.ProgrammingError) as error:
        database.execute("SELECT ?")
    assert code_of(error.value) == 0


def test_a_transaction_that_fails_changes_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.execute("UPDATE counter SET count = 5")
        raise ZeroDivisionError
    assert count(database) == 0
    with database.transaction():
        database.execute("UPDATE counter SET count = 6")
    assert count(database) == 6


def test_a_transaction_that_sqlite_has_rolled_back_is_over(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.transaction():
        database.execute("INSERT INTO leases VALUES (x'00', x'00', 0)")
        database.execute("INSERT OR ROLLBACK INTO leases VALUES (x'00', x'00', 0)")
    with database.transaction():
        pass


def test_a_writer_does_not_wait_for_another_one(path: Path, database: Database) -> None:
    with closing(Database(path)) as other, database.transaction(), ExitStack() as stack:
        with pytest.raises(sqlite3.OperationalError) as error:
            stack.enter_context(other.transaction())
        assert code_of(error.value) == sqlite3.SQLITE_BUSY
        assert count(other) == 0


def test_a_database_does_not_grow_without_bound(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "_PAGE_LIMIT", 20)
    with closing(Database(path)) as database:
        with pytest.raises(sqlite3.OperationalError) as error, database.transaction():
            database.execute("INSERT INTO entries (sealed) VALUES (zeroblob(100000))")
        assert code_of(error.value) == sqlite3.SQLITE_FULL


def test_the_log_does_not_grow_without_bound(
    path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write() -> None:
        with database.transaction():
            database.execute("INSERT INTO entries (sealed) VALUES (zeroblob(2000))")

    write()
    monkeypatch.setattr(sqlite_database, "_LOG_LIMIT", 5)
    write()  # nobody needs the log, so it is emptied
    with closing(Database(path)) as reader:
        reader.execute("BEGIN")
        count(reader)
        with pytest.raises(SharedStoreError, match="a reader has stopped"):
            write()
    write()


def test_a_log_that_was_deleted_is_an_error(path: Path, database: Database) -> None:
    log(path).unlink()
    with ExitStack() as stack, pytest.raises(FileNotFoundError):
        stack.enter_context(database.transaction())


def test_without_event_loops_each_use_connects_anew(path: Path) -> None:
    process = ProcessDatabase()
    with process.use(path):
        assert log(path).exists()
    assert not log(path).exists()
    process.leave()
    with process.use(path):
        """An event loop from before a fork has left, which changed nothing."""
    assert not log(path).exists()


def test_the_last_event_loop_closes_the_connection(path: Path) -> None:
    process = ProcessDatabase()
    process.enter()
    process.enter()
    with process.use(path) as database:
        pass
    process.leave()
    with process.use(path) as same:
        assert same is database
    assert log(path).exists()
    process.leave()
    assert not log(path).exists()


def test_another_database_is_connected_in_place_of_the_first(path: Path, tmp_path: Path) -> None:
    process = ProcessDatabase()
    process.enter()
    with process.use(path) as database:
        assert database.path == path
    create_database(tmp_path / "new")
    with process.use(tmp_path / "new") as database:
        assert database.path == tmp_path / "new"
    process.leave()


def test_while_another_thread_uses_the_connection_it_is_busy(path: Path) -> None:
    process, entered, done = ProcessDatabase(), Event(), Event()

    def use() -> None:
        with process.use(path):
            entered.set()
            done.wait()

    thread = Thread(target=use)
    thread.start()
    entered.wait()
    with ExitStack() as stack, pytest.raises(BusyError):
        stack.enter_context(process.use(path))
    done.set()
    thread.join()


def test_a_call_inside_another_one_is_busy(path: Path) -> None:
    process = ProcessDatabase()
    with process.use(path), ExitStack() as signal_handler, pytest.raises(BusyError):
        signal_handler.enter_context(process.use(path))


def test_a_fork_waits_for_other_threads_and_closes_the_connection(path: Path) -> None:
    process = ProcessDatabase()
    process.enter()
    with process.use(path):
        assert process.is_open
    process.before_fork()
    assert not process.is_open
    with ExitStack() as stack, pytest.raises(BusyError):
        stack.enter_context(process.use(path))
    process.after_fork()
    with process.use(path):
        assert process.is_open
    process.leave()


# Python 3.12 and later warn if pytest has threads. The child ends at once.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_has_no_open_connection_and_its_parent_goes_on(path: Path) -> None:
    process = ProcessDatabase()
    process.enter()
    with process.use(path):
        assert log(path).exists()
    if not (pid := os.fork()):
        os._exit(process.is_open or log(path).exists())
    assert os.waitpid(pid, 0)[1] == 0
    with process.use(path) as database:
        assert count(database) == 0
    process.leave()


def test_a_fork_by_a_signal_handler_inside_a_call_does_not_wait_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "_FORK_SECONDS", 0.01)
    process = ProcessDatabase()
    with process.use(path) as database:
        process.before_fork()
        process.after_fork()
        assert count(database) == 0
    with process.use(path) as database:
        assert count(database) == 0
