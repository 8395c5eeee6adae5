"""Loads during which something happens: the whole command, with servers in their own processes."""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from oxaigen_auth_load import main
from oxaigen_auth_load.servers import WORKER_HEADER, embedded_app, embedded_mock

if TYPE_CHECKING:
    from pathlib import Path

each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def load(*words: str) -> int:
    """Run the command in a thread, because its event loop would end the coverage of this one."""
    arguments = [each for word in words for each in ([word] if "<" in word else word.split())]
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(main, [*arguments, "--allow-saturated"]).result()


def run_of(path: Path) -> dict[str, Any]:
    (run,) = json.loads(path.read_text("utf-8"))["runs"]
    return dict(run)


@each_backend
def test_a_revoked_token_is_accepted_until_the_ttl_of_the_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    path = tmp_path / "load.json"
    words = f"revoke --rate 200 --seconds 2.4 --tokens 8 --ttl 0.8 --backend {backend}"
    assert load(words, f"--json {path}", "--expect", "stale_accepts <= 0") == 1
    run = run_of(path)
    assert run["errors"] == {}
    assert run["stale_accepts"] > 0
    assert 0 < run["stale_seconds"] < 0.9
    (worker,) = run["event"]["workers"]
    assert worker["worker"].startswith("client ")
    assert not worker["accepts_at_end"]
    assert run["event"]["revoked_tokens"] == 4
    shown = capsys.readouterr().out
    assert "4 tokens were revoked at 1." in shown
    assert "rejects" in shown
    assert "load-token" not in shown + path.read_text("utf-8")


def test_a_command_revokes_at_a_proxy_elsewhere_and_workers_are_told_apart_by_connection(
    tmp_path: Path,
) -> None:
    path, tokens, script = (tmp_path / name for name in ("load.json", "tokens", "revoke.py"))
    tokens.write_text("secret-1\nsecret-2\n")
    with (
        embedded_mock(["secret-1", "secret-2"], latency=0, faults=[], backend="asyncio") as proxy,
        embedded_app(proxy, timeout=5, backend="asyncio", ttl=0) as app,
    ):
        script.write_text(
            "import json, sys\n"
            "from urllib.request import Request, urlopen\n"
            "kind = {'Content-Type': 'application/json'}\n"
            "for line in sys.stdin:\n"
            "    body = json.dumps({'token': line.strip()}).encode()\n"
            f"    urlopen(Request('{proxy}/_mock/api/revocations', body, kind)).close()\n"
        )
        words = f"revoke --rate 30 --seconds 3 --revoked 1 --json {path} --tokens-file {tokens}"
        hook = ["--on-event", f"{sys.executable} {script}"]
        there = f"--target app {app} --worker-header X-Other --connections 2 --workers 2".split()
        arguments = [*words.split(), *there, *hook, "--expect", "stale_accepts <= 0"]
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(main, [*arguments, "--allow-saturated"]).result() == 0
    workers = run_of(path)["event"]["workers"]
    assert all(re.fullmatch(r"connection \d of process \d+", one["worker"]) for one in workers)
    assert "secret-" not in path.read_text("utf-8")


def test_a_failed_revocation_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-1\nsecret-2\n")
    with embedded_mock(["secret-1", "secret-2"], latency=0, faults=[], backend="asyncio") as proxy:
        words = f"revoke --seconds 0.4 --proxy {proxy} --tokens-file {tokens} --workers 2"
        assert load(words, "--on-event false") == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line == "oxaigen-auth-load: the command of --on-event ended with status 1"


@each_backend
def test_an_outage_is_over_when_lookups_no_longer_fail(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "load.json"
    words = f"outage --rate 100 --seconds 2.4 --tokens 500 --outage-seconds 0.3 --backend {backend}"
    fault = "--outage-fault status,status=500"  # opens no circuit
    assert load(words, fault, f"--json {path}", "--expect", "recovery < 1s") == 0
    run = run_of(path)
    assert run["errors"]["unavailable"] > 0
    assert run["cached_errors"] == 0
    assert run["cached_p99"] is not None
    assert 0 < run["calls_after_return"] <= 150
    assert 0.7 < run["event"]["began_seconds"] < run["event"]["returned_seconds"]


@each_backend
def test_answers_that_expire_together_cost_one_call_each(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "load.json"
    words = f"stampede --rate 300 --seconds 1.6 --ttl 1 --tokens 5 --backend {backend}"
    assert load(words, f"--json {path}", "--expect", "upstream_calls_per_token <= 1") == 0
    run = run_of(path)
    assert (run["upstream_calls"], run["upstream_calls_per_token"]) == (5, 1)
    assert run["before_p99"] is not None
    assert run["expiry_p99"] is not None


def test_the_workers_of_the_embedded_app_share_a_port_and_name_themselves() -> None:
    with (
        embedded_mock(["one"], latency=0, faults=[], backend="asyncio") as proxy,
        embedded_app(proxy, timeout=5, backend="asyncio", workers=2) as app,
    ):
        seen = {httpx.get(app).headers[WORKER_HEADER] for _ in range(40)}
    assert seen == {"1", "2"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("revoke --compare naive", "--compare cannot be used with revoke"),
        ("revoke --tokens 3 --revoked 4", "4 of 3 valid tokens cannot be revoked"),
        ("revoke --tokens 2 --invalid 2", "1 of 0 valid tokens cannot be revoked"),
        ("revoke --on-event true", "--on-event is for a proxy that is not embedded"),
        ("revoke --proxy http://h --tokens-file f", "or --on-event with a command"),
        ("revoke --worker-header X-Worker", "--worker-header needs --target app"),
        ("revoke --target app --worker-header a:b", "'a:b' is not the name of a header"),
        ("outage --proxy http://h --tokens-file f", "outage needs the embedded mock"),
        ("outage --seconds 3 --outage-seconds 1.5", "ends less than a second after the outage"),
        ("outage --outage-fault nonsense", "is not a fault of the mock"),
        ("stampede --ttl 0", "without a cache nothing expires; raise --ttl"),
        ("stampede --ttl 9 --seconds 9", "the answers expire after 9 s, too late"),
        ("steady --expect recovery<1s", "only the scenario outage measures recovery"),
        ("steady --app-workers 4", "--app-workers needs the embedded app"),
        ("burst --target app http://h --app-workers 2 --tokens-file f", "--app-workers needs the"),
    ],
)
def test_bad_options_get_one_clear_line(
    capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    try:
        status = main(words.split())
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
