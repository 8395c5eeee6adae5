from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from threading import Thread

import anyio
import pytest

from oxaigen_auth._shared import sqlite_database, sqlite_rows
from oxaigen_auth._shared.sqlite import SqliteStore
from oxaigen_auth._shared.store import Entry, EntryKey, PutResult, SharedStore, SharedStoreError
from tests.support.shared_files import SilentListener, database_of, files_of, opened
from tests.support.shared_store_contract import (
    ANN,
    SEALED,
    SharedStoreContract,
    new_key,
    put,
    stored,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(path) as store:
        yield store


@pytest.fixture
async def other(path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(path) as store:
        yield store


@pytest.fixture
def another_version(path: Path) -> Path:
    path.write_bytes(b"oxaigen-auth generations 2")
    return path


class TestContract(SharedStoreContract):
    """What all engines do."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A block during which another process is inside a transaction."""
    with closing(sqlite3.connect(database_of(path), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_its_name_is_its_url() -> None:
    assert SqliteStore(Path("/run/my_app/auth.db")).name == "sqlite:////run/my_app/auth.db"
    assert not SqliteStore.pushes


async def test_it_is_live_as_soon_as_it_is_open(path: Path) -> None:
    store, listener = SqliteStore(path), SilentListener()
    store.open(listener)
    assert listener.live == [True]
    await store.aclose()


async def test_all_files_are_private(store: SharedStore, path: Path) -> None:
    await stored(store)
    modes = {file.name[-4:]: file.stat().st_mode & 0o777 for file in files_of(path)}
    assert {"-wal", "-shm"} < modes.keys()
    assert set(modes.values()) == {0o600}


async def test_a_stamp_changes_at_once_with_each_kind_of_forget(
    store: SharedStore, other: SharedStore
) -> None:
    key = await stored(store)
    forgets: list[Callable[[], None]] = [
        lambda: other.forget([key.token_id]),
        lambda: other.forget_user([ANN]),
        other.forget_all,
    ]
    for forget in forgets:
        before = store.stamp(key.token_id)
        assert store.stamp(key.token_id) == before
        forget()
        assert store.stamp(key.token_id) != before


async def test_the_rows_of_a_forgotten_token_and_user_are_deleted(
    store: SharedStore, path: Path
) -> None:
    token, _ = await stored(store), await stored(store)
    other_user = Entry(b"ben.............", b"x")
    await stored(store, other_user)
    store.forget([token.token_id])
    with closing(sqlite3.connect(database_of(path))) as connection:
        count = connection.execute("SELECT count(*) FROM entries")
        assert count.fetchone() == (2,)
        store.forget_user([ANN])
        count = connection.execute("SELECT count(*) FROM entries")
        assert count.fetchone() == (1,)


async def test_while_another_process_writes_a_read_succeeds_and_a_put_waits(
    store: SharedStore, path: Path
) -> None:
    key = await stored(store)
    asked = await store.read([key])
    with locked(path):
        assert (await store.read([key])) == asked
        with anyio.move_on_after(0.1) as scope:
            await put(store, key, asked)
        assert scope.cancelled_caught
    async with anyio.create_task_group() as group:
        with locked(path):
            group.start_soon(put, store, key, asked, Entry(ANN, b"later"))
            await anyio.sleep(0.05)
    assert (await store.read([key])).found[0].entry == Entry(ANN, b"later")


async def test_while_another_process_writes_forget_works_at_once(
    store: SharedStore, other: SharedStore, path: Path
) -> None:
    token, user = await stored(store), await stored(store, Entry(b"ben.............", b"x"))
    lookup = await other.read([user])
    with locked(path):
        store.forget([token.token_id])
        assert (await other.read([token])).found[0].entry is None
        assert (await other.read([user])).found[0].entry is not None
        store.forget_user([b"ben............."])
        assert (await other.read([user])).found[0].entry is None
    assert await put(other, user, lookup, Entry(b"ben.............", b"x")) is PutResult.OUTDATED


async def test_a_forget_between_the_comparison_and_the_commit_makes_a_put_outdated(
    store: SharedStore, other: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key()
    asked = await store.read([key])
    release = sqlite_rows.release_lease

    def forget_and_release(*_: object) -> None:
        monkeypatch.setattr(sqlite_rows, "release_lease", release)
        other.forget([key.token_id])

    monkeypatch.setattr(sqlite_rows, "release_lease", forget_and_release)
    assert await put(store, key, asked) is PutResult.OUTDATED
    assert (await store.read([key])).found[0].entry is None


async def test_files_that_are_deleted_while_in_use_are_created_again(
    store: SharedStore, other: SharedStore, path: Path
) -> None:
    key = await stored(store)
    asked = await other.read([key])
    for file in list(files_of(path)):
        file.unlink()
    assert await put(store, key, asked) is PutResult.LOST
    now = await other.read([key])
    assert now.found[0].entry is None
    assert await put(other, key, now) is PutResult.STORED
    assert (await store.read([key])).found[0].entry == SEALED


async def test_files_that_are_deleted_during_a_put_are_lost(
    store: SharedStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key()
    asked = await store.read([key])
    monkeypatch.setattr(sqlite_rows, "release_lease", lambda *_: path.unlink())
    assert await put(store, key, asked) is PutResult.LOST


async def test_a_deleted_folder_is_an_error_until_it_is_there_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(0o700)
    async with opened(folder / "auth.db") as store:
        key = await stored(store)
        subprocess.run(["rm", "-r", folder], check=True)  # noqa: ASYNC221, S603, S607 (at once)
        with pytest.raises(SharedStoreError, match="No such file or directory"):
            await store.read([key])
        store.forget([key.token_id])
        store.forget_user([ANN])
        store.forget_all()
        store.announce(key.token_id)
        folder.mkdir(0o700)
        assert (await store.read([key])).found[0].entry is None


async def test_a_store_of_another_version_is_an_error_and_left_as_it_is(
    another_version: Path,
) -> None:
    path = another_version
    async with opened(path) as store:
        with pytest.raises(SharedStoreError, match="not a store of this version"):
            await store.read([new_key()])
        store.forget_all()
    assert path.stat().st_size == 26  # noqa: ASYNC240 (at once)


def overwritten(path: Path) -> None:
    path.write_bytes(b"not a database" * 4096)


def truncated(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink(missing_ok=True)


async def test_a_damaged_database_that_cannot_be_replaced_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as store:
        await stored(store)
    overwritten(database_of(path))

    def read_only(_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    async with opened(path) as store:
        monkeypatch.setattr(Path, "unlink", read_only)
        for _ in range(2):
            with pytest.raises(SharedStoreError, match="file is not a database"):
                await store.read([new_key()])


@pytest.mark.parametrize("damage", [overwritten, truncated, deleted])
async def test_a_damaged_database_is_an_error_once_at_most_and_made_again(
    path: Path, damage: Callable[[Path], None]
) -> None:
    async with opened(path) as store:
        await stored(store)
    damage(database_of(path))
    async with opened(path) as store:
        key = new_key()
        with suppress(SharedStoreError):
            await store.read([key])
        assert await put(store, key, await store.read([key])) is PutResult.STORED


async def test_after_the_log_was_deleted_the_store_is_made_again(
    store: SharedStore, other: SharedStore, path: Path
) -> None:
    key = await stored(store)
    asked = await other.read([key])
    deleted(Path(f"{database_of(path)}-wal"))
    with pytest.raises(SharedStoreError, match="is damaged"):
        await put(store, key, asked)
    assert await put(other, key, asked) is PutResult.LOST
    assert await put(store, key, await store.read([key])) is PutResult.STORED
    assert (await other.read([key])).found[0].entry == SEALED


async def test_whatever_is_changed_in_a_database_no_other_error_is_raised(path: Path) -> None:
    random = Random(18)
    for _ in range(40):
        async with opened(path) as store:
            keys = [await stored(store) for _ in range(20)]
        content = bytearray(database_of(path).read_bytes())
        for _ in range(random.randrange(1, 100)):
            content[random.randrange(len(content))] = random.randrange(256)
        database_of(path).write_bytes(content)
        async with opened(path) as store:
            await _use(store, keys)
        deleted(path)


async def _use(store: SharedStore, keys: list[EntryKey]) -> None:
    store.forget_user([b"unknown........."])
    for key in keys:
        with suppress(SharedStoreError):
            found = await store.acquire([key], b"owner")
            entry = found.found[0].entry
            assert entry is None or {type(part) for part in entry} == {bytes}
            await put(store, key, found)


async def test_a_database_with_a_count_that_is_no_number_is_damaged(
    store: SharedStore, path: Path
) -> None:
    key = await stored(store)
    asked = await store.read([key])
    with closing(sqlite3.connect(database_of(path), isolation_level=None)) as connection:
        connection.execute("UPDATE counter SET count = 'x'")
    with pytest.raises(SharedStoreError, match="is damaged"):
        await put(store, key, asked)
    assert (await store.read([key])).found[0].entry is None


async def test_a_full_database_evicts_entries(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_database, "_PAGE_LIMIT", 100)
    monkeypatch.setattr(sqlite_rows, "_EVICT_ROWS", 20)
    async with opened(path) as store:
        keys = [await stored(store, Entry(ANN, bytes(2000))) for _ in range(500)]
        assert (await store.acquire([new_key()], b"owner")).leads
        kept = [(await store.read([key])).found[0].entry is not None for key in keys]
        assert kept[-1]
        assert 50 < sum(kept) < 200
        with pytest.raises(SharedStoreError, match="full"):
            await stored(store, Entry(ANN, bytes(1_000_000)))
        assert database_of(path).stat().st_size <= 100 * 4096


async def test_rows_that_have_expired_are_purged_now_and_then(
    store: SharedStore, path: Path
) -> None:
    for _ in range(200):
        key = new_key()
        await put(store, key, await store.read([key]), lifetime=0.001)
    with closing(sqlite3.connect(database_of(path))) as connection:
        (left,) = connection.execute("SELECT count(*) FROM entries").fetchone()
    assert left < 100


async def test_it_is_used_from_several_threads_and_event_loops(path: Path) -> None:
    store = SqliteStore(path)
    keys = [new_key() for _ in range(4)]

    async def work(key: EntryKey) -> None:
        store.open(SilentListener())
        for _ in range(100):
            await put(store, key, await store.acquire([key], key.token_id), owner=key.token_id)
            store.forget([os.urandom(16)])
        await store.aclose()

    threads = [Thread(target=anyio.run, args=(work, key)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(await store.read([key])).found[0].entry for key in keys} == {SEALED}


async def test_a_process_that_was_forked_while_the_store_was_open_does_not_use_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as store:
        key = await stored(store)
        before = store.stamp(key.token_id)
        monkeypatch.setattr(os, "getpid", lambda: -1)  # as in a child of a fork in C
        store.open(SilentListener())
        with pytest.raises(SharedStoreError, match="open it after the fork"):
            await store.read([key])
        store.forget([key.token_id])
        assert store.stamp(key.token_id) != before
        await store.aclose()
        monkeypatch.undo()
        assert (await store.read([key])).found[0].entry is None


@pytest.mark.parametrize("count", [-5, None, "x", 1e300])
async def test_after_the_count_was_damaged_the_store_is_made_again(
    store: SharedStore, path: Path, count: object
) -> None:
    key = await stored(store)
    with closing(sqlite3.connect(database_of(path), isolation_level=None)) as database:
        database.execute("UPDATE counter SET count = ?", [count])
    with suppress(SharedStoreError):
        await put(store, key, await store.read([key]))
    assert await put(store, key, await store.read([key])) is PutResult.STORED
