"""Writes the results so that a file holds all of them or is as it was before."""

from __future__ import annotations

import errno
import os
from shutil import copymode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


FOLDER_REFUSES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)


def check_writable(path: Path) -> None:
    """See that a file can be written, and leave it as it is.

    Raises:
        OSError: it cannot.
    """
    if _is_special(path):
        return  # to open it could block
    path = path.resolve()
    is_new = not path.exists()
    path.open("ab").close()
    if is_new:
        path.unlink()


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step: through another one beside it, which takes its name.

    Raises:
        OSError: it cannot be written.
    """
    if _is_special(path):
        path.write_text(text, "utf-8")
        return
    path = path.resolve()  # a link stays one
    try:
        _replace(path, text)
    except OSError as error:
        if error.errno not in FOLDER_REFUSES:
            raise
        path.write_text(text, "utf-8")  # such as a single file that is mounted into a container


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        if path.exists():
            copymode(path, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Tell whether it is there and neither file nor folder: a pipe, or a terminal."""
    return path.exists() and not (path.is_file() or path.is_dir())
