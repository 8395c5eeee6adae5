from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oxaigen_auth._shared import generation_file
from oxaigen_auth._shared.clocks import boot_time
from oxaigen_auth._shared.generation_file import (
    EPOCH,
    OTHERS,
    GenerationFile,
    OutdatedFileError,
    token_word,
    topic_word,
    write_generation_file,
)
from oxaigen_auth._shared.store import SharedStoreError

FILE_ID = b"id of this file."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_generation_file(tmp_path / "auth.db", FILE_ID)
    return tmp_path / "auth.db"


def test_a_new_file_is_private_and_has_random_words(path: Path) -> None:
    file = GenerationFile(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert file.file_id == FILE_ID
    assert len(set(file.words[EPOCH:])) == len(file.words) - EPOCH


def test_a_file_is_not_written_over_another_one(path: Path) -> None:
    with pytest.raises(FileExistsError):
        write_generation_file(path, FILE_ID)


def test_a_new_word_is_seen_by_all_that_have_the_file_open(path: Path) -> None:
    file, other = GenerationFile(path), GenerationFile(path)
    before = list(other.words)
    file.renew([EPOCH, OTHERS])
    changed = [index for index, word in enumerate(other.words) if word != before[index]]
    assert changed == [EPOCH, OTHERS]
    assert list(file.words) == list(other.words)


def test_what_is_bound_to_a_word_contains_the_id_of_the_file(path: Path) -> None:
    file = GenerationFile(path)
    before = file.bound(EPOCH)
    assert before == file.bound(EPOCH) != file.bound(OTHERS)
    assert before.startswith(FILE_ID)
    file.renew([EPOCH])
    assert file.bound(EPOCH) != before


def test_words_are_inside_the_file_and_distinct(path: Path) -> None:
    ids = [bytes([first, second]) + bytes(14) for first in range(256) for second in range(256)]
    tokens, topics = {token_word(one) for one in ids}, {topic_word(one) for one in ids}
    assert len(tokens) == 65_536
    assert len(topics) == 64
    assert not tokens & topics
    assert min(topics) > OTHERS
    assert max(tokens) == len(GenerationFile(path).words) - 1


def test_a_deleted_or_replaced_file_is_no_longer_at_its_path_and_stays_usable(path: Path) -> None:
    file = GenerationFile(path)
    assert file.is_at(path)
    path.unlink()
    assert not file.is_at(path)
    write_generation_file(path, FILE_ID)
    assert not file.is_at(path)
    before = file.words[EPOCH]
    file.renew([EPOCH])
    assert file.words[EPOCH] != before


def test_a_file_that_is_not_referenced_is_closed(path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    file = GenerationFile(path)
    file.renew([EPOCH])
    del file
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture
def other_boot(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file with another boot id than that of this host."""
    (tmp_path / "boot_id").write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    monkeypatch.setattr(generation_file, "_BOOT_ID", tmp_path / "boot_id")
    return path


def test_a_file_from_before_the_last_start_is_outdated(other_boot: Path) -> None:
    os.utime(other_boot, times=(time.time(), time.time() - boot_time() - 1))
    with pytest.raises(OutdatedFileError):
        GenerationFile(other_boot)


def test_a_file_that_another_host_has_written_since_then_is_an_error(other_boot: Path) -> None:
    with pytest.raises(SharedStoreError, match="is used by another host"):
        GenerationFile(other_boot)


def test_where_a_start_has_no_number_files_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(generation_file, "_BOOT_ID", tmp_path / "missing")
    write_generation_file(tmp_path / "auth.db", FILE_ID)
    assert GenerationFile(tmp_path / "auth.db").file_id == FILE_ID


@pytest.mark.parametrize("content", [b"", bytes(8192)])
def test_a_file_that_was_not_completed_is_outdated(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OutdatedFileError):
        GenerationFile(path)


def another_version(content: bytes) -> bytes:
    return content.replace(b"generations 1", b"generations 2")


def too_short(content: bytes) -> bytes:
    return content[:-1]


def foreign(content: bytes) -> bytes:
    return b"SQLite format 3\0" + content


@pytest.mark.parametrize("change", [another_version, too_short, foreign])
def test_a_file_that_this_version_cannot_read_is_an_error(
    path: Path, change: Callable[[bytes], bytes]
) -> None:
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SharedStoreError, match="is not a store of this version of oxaigen-auth"):
        GenerationFile(path)


def test_a_link_is_not_followed_and_a_pipe_is_not_opened_for_ever(tmp_path: Path) -> None:
    write_generation_file(tmp_path / "elsewhere", FILE_ID)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        GenerationFile(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SharedStoreError):
        GenerationFile(tmp_path / "pipe")
