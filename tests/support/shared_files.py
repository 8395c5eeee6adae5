"""A store of SQLite files, opened as an app does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from oxaigen_auth._shared.generation_file import GenerationFile
from oxaigen_auth._shared.sqlite import SqliteStore


class SilentListener:
    """Notes whether it was told that events arrive."""

    def __init__(self) -> None:
        self.live: list[bool] = []

    def on_token_forgotten(self, token_id: bytes) -> None: ...
    def on_user_forgotten(self, user_tag: bytes) -> None: ...
    def on_all_forgotten(self) -> None: ...
    def on_sending(self, problem: str | None) -> None: ...

    def on_listening(self, *, live: bool) -> None:
        self.live.append(live)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    store.open(SilentListener())
    try:
        yield store
    finally:
        await store.aclose()


def database_of(path: Path) -> Path:
    """The database of the store at a path."""
    return GenerationFile(path).database


def files_of(path: Path) -> Iterator[Path]:
    """All files of the store at a path, also those of SQLite."""
    return path.parent.glob(f"{path.name}*")
