"""Writes result files atomically: a file is complete, or unchanged."""

import errno
import os
from pathlib import Path
from shutil import copymode

RENAME_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)


def check_writable(path: Path) -> None:
    """Check that a file can be written, without changing it.

    Raises:
        OSError: it cannot be written.
    """
    if _is_special(path):
        return  # opening it could block
    path = path.resolve()
    is_new = not path.exists()
    path.open("ab").close()
    if is_new:
        path.unlink()


def write_atomically(path: Path, text: str) -> None:
    """Write a temporary file beside the file, and rename it.

    Raises:
        OSError: it cannot be written.
    """
    if _is_special(path):
        path.write_text(text, "utf-8")
        return
    path = path.resolve()  # a symbolic link keeps its target
    try:
        _replace(path, text)
    except OSError as error:
        if error.errno not in RENAME_REFUSED:
            raise
        path.write_text(text, "utf-8")  # such as a single file mounted into a container


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, "utf-8")
        if path.exists():
            copymode(path, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Return whether this exists and is neither file nor folder: a pipe, or a terminal."""
    return path.exists() and not (path.is_file() or path.is_dir())
