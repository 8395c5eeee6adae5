"""The SQLite store where processes start together, are killed, stopped or forked; a full disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Event, Thread

import anyio
import pytest

from oxaigen_auth._shared.store import LEASE_SECONDS, PutResult, SharedStoreError
from tests.support.shared_files import database_of, opened
from tests.support.shared_store_contract import ANN, SEALED, new_key, put, stored
from tests.support.sqlite_worker import KEYS, USERS, line_of, python, send_line, step, work

pytestmark = pytest.mark.anyio

PROCESSES = 8
LAG = 0.1  # seconds, on a busy machine; who waits for a stopped process takes longer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth.db"


def integrity(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(database_of(path), timeout=5)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall()


def test_processes_that_start_together_agree_on_one_store(tmp_path: Path) -> None:
    code = """
    print(flush=True)
    input()
    for number in range(20):
        store = SqliteStore(path / f"{number}.db")
        print(anyio.run(store.read, KEYS).epoch.hex())
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(python(code, tmp_path)) for _ in range(PROCESSES)]
        for process in processes:
            line_of(process)
        for process in processes:
            send_line(process)
        outputs = [process.communicate() for process in processes]
    assert {errors for _, errors in outputs} == {""}
    assert len({epochs for epochs, _ in outputs}) == 1
    assert len(set(outputs[0][0].split())) == 20


async def test_writers_that_are_killed_damage_nothing_and_undo_no_forget(path: Path) -> None:
    random, stop, forgotten = Random(18), Event(), dict.fromkeys(USERS, 0)
    killers = [Thread(target=kill_again, args=(path, stop, seed)) for seed in range(PROCESSES)]
    await work(path, 18, steps=10)
    async with opened(path) as store:
        before = store.stamp(KEYS[0].token_id)
        for killer in killers:
            killer.start()
        try:
            with anyio.move_on_after(6):
                while True:
                    await step(store, random, forgotten)
                    user = random.choice(USERS)
                    store.forget_user([user])
                    forgotten[user] = (await store.read(KEYS)).count
                    await anyio.sleep(0.001)
        finally:
            stop.set()
            for killer in killers:
                killer.join()
        assert store.stamp(KEYS[0].token_id) != before
        assert integrity(path) == [("ok",)]
        assert (await store.read([await stored(store)])).found[0].entry == SEALED


def kill_again(path: Path, stop: Event, seed: int) -> None:
    """Start workers, and kill each after a random time, in the middle of whatever it does."""
    random = Random(seed)
    while not stop.is_set():
        code = f"anyio.run(work, path, {random.random()}, 1_000_000)"
        with python(code, path) as process:
            line_of(process)
            time.sleep(random.random())
            assert process.poll() is None, process.communicate()


STOPPED = """
from tests.support.shared_files import database_of
connection = sqlite3.connect(database_of(path), isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM entries")
print(flush=True)
input()
connection.execute("ROLLBACK")
print(flush=True)
input()
"""


async def test_a_process_that_is_stopped_while_it_writes_stops_no_other(path: Path) -> None:
    async with opened(path) as store:
        key, token = await stored(store), await stored(store)
        asked = await store.read([key])
        with python(STOPPED, path) as process:
            line_of(process)
            os.kill(process.pid, signal.SIGSTOP)
            async with anyio.create_task_group() as group:
                ticks: list[float] = []
                group.start_soon(tick, ticks)
                for _ in range(3):
                    with anyio.move_on_after(0.15) as scope:
                        await put(store, key, asked)
                    assert scope.cancelled_caught
                    assert (await store.read([key])).found[0].entry == SEALED
                store.forget([token.token_id])
                assert (await store.read([token])).found[0].entry is None
                store.forget_user([ANN])  # cannot be marked now, so all are forgotten
                assert (await store.read([key])).found[0].entry is None
                group.cancel_scope.cancel()
            assert max(b - a for a, b in pairwise(ticks)) < LAG
            os.kill(process.pid, signal.SIGCONT)
            send_line(process)
            line_of(process)
            assert await put(store, key, await store.read([key])) is PutResult.STORED


async def tick(ticks: list[float]) -> None:
    while True:
        ticks.append(time.monotonic())
        await anyio.sleep(0.001)


# Python 3.12 and later warn of forks in a process with threads: the test is about those.
FORKING = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
from threading import Event, Thread
from tests.support.shared_store_contract import *
from tests.support.shared_files import SilentListener

async def use(store, key):
    store.open(SilentListener())
    for _ in range(200):
        found = await store.acquire([key], key.token_id)
        assert await put(store, key, found, owner=key.token_id) is PutResult.STORED
    await store.aclose()

store = SqliteStore(path)
store.open(SilentListener())
shared = anyio.run(stored, store)
before = store.stamp(shared.token_id)
locked = Event()

def hold():
    with store._process().use(store._files.current().database):
        locked.set()
        time.sleep(0.5)

thread = Thread(target=hold)
thread.start()
locked.wait()
pids = []
for number in range(3):
    pid = os.fork()
    if not pid:
        signal.alarm(30)
        assert not store._processes[os.getppid()].is_open
        assert store.stamp(shared.token_id) == before
        anyio.run(use, store, KEYS[number])
        store.forget([shared.token_id])
        sys.exit(0)
    pids.append(pid)
thread.join()
anyio.run(use, store, KEYS[9])
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
assert store.stamp(shared.token_id) != before
assert anyio.run(store.read, [shared]).found[0].entry is None
anyio.run(store.aclose)
"""


def test_parent_and_child_of_a_fork_have_a_connection_each(path: Path) -> None:
    with python(FORKING, path) as process:
        assert process.communicate() == ("", "")
        assert process.returncode == 0
    assert integrity(path) == [("ok",)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1500k,mode=700", "tmpfs", str(disk)]
    mount = subprocess.run(["mount", *options], check=False)  # noqa: S603, S607 (the system's)
    pytest.skip("only root can mount a small disk") if mount.returncode else None
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)  # noqa: S603, S607


async def test_a_full_disk_is_an_error_and_does_not_keep_a_token(small_disk: Path) -> None:
    async with opened(small_disk / "auth.db") as store:
        key = await stored(store)
        asked = await store.read([key])
        fill(small_disk / "filler")
        with pytest.raises(SharedStoreError):
            while True:
                await stored(store)
        store.forget([key.token_id])
        assert (await store.read([key])).found[0].entry is None
        assert store.stamp(key.token_id) != 0
        store.forget_user([ANN])
        (small_disk / "filler").unlink()
        assert await put(store, key, asked) is PutResult.OUTDATED
        assert (await store.read([await stored(store)])).found[0].entry == SEALED


async def test_on_a_full_disk_no_store_is_created(small_disk: Path) -> None:
    fill(small_disk / "filler")
    async with opened(small_disk / "auth.db") as store:
        with pytest.raises(SharedStoreError):
            await store.read(KEYS)
        assert os.listdir(small_disk) == ["filler"]  # noqa: PTH208 (at once)
        (small_disk / "filler").unlink()
        assert (await store.read(KEYS)).count == 0


def fill(path: Path) -> None:
    with (
        path.open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left on device"),
    ):
        while True:
            file.write(bytes(4096))


async def test_calls_that_are_cancelled_leave_no_transaction_and_no_lease(
    path: Path, *, long: bool
) -> None:
    random = Random(18)
    async with opened(path) as store, opened(path) as other:

        async def call(key_number: int, seconds: float) -> None:
            key, owner = KEYS[key_number], os.urandom(16)
            with anyio.move_on_after(seconds):
                asked = await store.acquire([key], owner)
                await anyio.lowlevel.checkpoint()
                await put(store, key, asked, owner=owner)

        async def hold() -> None:
            with closing(sqlite3.connect(database_of(path), isolation_level=None)) as connection:
                while True:
                    connection.execute("BEGIN IMMEDIATE")
                    await anyio.sleep(0.003)
                    connection.execute("ROLLBACK")
                    await anyio.sleep(0.003)

        for _ in range(500 if long else 50):
            async with anyio.create_task_group() as group:
                group.start_soon(hold)
                async with anyio.create_task_group() as calls:
                    for _ in range(20):
                        calls.start_soon(call, random.randrange(20), random.random() * 0.02)
                group.cancel_scope.cancel()
        await anyio.sleep(LEASE_SECONDS)
        with anyio.fail_after(LAG):
            assert (await other.acquire([new_key()], b"owner")).leads
        assert all([(await other.acquire([key], b"owner")).leads for key in KEYS])
