"""Where a store on this host lies: in a folder that nobody else can read or replace."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_bytes
from tempfile import NamedTemporaryFile

from oxaigen_auth._shared.store import SharedStoreError
from oxaigen_auth._syntax.shared_store_urls import AutoUrl, SqliteUrl
from oxaigen_auth.errors import OxaigenAuthConfigurationError

_SECRET_BYTES = 32
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OWN_FOLDER = "use a folder for the app alone, with mode 0700 (RuntimeDirectoryMode= of systemd)"


def locate_database(url: SqliteUrl | AutoUrl, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the database. Make its folder, with mode 0700, if it is missing.

    Raises:
        OxaigenAuthConfigurationError: no folder is set for `auto:`, or others have access.
        SharedStoreError: the system cannot make the folder.
    """
    if not hasattr(os, "geteuid"):
        raise _error(f"{url} needs POSIX file modes; use redis:// or rediss:// on this system")
    path = Path(url.path) if isinstance(url, SqliteUrl) else _automatic(url, environ)
    with _explained(path.parent):
        above = os.path.realpath(path.parent.parent, strict=True)
        folder = Path(above, path.parent.name)
        _check_ancestors(folder)
        with suppress(FileExistsError):
            folder.mkdir(0o700)
    _check(folder, "a folder", stat.S_ISDIR, _OWN_FOLDER)
    return folder / path.name


def check_file(path: Path) -> None:
    """Check that a file is private.

    Raises:
        OxaigenAuthConfigurationError: others have access to it, or it is no file.
        SharedStoreError: the system cannot read its mode.
    """
    _check(path, "a file", stat.S_ISREG, "delete it, and restart all workers")


def load_secret(database: Path) -> bytes:
    """Return the secret beside a database. The first process makes it.

    Raises:
        OxaigenAuthConfigurationError: others have access to it, or it is damaged.
        SharedStoreError: the system cannot read or make it.
    """
    path = secret_path(database)
    with _explained(path):
        if not os.path.lexists(path):
            _write_secret(path, token_bytes(_SECRET_BYTES))
        check_file(path)
        secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise _error(f"{path} is damaged; delete it, and restart all workers")
    return secret


def keep_secret(database: Path, secret: bytes) -> None:
    """Write the secret of this process again, if it was deleted together with the store.

    Raises:
        SharedStoreError: another process has made a new one, or the system cannot write it.
    """
    path = secret_path(database)
    try:
        if not os.path.lexists(path):
            _write_secret(path, secret)
        is_same = path.read_bytes() == secret
    except OSError as error:
        raise SharedStoreError(f"{path} cannot be used: {error.strerror}") from error
    if not is_same:
        raise SharedStoreError(f"{path} has changed since this worker started; restart all workers")


def check_folder(folder: Path) -> None:
    """Check that a folder is private, while the app runs.

    Raises:
        SharedStoreError: it is not, or the system cannot read its mode.
    """
    try:
        _check(folder, "a folder", stat.S_ISDIR, "restart all workers")
    except OxaigenAuthConfigurationError as error:
        raise SharedStoreError(error.message) from error


def secret_path(database: Path) -> Path:
    return database.with_name(f"{database.name}.secret")


def _write_secret(path: Path, secret: bytes) -> None:
    """Write a secret unless there is one; nobody ever sees a part of it."""
    # Without a buffer, so that closing cannot fail, which would leave the file. Its mode is 0600.
    with NamedTemporaryFile(dir=path.parent, prefix=path.name, buffering=0) as whole:
        whole.write(secret)
        with suppress(FileExistsError):  # another process was faster
            path.hardlink_to(whole.name)


def _automatic(url: AutoUrl, environ: Mapping[str, str]) -> Path:
    first, _, _ = environ.get("RUNTIME_DIRECTORY", "").partition(":")  # of systemd
    base = Path(first or environ.get("XDG_RUNTIME_DIR", ""))
    if not base.is_absolute():
        raise _error(
            f"{url} needs an absolute path in RUNTIME_DIRECTORY or XDG_RUNTIME_DIR; set "
            f"RuntimeDirectory={url.name} in the unit of systemd, or write sqlite:////path.db"
        )
    with _explained(base):
        if base.stat().st_mode & stat.S_IWOTH:
            raise _error(f"{base} is writable by all users, so {url} cannot be in it")
    return base / url.name / "auth.db"


def _check_ancestors(folder: Path) -> None:
    for ancestor in folder.parents:
        mode = ancestor.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise _error(f"{ancestor} is writable by all users, who could replace {folder}")


def _check(path: Path, kind: str, is_kind: Callable[[int], bool], remedy: str) -> None:
    with _explained(path):
        status = path.lstat()
    if not is_kind(status.st_mode):
        raise _error(f"{path} is not {kind}; remove it, or use another path")
    if status.st_uid != os.geteuid():
        raise _error(
            f"{path} belongs to user {status.st_uid}, but the app runs as user {os.geteuid()}; "
            "use another path, or change its owner"
        )
    if status.st_mode & _OF_OTHERS:
        raise _error(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, so other users have access; "
            f"{remedy}"
        )


def _error(text: str) -> OxaigenAuthConfigurationError:
    return OxaigenAuthConfigurationError(f"OXAIGEN_AUTH_SHARED_STORE: {text}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise _error(
            f"{path} cannot be used: {error.strerror}; the folders above the last one must exist, "
            "and the app's user must be able to write there"
        ) from error
    except OSError as error:
        raise SharedStoreError(f"{path} cannot be used: {error.strerror}") from error
