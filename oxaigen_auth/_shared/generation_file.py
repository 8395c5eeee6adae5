"""The generations of one host: a file of random 64-bit words, mapped by each process.

A token has the word at the hash of its id, which it shares with few others. To forget it, a new
random word is written, with neither a lock nor a transaction: the next read in any process sees it.
The file also has a random id, which is part of each generation: if the file is lost and made again,
nothing that was bound to the old one is valid.

    at byte 0   magic (32 bytes), boot id (16), file id (16)
    at byte 64  the words of the epoch and of `OTHERS`
    at byte 512 the words of 64 topics
    at byte 4096 the words of 65,536 tokens

Words are written through the file descriptor: where no disk space is left for a copy-on-write, this
is an error, while a write to mapped memory would be a signal that ends the process. For the same
reason the file must not be truncated while it is in use; it may be deleted.
"""

from __future__ import annotations

import mmap
import os
import stat
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from struct import Struct

from oxaigen_auth._shared.clocks import boot_time
from oxaigen_auth._shared.store import SharedStoreError

# Indices of words.
EPOCH = 8
OTHERS = 9  # changes when any user or everything is forgotten
TOPICS, _TOPIC_COUNT = 64, 64
TOKENS = 512

_SIZE = 8 * (TOKENS + 65_536)
_MAGIC = b"oxaigen-auth generations 1\n".ljust(32)
_HEADER = Struct("32s16s16s")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class OutdatedFileError(Exception):
    """The file is from before the last start of the host, or its writing was not completed."""


def token_word(token_id: bytes) -> int:
    """Return the index of a token's word."""
    return TOKENS + (token_id[0] << 8 | token_id[1])


def topic_word(topic: bytes) -> int:
    """Return the index of the word that changes with each announcement of a topic."""
    return TOPICS + topic[0] % _TOPIC_COUNT


def database_path(path: Path, file_id: bytes) -> Path:
    """Return the path of the database that belongs to a file."""
    return path.with_name(f"{path.name}-{file_id.hex()}")


def write_generation_file(path: Path, file_id: bytes) -> None:
    """Create a file with random words. The caller gives it its name when it is complete."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 (the mode of the file)
        file.write(_HEADER.pack(_MAGIC, _boot_id(), file_id) + os.urandom(_SIZE - _HEADER.size))


class GenerationFile:
    """A file that is open. It stays usable after it was deleted, by those that have it open.

    Args:
        path: where the file is.

    Raises:
        FileNotFoundError: if there is none.
        OutdatedFileError: if it must be made again.
        SharedStoreError: if it is not a file of this version, or is used by another host.
        OSError: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._close = weakref.finalize(self, os.close, self._fd)
        info = os.fstat(self._fd)
        self._identity = info.st_dev, info.st_ino
        self.file_id = _read_file_id(path, self._fd, info)
        self.database = database_path(path, self.file_id)
        mapped = mmap.mmap(self._fd, _SIZE, access=mmap.ACCESS_READ)
        self.words = memoryview(mapped).cast("Q")

    def is_at(self, path: Path) -> bool:
        """Whether the file was neither deleted nor replaced. The inode is not used again."""
        try:
            info = path.stat(follow_symlinks=False)
        except OSError:
            return False
        return (info.st_dev, info.st_ino) == self._identity

    def bound(self, word: int) -> bytes:
        """Return the file's id and a word: what a generation or an epoch consists of."""
        return self.file_id + self.words[word].to_bytes(8, "little")

    def renew(self, words: Iterable[int]) -> None:
        """Write new random words.

        Raises:
            OSError: if there is no disk space.
        """
        for word in words:
            os.pwrite(self._fd, os.urandom(8), 8 * word)


def _read_file_id(path: Path, fd: int, info: os.stat_result) -> bytes:
    header = os.pread(fd, _HEADER.size, 0) if stat.S_ISREG(info.st_mode) else b"not a file"
    if not header.strip(b"\0"):  # the host lost power before the file was on the disk
        raise OutdatedFileError
    if not header.startswith(_MAGIC) or info.st_size != _SIZE:
        raise SharedStoreError(
            f"{path} is not a store of this version of oxaigen-auth; it is ignored. Name another "
            f"file, or delete this one when no process of another version uses it."
        )
    _, boot_id, file_id = _HEADER.unpack(header)
    if boot_id == _boot_id():
        return bytes(file_id)
    if info.st_mtime < time.time() - boot_time():
        raise OutdatedFileError
    raise SharedStoreError(f"{path} is used by another host; hosts can share a Redis")


def _boot_id() -> bytes:
    """Return 16 bytes that change when the host is restarted; zeros if it has no such number."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().replace("-", "").strip())
    except OSError:
        return bytes(16)
