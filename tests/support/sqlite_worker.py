"""A process that puts, reads and forgets in a store of SQLite files, and checks what it reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from textwrap import dedent

import anyio
from attrs import evolve

from oxaigen_auth._shared.sqlite import SqliteStore
from oxaigen_auth._shared.store import Entry, EntryKey, Snapshot
from tests.support.paths import ROOT
from tests.support.processes import started
from tests.support.shared_files import opened
from tests.support.shared_store_contract import put

KEYS = [EntryKey(bytes([number]) * 16, b"question id.....") for number in range(20)]
USERS = [bytes([number]) * 16 for number in range(1, 4)]

_HEAD = """
import anyio, os, signal, sqlite3, sys, time
from pathlib import Path
from oxaigen_auth._shared.sqlite import SqliteStore
from tests.support.sqlite_worker import *
path = Path(sys.argv[1])
"""


@contextmanager
def python(code: str, path: Path) -> Iterator[Popen[str]]:
    """Run code with a `path` in a process, until the end of the block."""
    command = (sys.executable, "-W", "error", "-c", _HEAD + dedent(code), str(path))
    with started(*command, stdin=PIPE, cwd=ROOT) as process:
        yield process


def line_of(process: Popen[str]) -> str:
    """Wait for a line that the process prints, and return it."""
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.communicate()
    return line.strip()


def send_line(process: Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


async def work(path: Path, seed: int, steps: int) -> None:
    """Use a store as several workers do."""
    random = Random(seed)
    async with opened(path) as store:
        print("ready", flush=True)  # noqa: T201 (to the test)
        for _ in range(steps):
            await step(store, random, dict.fromkeys(USERS, 0))
            await anyio.sleep(0.001)


async def step(store: SqliteStore, random: Random, forgotten: Mapping[bytes, int]) -> None:
    """Read, put and sometimes forget. An entry says with what its lookup began."""
    key, user = random.choice(KEYS), random.choice(USERS)
    asked = await store.acquire([key], b"owner")
    check(asked, forgotten)
    await put(store, key, asked, _entry(user, asked), owner=b"owner")
    if random.random() < 0.1:
        store.forget([random.choice(KEYS).token_id])
    if random.random() < 0.02:
        store.forget_all()


def check(asked: Snapshot, forgotten: Mapping[bytes, int]) -> None:
    """Require that an entry is not from before its token, its user or all were forgotten."""
    entry = asked.found[0].entry
    if entry is not None:
        count = int.from_bytes(entry.sealed[-8:], "big")
        assert count >= forgotten[entry.user_tag]
        assert entry == _entry(entry.user_tag, evolve(asked, count=count))


def _entry(user_tag: bytes, asked: Snapshot) -> Entry:
    began = asked.found[0].generation + asked.epoch + asked.count.to_bytes(8, "big")
    return Entry(user_tag, bytes(1000) + began)
