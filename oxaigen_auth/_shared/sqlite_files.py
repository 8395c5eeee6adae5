"""The files of an SQLite store: where they are, how they are made, and when they are made again.

    auth.db               the generations, see `generation_file`
    auth.db-<id>          the database that belongs to them; with SQLite's own -wal and -shm

Both are complete before the first gets its name by `os.link`, so that processes that start together
agree on one of them, and none sees a file in the making. The name of the database contains the id
of the generations and is never used again: a database, or its -wal, is never mixed with that of
another time. To make the store again, deleting the first file is sufficient, at any moment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes
from time import monotonic, time

from oxaigen_auth._shared.generation_file import (
    OTHERS,
    TOKENS,
    GenerationFile,
    OutdatedFileError,
    database_path,
    write_generation_file,
)
from oxaigen_auth._shared.locations import check_folder, keep_secret
from oxaigen_auth._shared.sqlite_database import create_database
from oxaigen_auth._shared.store import SharedStoreError

_CHECK_SECONDS = 0.1
_OLD_SECONDS = 60


class StoreFiles:
    """Opens the files, and finds out when they were deleted or replaced. Thread-safe, fork-safe.

    Args:
        path: an absolute path, in a private folder.
        secret: what the process uses, if it is that beside the file, which may be deleted too.
    """

    def __init__(self, path: Path, secret: bytes | None = None) -> None:
        self.path = path
        self._secret = secret
        self._file: GenerationFile | None = None
        self._words: memoryview[int] | None = None
        self._check_at = 0.0

    def stamp(self, token_id: bytes) -> int:
        """Return a number that changes when the token, any user or everything is forgotten.

        It is 0 while there is no usable file, as then it is not known what others forget.
        """
        if monotonic() >= self._check_at:
            self._check()
        words = self._words
        if words is None:
            return 0
        return words[TOKENS + (token_id[0] << 8 | token_id[1])] ^ words[OTHERS]  # on each hit

    def word(self, index: int) -> int:
        """Return a word as it is now."""
        if monotonic() >= self._check_at:
            self._check()
        words = self._words
        return 0 if words is None else words[index]

    def current(self) -> GenerationFile:
        """Return the file that is at the path now. Create it if there is none.

        Raises:
            SharedStoreError: if that is not possible.
        """
        file = self._file
        if file is not None and file.is_at(self.path):
            return file
        self._file = self._words = None
        try:
            file = self._open()
        except OSError as error:
            raise SharedStoreError(f"{error.filename or self.path}: {error.strerror}") from error
        self._file, self._words = file, file.words
        return file

    def renew(self, words: Collection[int]) -> None:
        """Write new words, also to a file that others may still use in the second before a check.

        If there is no disk space for them, delete the file: that invalidates more.
        """
        before = self._file
        with suppress(SharedStoreError):
            self._renew(self.current(), words)
        if before is not None and before is not self._file:
            self._renew(before, words)

    def discard(self, file: GenerationFile) -> None:
        """Delete a file whose database is lost, if possible, so that the store is made again."""
        with suppress(OSError):
            if file.is_at(self.path):
                self.path.unlink()

    def _renew(self, file: GenerationFile, words: Collection[int]) -> None:
        try:
            file.renew(words)
        except OSError:
            self.discard(file)

    def _check(self) -> None:
        self._check_at = monotonic() + _CHECK_SECONDS
        with suppress(SharedStoreError):
            self.current()

    def _open(self) -> GenerationFile:
        for _ in range(5):  # others may delete and create it at the same time
            try:
                file = GenerationFile(self.path)
            except FileNotFoundError:
                self._create()
            except OutdatedFileError:
                self.path.unlink(missing_ok=True)
            else:
                if file.database.exists():
                    if self._secret is not None:
                        keep_secret(self.path, self._secret)
                    return file
                self.discard(file)
        raise SharedStoreError(f"{self.path} is deleted again and again")

    def _create(self) -> None:
        check_folder(self.path.parent)
        file_id = token_bytes(16)
        database = database_path(self.path, file_id)
        complete = database.with_name(f"{database.name}.new")
        try:
            create_database(database)
            write_generation_file(complete, file_id)
            os.link(complete, self.path)
        except FileExistsError:  # another process was faster
            database.unlink()
        except BaseException:
            database.unlink(missing_ok=True)
            raise
        else:
            self._delete_old()
        finally:
            complete.unlink(missing_ok=True)

    def _delete_old(self) -> None:
        """Delete databases of earlier files, but none that another process is creating."""
        name = re.compile(re.escape(self.path.name) + r"-[0-9a-f]{32}(-\w+|\.new)?")
        for path in self.path.parent.iterdir():
            with suppress(FileNotFoundError):  # another process deletes them too
                if name.fullmatch(path.name) and time() - path.stat().st_mtime > _OLD_SECONDS:
                    path.unlink()
