from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from oxaigen_auth import OxaigenAuthConfigurationError
from oxaigen_auth._shared.locations import check_file, load_secret, locate_database
from oxaigen_auth._shared.store import SharedStoreError
from oxaigen_auth._syntax.shared_store_urls import AutoUrl, SqliteUrl

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")

APP = AutoUrl("my_app")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def located(folder: Path) -> Path:
    return locate_database(SqliteUrl(f"{folder}/auth.db"))


def refused(call: Callable[[], object], expected: str) -> None:
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        call()
    assert caught.value.message.startswith("OXAIGEN_AUTH_SHARED_STORE: ")
    assert expected in caught.value.message


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder as systemd makes it."""
    folder = tmp_path / "run"
    folder.mkdir(0o755)
    folder.chmod(0o755)
    return folder


def test_a_missing_folder_is_made_for_the_user_of_the_app_only(base: Path) -> None:
    assert located(base / "my_app") == base.resolve() / "my_app" / "auth.db"
    assert mode(base / "my_app") == 0o700
    assert [*(base / "my_app").iterdir()] == []
    assert located(base / "my_app") == base.resolve() / "my_app" / "auth.db"


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"RUNTIME_DIRECTORY": "{}/a", "XDG_RUNTIME_DIR": "{}/b"}, "a"),
        ({"RUNTIME_DIRECTORY": "{0}/a:{0}/b"}, "a"),
        ({"XDG_RUNTIME_DIR": "{}/b"}, "b"),
        ({"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": "{}/b"}, "b"),
    ],
)
def test_an_automatic_folder_is_in_the_runtime_directory(
    environ: dict[str, str], found: str, base: Path
) -> None:
    for name in "ab":
        (base / name).mkdir(0o700)
    filled = {name: value.format(base) for name, value in environ.items()}
    assert locate_database(APP, filled) == base.resolve() / found / "my_app" / "auth.db"
    assert mode(base / found / "my_app") == 0o700


@pytest.mark.parametrize(
    "environ", [{}, {"XDG_RUNTIME_DIR": "run"}, {"RUNTIME_DIRECTORY": "run:/run/other"}]
)
def test_without_a_runtime_directory_an_error_says_what_to_set(environ: dict[str, str]) -> None:
    refused(lambda: locate_database(APP, environ), "set RuntimeDirectory=my_app in the unit")


def test_an_automatic_folder_is_never_in_a_world_writable_place(base: Path) -> None:
    base.chmod(0o1777)
    environ = {"XDG_RUNTIME_DIR": str(base)}
    refused(lambda: locate_database(APP, environ), f"{base} is writable by all users")
    assert not (base / "my_app").exists()


def test_a_runtime_directory_that_is_missing_is_an_error(base: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(base / "missing")}
    refused(lambda: locate_database(APP, environ), "missing cannot be used: No such file")


def test_a_folder_that_others_could_replace_is_refused(base: Path) -> None:
    base.chmod(0o777)
    refused(lambda: located(base / "a"), f"{base.resolve()} is writable by all users, who could")
    base.chmod(0o1777)  # as /tmp, where only the owner of a folder can replace it
    assert located(base / "a").name == "auth.db"


@pytest.mark.parametrize("given", [0o755, 0o750, 0o701, 0o770])
def test_a_folder_to_which_others_have_access_is_refused(given: int, base: Path) -> None:
    (base / "my_app").mkdir()
    (base / "my_app").chmod(given)
    refused(lambda: located(base / "my_app"), f"mode {given:04o}, so other users have access; use")
    assert mode(base / "my_app") == given


def test_a_folder_that_is_a_symbolic_link_or_a_file_is_refused(base: Path) -> None:
    (base / "real").mkdir(0o700)
    (base / "link").symlink_to(base / "real")
    (base / "file").touch(0o600)
    for name in ("link", "file"):
        refused(partial(located, base / name), f"{name} is not a folder")


def test_a_folder_of_another_user_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = located(base / "my_app").parent.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    refused(
        lambda: located(base / "my_app"), f"to user {mine}, but the app runs as user {mine + 1}"
    )


def test_a_folder_whose_parent_is_missing_or_a_file_is_refused(base: Path) -> None:
    (base / "file").touch()
    refused(
        lambda: located(base / "a" / "b"),
        "cannot be used: No such file or directory; the folders above",
    )
    refused(lambda: located(base / "file" / "b"), "cannot be used: Not a directory")


def test_a_symbolic_link_above_the_folder_is_followed(base: Path) -> None:
    (base / "private").mkdir(0o700)
    (base / "link").symlink_to(base / "private")  # as systemd makes it for DynamicUser=
    assert located(base / "link" / "my_app") == base.resolve() / "private" / "my_app" / "auth.db"


def test_a_system_without_posix_modes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "geteuid")
    refused(lambda: locate_database(APP, {}), "auto:my_app needs POSIX file modes; use redis://")


def test_a_secret_is_made_once_and_is_private(base: Path) -> None:
    database = located(base / "my_app")
    secret = load_secret(database)
    assert len(secret) == 32
    assert load_secret(database) == secret
    assert [path.name for path in database.parent.iterdir()] == ["auth.db.secret"]
    assert mode(database.parent / "auth.db.secret") == 0o600


def test_each_database_has_a_secret_of_its_own(base: Path) -> None:
    database = located(base / "my_app")
    assert load_secret(database) != load_secret(database.with_name("other.db"))


def test_processes_that_start_at_once_agree_on_the_secret(base: Path) -> None:
    database = located(base / "my_app")
    code = (
        "import sys; from pathlib import Path\n"
        "from oxaigen_auth._shared.locations import load_secret, locate_database\n"
        "from oxaigen_auth._syntax.shared_store_urls import SqliteUrl\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"for n in range(50): print(load_secret(Path({str(database)!r} + str(n))).hex())"
    )
    run = [sys.executable, "-c", code]
    processes = [
        subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own code)
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert outputs == [outputs[0]] * 8
    assert len(set(outputs[0])) == 50
    assert len([*database.parent.iterdir()]) == 50  # no temporary file is left


@pytest.mark.parametrize("given", [0o640, 0o604, 0o666])
def test_a_secret_to_which_others_have_access_is_refused(given: int, base: Path) -> None:
    database = located(base / "my_app")
    load_secret(database)
    (database.parent / "auth.db.secret").chmod(given)
    refused(lambda: load_secret(database), f"auth.db.secret has mode {given:04o}, so")


def test_a_secret_that_is_a_symbolic_link_is_refused_also_if_it_leads_nowhere(base: Path) -> None:
    database = located(base / "my_app")
    (database.parent / "auth.db.secret").symlink_to(base / "elsewhere")
    refused(lambda: load_secret(database), "auth.db.secret is not a file")
    assert not (base / "elsewhere").exists()


def test_a_damaged_secret_is_refused(base: Path) -> None:
    database = located(base / "my_app")
    path = database.parent / "auth.db.secret"
    path.touch(0o600)
    refused(lambda: load_secret(database), f"{path} is damaged; delete it")


def test_a_file_is_checked_in_the_same_way(base: Path) -> None:
    database = located(base / "my_app")
    refused(lambda: check_file(database), "cannot be used: No such file")
    database.touch(0o600)
    check_file(database)
    database.chmod(0o644)
    refused(lambda: check_file(database), "auth.db has mode 0644")
    refused(lambda: check_file(database.parent), "is not a file")


def test_a_full_disk_is_no_configuration_error_and_leaves_no_secret(base: Path) -> None:
    resource = pytest.importorskip("resource")
    database = located(base / "my_app")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(SharedStoreError, match=r"auth\.db\.secret cannot be used: File too"):
            load_secret(database)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [*database.parent.iterdir()] == []
    assert len(load_secret(database)) == 32
