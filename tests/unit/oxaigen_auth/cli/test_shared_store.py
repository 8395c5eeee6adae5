"""What `doctor` says about the shared store: SQLite files, and real Redis servers."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from oxaigen_auth import OxaigenAuthSettings
from oxaigen_auth._shared.keys import Keyring
from oxaigen_auth._shared.redis.server_facts import ServerFacts
from oxaigen_auth._syntax.shared_store_urls import AutoUrl, RedisUrl, parse_shared_store_url
from oxaigen_auth.cli import shared_store
from oxaigen_auth.cli.doctor import examine
from oxaigen_auth.cli.shared_store import check_shared_store
from tests.support.memory_store import MemoryServer, MemoryStore
from tests.support.redis_server import RedisServer, free_port, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from oxaigen_auth._shared.store import PutResult

SECRET = "not so secret " * 3
PASSWORD = "hunter2"


def findings(store: str, **settings: float) -> list[tuple[str, str, str]]:
    given = OxaigenAuthSettings(shared_store=store, shared_secret=(SECRET,), **settings)  # type: ignore[arg-type]
    found: list[tuple[str, str, str]] = [
        (it.level, it.text, it.advice) for it in check_shared_store(given)
    ]
    assert PASSWORD not in repr(found)
    assert SECRET not in repr(found)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--requirepass", PASSWORD) as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    return f"redis://:{PASSWORD}@127.0.0.1:{server.port}"


def command(server: RedisServer, *words: str) -> bytes:
    """Send a command after signing in."""
    return server.command(*words, password=PASSWORD)


def test_without_a_store_nothing_is_checked() -> None:
    assert list(check_shared_store(OxaigenAuthSettings())) == []


# SQLite.


def test_a_store_of_this_host_is_written_and_read(tmp_path: Path) -> None:
    [(level, text, _)] = findings(f"sqlite:///{tmp_path}/auth.db")
    assert level == "ok"
    assert text.startswith(f"sqlite:///{tmp_path}/auth.db: reads and writes, ")


def test_a_report_has_the_findings_about_the_store(tmp_path: Path) -> None:
    variables = {"OXAIGEN_AUTH_SHARED_STORE": f"sqlite:///{tmp_path}/auth.db"}
    found = examine("http://127.0.0.1:9", None, variables).findings
    assert [it.level for it in found if it.check == "Shared store"] == ["ok"]


def test_a_folder_that_no_worker_can_make_is_an_error(tmp_path: Path) -> None:
    [(level, text, _)] = findings(f"sqlite:///{tmp_path}/missing/new/auth.db")
    assert level == "fail"
    assert "missing/new cannot be used" in text


def test_a_folder_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    [(level, text, advice)] = findings(f"sqlite:///{tmp_path}/new/auth.db")
    assert (level, text) == ("warn", f"{tmp_path}/new does not exist yet")
    assert advice.startswith("The first worker makes it")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_others_can_read_fails_with_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    [(level, text, advice)] = findings(f"sqlite:///{tmp_path}/auth.db")
    assert level == "fail"
    assert "has mode 0755" in text
    assert advice == "Correct it: the app does not start."


def test_a_file_that_cannot_be_used_fails(tmp_path: Path) -> None:
    (tmp_path / "auth.db").mkdir(0o700)
    [(level, text, _)] = findings(f"sqlite:///{tmp_path}/auth.db")
    assert level == "fail"
    assert str(tmp_path) in text


def test_a_place_that_the_system_cannot_read_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os.path, "realpath", lambda *_, **__: fail(None))
    [(level, text, advice)] = findings(f"sqlite:///{tmp_path}/auth.db")
    assert level == "fail"
    assert "Input/output error" in text
    assert advice.startswith("Check the disk")


def test_a_slow_store_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_store, "SLOW", 0.0)
    [(level, _, advice)] = findings(f"sqlite:///{tmp_path}/auth.db")
    assert (level, advice) == ("warn", "Move it closer: each lookup waits for it first.")


class _Lossy(MemoryStore):
    """Loses everything after each write, as a server without memory for it may do."""

    async def put(self, *args: Any, **options: Any) -> PutResult:
        result = await super().put(*args, **options)
        self.server.lose_everything()
        return result


def test_a_store_that_loses_what_is_written_fails() -> None:
    engine, url = _Lossy(MemoryServer(time.monotonic)), AutoUrl("my_app")
    finding = shared_store._use(engine, Keyring([b"secret"]), url)  # noqa: SLF001
    assert finding.level == "fail"
    assert finding.text == "auto:my_app: it has lost what was just stored"


# Redis.


def test_a_server_is_used_and_described_and_soon_holds_no_entry_of_it(
    server: RedisServer, url: str
) -> None:
    found = findings(url)
    assert [level for level, _, _ in found] == ["ok"] * 3
    assert "reads and writes" in found[0][1]
    assert found[1][1].startswith(("Redis ", "Valkey "))
    assert found[1][1].endswith(", without maxmemory")
    assert "the clock of this host differs by 0.0" in found[2][1]
    time.sleep(1.1)
    kept = [line for line in command(server, "KEYS", "*").split() if line.startswith(b"oxa:")]
    assert [name for name in kept if not name.endswith(b":g")] == [b"oxa:1:fleet"]


def test_a_socket_is_a_server_without_a_network(server: RedisServer) -> None:
    found = findings(f"unix://:{PASSWORD}@{server.socket}")
    assert [level for level, _, _ in found] == ["ok"] * 3


@pytest.mark.parametrize(
    ("login", "expected"),
    [(":hunter3@", "refuses the user or the password"), ("", "refuses the user or the password")],
)
def test_a_wrong_password_fails_with_what_to_correct(
    server: RedisServer, login: str, expected: str
) -> None:
    [(level, text, advice)] = findings(f"redis://{login}127.0.0.1:{server.port}")
    assert level == "fail"
    assert expected in text
    assert advice == "Correct the user and the password in OXAIGEN_AUTH_SHARED_STORE."


def test_a_server_that_is_not_there_fails() -> None:
    port = free_port()
    [(level, text, advice)] = findings(f"redis://:{PASSWORD}@127.0.0.1:{port}")
    assert level == "fail"
    assert text.startswith(f"redis://127.0.0.1:{port}/0: ")
    assert advice.startswith("Check that the server runs")


def test_a_server_that_is_silent_fails_in_bounded_time(server: RedisServer, url: str) -> None:
    began = time.monotonic()
    server.signal(signal.SIGSTOP)
    try:
        [(level, _, advice)] = findings(url)
    finally:
        server.signal(signal.SIGCONT)
    assert level == "fail"
    assert advice.startswith("Check that the server runs")
    assert time.monotonic() - began < 10


def test_a_read_only_replica_fails(server: RedisServer, tmp_path: Path) -> None:
    primary = ("--replicaof", "127.0.0.1", str(server.port), "--masterauth", PASSWORD)
    with redis_server(tmp_path, *primary) as replica:
        [(level, text, advice)] = findings(replica.url)
    assert level == "fail"
    assert "read-only replica" in text
    assert advice == "Use the address of the primary."


def test_the_limit_of_the_memory_is_shown(server: RedisServer, url: str) -> None:
    command(server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "100mb")
    try:
        _, (level, text, _), _ = findings(url)
    finally:
        command(server, "CONFIG", "SET", "maxmemory", "0")
    assert level == "ok"
    assert text.endswith(", maxmemory 100 MiB, allkeys-lru")


@pytest.mark.parametrize(
    ("policy", "used", "level"),
    [("noeviction", 95, "warn"), ("noeviction", 85, "ok"), ("allkeys-lru", 100, "ok")],
)
def test_only_a_server_that_evicts_nothing_may_become_full(
    policy: str, used: int, level: str
) -> None:
    facts = ServerFacts("Redis 7", 100, used, policy, 0.0, 0.0)
    assert shared_store._judge_memory(facts).level == level  # noqa: SLF001


def test_a_server_that_has_no_memory_left_fails(server: RedisServer, url: str) -> None:
    command(server, "CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
    try:
        [(level, text, advice)] = findings(url)
    finally:
        command(server, "CONFIG", "SET", "maxmemory", "0")
    assert level == "fail"
    assert "no memory left" in text
    assert "allkeys-lru" in advice


def test_a_user_who_may_not_ask_the_server_for_more_is_enough(
    server: RedisServer,
) -> None:
    rights = ("on", ">hunter2", "~oxa:*", "&oxa:*", "+@all", "-@dangerous", "-@admin")
    command(server, "ACL", "SETUSER", "app", *rights)
    used, (level, text, _) = findings(f"redis://app:{PASSWORD}@127.0.0.1:{server.port}")
    assert (used[0], level) == ("ok", "ok")
    assert text.startswith("the version, the memory and the clock of the server are unknown")


def test_a_user_who_may_not_tell_other_workers_what_is_forgotten_fails(
    server: RedisServer,
) -> None:
    rights = ("on", ">hunter2", "~oxa:*", "&oxa:*", "+@all", "-publish")
    command(server, "ACL", "SETUSER", "silent", *rights)
    [(level, text, advice)] = findings(f"redis://silent:{PASSWORD}@127.0.0.1:{server.port}")
    assert level == "fail"
    assert "what is forgotten cannot be sent: the server's user lacks a permission" in text
    assert "PUBLISH" in advice


def test_a_clock_that_differs_more_than_allowed_is_a_warning(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    monkeypatch.setattr("oxaigen_auth._shared.redis.server_facts.time.time", lambda: now() + 5)
    *_, (level, text, advice) = findings(url, shared_max_skew_seconds=2)
    assert level == "warn"
    assert "differs by 5.0" in text or "differs by 4.9" in text
    assert "OXAIGEN_AUTH_SHARED_MAX_SKEW_SECONDS (2)" in text
    assert "NTP" in advice
    *_, (level, _, _) = findings(url, shared_max_skew_seconds=6)
    assert level == "ok"


@pytest.mark.parametrize("host", ["10.0.0.1", "redis.example.com"])
def test_a_password_without_tls_is_a_warning(
    host: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server
    url = parse_shared_store_url(f"redis://:{PASSWORD}@{host}")
    monkeypatch.setattr("oxaigen_auth._shared.redis.server_facts.Redis", None)
    assert isinstance(url, RedisUrl)
    first, last = shared_store._check_server(url, OxaigenAuthSettings())  # noqa: SLF001 (no such host)
    assert (first.level, first.text) == ("warn", "the password is sent without TLS")
    assert PASSWORD not in repr((first, last))
