from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from oxaigen_auth._shared import generation_file, sqlite_files
from oxaigen_auth._shared.generation_file import EPOCH, OTHERS, GenerationFile, token_word
from oxaigen_auth._shared.sqlite_files import StoreFiles
from oxaigen_auth._shared.store import SharedStoreError
from tests.support.shared_files import files_of

TOKEN, OTHER_TOKEN = b"first token id..", b"other token id.."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth.db"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(sqlite_files, "monotonic", lambda: now[0])
    return now


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def test_both_files_are_created_private_and_nothing_else_is_left(path: Path) -> None:
    file = StoreFiles(path).current()
    assert names(path) == {"auth.db", f"auth.db-{file.file_id.hex()}"}
    assert {stat.S_IMODE(one.stat().st_mode) for one in files_of(path)} == {0o600}


def test_the_files_of_another_process_are_used(path: Path) -> None:
    assert StoreFiles(path).current().file_id == StoreFiles(path).current().file_id


def test_a_stamp_changes_with_its_token_and_with_others(path: Path) -> None:
    files, others = StoreFiles(path), StoreFiles(path)
    before = others.stamp(TOKEN), others.stamp(OTHER_TOKEN)
    assert before == (others.stamp(TOKEN), others.stamp(OTHER_TOKEN))
    files.renew([token_word(TOKEN)])
    assert others.stamp(TOKEN) != before[0]
    assert others.stamp(OTHER_TOKEN) == before[1]
    files.renew([OTHERS])
    assert others.stamp(OTHER_TOKEN) != before[1]


def test_a_deleted_file_is_created_again_and_old_databases_are_deleted(
    path: Path,
) -> None:
    files = StoreFiles(path)
    before = files.current()
    (path.parent / "auth.db-notes").touch()
    Path(f"{before.database}-wal").touch()
    for one in path.parent.iterdir():
        os.utime(one, (0, 0))
    path.unlink()
    after = files.current()
    assert after.file_id != before.file_id
    assert names(path) == {"auth.db", f"auth.db-{after.file_id.hex()}", "auth.db-notes"}


def test_a_store_without_its_database_is_created_again(path: Path) -> None:
    files = StoreFiles(path)
    before = files.current()
    before.database.unlink()
    assert files.current() is before  # a connection that is open still works
    assert StoreFiles(path).current().file_id != before.file_id
    assert files.current().file_id != before.file_id


def test_a_file_that_was_already_replaced_is_not_discarded_again(path: Path) -> None:
    files, others = StoreFiles(path), StoreFiles(path)
    lost = others.current()
    files.discard(files.current())
    file = files.current()
    others.discard(lost)
    assert files.current() is file


def test_after_a_start_of_the_host_the_store_is_created_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = StoreFiles(path).current()
    os.utime(path, (0, 0))
    (tmp_path / "boot_id").write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    monkeypatch.setattr(generation_file, "_BOOT_ID", tmp_path / "boot_id")
    assert StoreFiles(path).current().file_id != before.file_id


def test_within_a_second_a_stamp_changes_because_the_file_was_replaced(
    path: Path, clock: list[float]
) -> None:
    files = StoreFiles(path)
    before = files.stamp(TOKEN), files.word(EPOCH)
    path.unlink()
    assert (files.stamp(TOKEN), files.word(EPOCH)) == before
    clock[0] += 1
    assert files.word(EPOCH) != before[1]
    assert files.stamp(TOKEN) != before[0]


def test_without_a_usable_file_stamps_are_not_known(path: Path, clock: list[float]) -> None:
    folder = path.parent / "missing"
    files = StoreFiles(folder / "auth.db")
    assert files.stamp(TOKEN) == files.word(EPOCH) == 0
    files.renew([token_word(TOKEN)])
    assert files.stamp(TOKEN) == 0
    folder.mkdir(0o700)
    clock[0] += 0.1
    assert files.stamp(TOKEN) != 0


def test_a_folder_that_became_readable_for_others_is_not_used(path: Path) -> None:
    folder = path.parent / "made again"
    folder.mkdir(0o755)
    with pytest.raises(SharedStoreError, match="has mode 0755"):
        StoreFiles(folder / "auth.db").current()


def test_a_secret_that_was_deleted_with_the_store_is_written_again(path: Path) -> None:
    secret = path.with_name(f"{path.name}.secret")
    files, others = StoreFiles(path, b"s" * 32), StoreFiles(path, b"t" * 32)
    files.current()
    assert secret.read_bytes() == b"s" * 32
    with pytest.raises(SharedStoreError, match="restart all workers"):
        others.current()
    assert others.stamp(TOKEN) == 0


def test_a_secret_that_cannot_be_read_is_an_error(path: Path) -> None:
    path.with_name(f"{path.name}.secret").mkdir()
    with pytest.raises(SharedStoreError, match="cannot be used"):
        StoreFiles(path, b"s" * 32).current()


def test_a_forget_reaches_those_who_still_use_a_file_that_was_replaced(
    path: Path, clock: list[float]
) -> None:
    files, others = StoreFiles(path), StoreFiles(path)
    before = files.stamp(TOKEN), others.stamp(TOKEN)
    path.unlink()
    files.renew([token_word(TOKEN)])
    assert others.stamp(TOKEN) != before[1]
    assert files.stamp(TOKEN) != before[0]
    assert clock == [1000.0]


def test_a_forget_without_disk_space_deletes_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    files, others = StoreFiles(path), StoreFiles(path)
    before = others.stamp(TOKEN)
    files.current()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    files.renew([token_word(TOKEN)])
    assert not path.exists()
    clock[0] += 1
    assert others.stamp(TOKEN) != before


def test_a_forget_without_disk_space_in_a_lost_folder_is_no_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = StoreFiles(path)
    files.current()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(Path, "unlink", read_only)
    files.renew([token_word(TOKEN)])


def test_a_file_that_cannot_be_created_is_an_error_that_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, _: Path) -> None:
        raise OSError(1, "Operation not permitted", source)

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(SharedStoreError, match="Operation not permitted"):
        StoreFiles(path).current()
    assert names(path) == set()


def test_a_missing_folder_is_an_error(path: Path) -> None:
    with pytest.raises(SharedStoreError, match="No such file or directory"):
        StoreFiles(path.parent / "missing" / "auth.db").current()


def interleave(monkeypatch: pytest.MonkeyPatch, before_link: Callable[[], object]) -> None:
    link = os.link

    def later(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        before_link()
        link(source, target)

    monkeypatch.setattr(os, "link", later)


def test_of_two_processes_that_create_a_store_the_first_one_wins(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winners: list[GenerationFile] = []
    interleave(monkeypatch, lambda: winners.append(StoreFiles(path).current()))
    file = StoreFiles(path).current()
    assert file.file_id == winners[0].file_id
    assert names(path) == {"auth.db", f"auth.db-{file.file_id.hex()}"}


def test_a_store_that_loses_its_database_again_and_again_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with pytest.raises(SharedStoreError, match="again and again"):
        StoreFiles(path).current()
