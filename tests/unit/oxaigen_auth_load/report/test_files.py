"""Result files: complete, or unchanged."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oxaigen_auth_load.report.files import check_writable, write_atomically


def test_checking_a_file_leaves_it_unchanged(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before")
    check_writable(old)
    check_writable(new)
    assert old.read_text() == "before"
    assert list(tmp_path.iterdir()) == [old]


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no-such-folder" / "file"):
        with pytest.raises(OSError, match=path.name):
            check_writable(path)


def test_a_file_replaces_the_one_before(tmp_path: Path) -> None:
    path, link = tmp_path / "results", tmp_path / "link"
    path.write_text("before")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomically(link, "after")
    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert set(tmp_path.iterdir()) == {path, link}


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that is full after a few bytes."""

    def write_text(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text.encode(encoding)[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)


@pytest.mark.usefixtures("full")
def test_pitfall_58_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_bytes(b"before")
    for each in (path, tmp_path / "new"):
        with pytest.raises(OSError, match="No space left"):
            write_atomically(each, "after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_renamed_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(_: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", str(target))

    monkeypatch.setattr(Path, "replace", replace)
    write_atomically(tmp_path / "results", "after")
    assert (tmp_path / "results").read_text() == "after"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_pipe_is_written_to_and_remains_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(pipe.read_text)
        write_atomically(pipe, "after")
        assert reading.result() == "after"
    assert pipe.is_fifo()
