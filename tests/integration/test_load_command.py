"""The whole command: in this process, over sockets, against servers in their own processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import rich.console
import rich.progress

from oxaigen_auth_load import cli, main, processes, servers
from oxaigen_auth_load.report.progress import ProgressDisplay
from oxaigen_auth_load.servers import EmbeddedServerError, embedded_app, embedded_mock
from oxaigen_auth_load.signals import SIGNALS, Stop
from oxaigen_auth_load.tokens import read_tokens
from tests.support.apps import TestClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from oxaigen_auth_load.recorder import Progress

each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def results(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def load(arguments: Sequence[str]) -> int:
    """Run the command in a thread, because its event loop would end the coverage of this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(main, arguments).result()


@each_backend
def test_a_burst_is_one_upstream_call_for_each_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    path, page = tmp_path / "load.json", tmp_path / "load.html"
    words = f"burst --callers 300 --tokens 10 --invalid 2 --compare naive --backend {backend}"
    expected = ["--expect", "upstream_calls_per_token <= 1", "--expect", "errors == 0"]
    files = ["--json", str(path), "--html", str(page)]
    assert load([*words.split(), *expected, *files]) == 0
    report = results(path)
    client, naive = report["runs"]
    assert (client["upstream_calls"], naive["upstream_calls"]) == (10, 300)
    assert (client["coalesced"], client["cache_hits"]) == (290, 0)
    for run in (client, naive):
        assert (run["accepted"], run["rejected"], run["errors"]) == (240, 60, {})
        assert sum(run["timeline"]["arrivals"]) == 300
        assert sum(run["timeline"]["upstream_calls"]) == run["upstream_calls"]
    assert client["max_concurrency"] == 300
    assert report["partial"] is None
    shown = capsys.readouterr().out
    assert "client" in shown
    assert "naive" in shown
    assert shown.count("met  ") == 2
    assert "<svg" in page.read_text("utf-8")
    assert "token-1-" not in shown + page.read_text("utf-8") + path.read_text("utf-8")


@each_backend
def test_an_app_is_embedded_and_its_upstream_calls_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    path = tmp_path / "load.json"
    words = f"steady --rate 60 --seconds 1 --tokens 5 --target app --backend {backend}"
    wrong = ["--expect", "cache_hits > 0", "--allow-saturated"]
    assert load([*words.split(), "--json", str(path), *wrong]) == 1
    (run,) = results(path)["runs"]
    assert run["name"] == "app"
    assert run["errors"] == {}
    assert run["upstream_calls"] == 5
    assert run["timeline"]["upstream_calls"] is None
    assert "FAILED  cache_hits > 0  (unknown)" in capsys.readouterr().out


@each_backend
def test_pitfall_58_errors_meet_no_expectation_of_latency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    path, page = tmp_path / "load.json", tmp_path / "load.html"
    words = f"burst --callers 30 --fault status,status=503,endpoint=get-me --backend {backend}"
    files = ["--json", str(path), "--html", str(page)]
    assert load([*words.split(), "--expect", "p99 < 2s", "--expect=throughput>0.1", *files]) == 1
    report = results(path)
    (run,) = report["runs"]
    assert (run["answered"], run["errors"]) == (0, {"unavailable": 30})
    assert set(run["latency_seconds"].values()) == {None}
    assert run["error_latency_seconds"]["max"] > 0
    assert run["throughput_per_second"] == 0
    assert [each["met"] for each in report["expectations"]] == [False, False]
    shown = capsys.readouterr().out
    assert "FAILED  p99 < 2s  (no lookup was answered)" in shown
    assert "FAILED  throughput>0.1  (0)" in shown
    assert "no lookup was answered" in page.read_text("utf-8")


@each_backend
def test_pitfall_58_a_burst_reaches_an_app_at_once(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "load.json"
    words = f"burst --callers 200 --target app --backend {backend} --json {path}"
    assert load([*words.split(), "--expect", "max_concurrency == 200"]) == 0
    (run,) = results(path)["runs"]
    assert run["errors"] == {}
    assert run["sent_before_first_end"] == 200
    assert run["generator"]["waited_for_connections"] == 0


def test_pitfall_58_a_burst_over_too_few_connections_is_not_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "load.json"
    words = f"burst --callers 100 --target app --connections 5 --json {path}".split()
    assert load([*words, "--expect", "errors == 0"]) == 1
    (run,) = results(path)["runs"]
    assert run["generator"]["saturated"]
    assert run["max_concurrency"] == 5
    assert (run["sent_before_first_end"], run["lookups"]) == (5, 100)
    shown = " ".join(capsys.readouterr().out.split())
    assert "the generator could not keep up: the results below are the generator's" in shown
    assert "95 lookups waited because all 5 connections were in use; raise --connections" in shown
    assert "FAILED errors == 0 (0, of a saturated generator)" in shown
    assert "5 of 100 lookups were sent before the first answer was read" in shown
    assert load([*words, "--expect", "errors == 0", "--allow-saturated"]) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_closed_load_asks_over_its_connections_until_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    path = tmp_path / "load.json"
    words = "closed --connections 3 --seconds 0.5 --warmup 0.2 --target app --tokens 4"
    files = ["--json", str(path), "--csv", str(tmp_path / "load.csv")]
    assert load([*words.split(), "--workers", str(workers), *files]) == 0
    report = results(path)
    (run,) = report["runs"]
    assert (report["partial"], report["plan"]["lookups"]) == (None, None)
    assert run["max_concurrency"] <= 3
    assert 0 < run["lookups"] < sum(run["timeline"]["arrivals"])
    assert run["timeline"]["warmup_seconds"] == pytest.approx(0.2)
    assert "hides" in capsys.readouterr().out
    head, *lines = (tmp_path / "load.csv").read_text("utf-8").splitlines()
    assert head.startswith("run,from_seconds,arrivals,sent,answers,in_flight,upstream_calls,p50_")
    assert sum(int(line.split(",")[2]) for line in lines) == sum(run["timeline"]["arrivals"])


def test_pitfall_58_a_target_that_stalls_shows_in_an_open_load(tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    words = f"steady --rate 50 --seconds 2 --tokens 1 --latency 1 --json {path}"
    assert load(words.split()) == 0
    (run,) = results(path)["runs"]
    assert run["latency_seconds"]["p90"] > 0.5
    assert max(run["timeline"]["in_flight"]) > 20


def test_stages_are_run_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    words = f"stages --stage 0.5s:100 --stage 0.5s:20-200 --json {path}"
    assert load(words.split()) == 0
    assert results(path)["runs"][0]["lookups"] == results(path)["plan"]["lookups"] > 40


def test_a_wrong_rejection_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    fault = ["--fault", "status,status=403,endpoint=get-me", "--expect", "p99 < 2s"]
    assert load(["burst", "--callers", "3", *fault, "--json", str(path)]) == 1
    assert results(path)["runs"][0]["errors"] == {"wrong_reject": 3}


def test_a_failed_expectation_shows_the_figure_however_small(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert load(["burst", "--callers", "3", "--expect", "p99<1us"]) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "FAILED" in line)
    assert re.fullmatch(r"FAILED  p99<1us  \([0-9.]+ m?s\)", line)


def test_faults_and_latency_of_the_mock_appear_in_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "load.json"
    words = "ramp --from 20 --to 60 --seconds 1 --tokens 1000 --latency 0.05 --compare naive"
    assert load([*words.split(), "--json", str(path)]) == 0
    for run in results(path)["runs"]:
        assert run["errors"] == {}
        assert run["latency_seconds"]["p50"] > 0.05
    fault = ["--fault", "status,status=503,endpoint=get-me", "--expect", "error_rate < 1%"]
    assert load([*words.split(), *fault, "--allow-saturated", "--json", str(path)]) == 1
    client, naive = results(path)["runs"]
    assert client["errors"] == {"unavailable": client["lookups"]}
    assert naive["errors"] == {"status_503": naive["lookups"]}
    assert "latency 50 ms, faults: status" in results(path)["target"]
    assert "(100%)" in capsys.readouterr().out


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, str]]:
    """A proxy and an app that the command did not start."""
    tokens = ["secret-1", "secret-2"]
    with (
        embedded_mock(tokens, latency=0, faults=[], backend="asyncio") as proxy,
        embedded_app(proxy, timeout=5, backend="asyncio") as app,
    ):
        yield proxy, app


def test_a_file_is_replayed_through_an_app_and_a_proxy_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], elsewhere: tuple[str, str]
) -> None:
    proxy, app = elsewhere
    (tmp_path / "day.csv").write_text("0,ada\n0.1,bob\n0.2,ada\n")
    (tmp_path / "tokens").write_text("secret-1\n\nsecret-2\n")
    path = tmp_path / "load.json"
    known = ["--tokens-file", str(tmp_path / "tokens"), "--json", str(path)]
    replay = ["replay", str(tmp_path / "day.csv")]
    assert load([*replay, "--target", "app", app, *known]) == 0
    (run,) = results(path)["runs"]
    assert (run["accepted"], run["upstream_calls"]) == (3, None)
    assert results(path)["target"] == f"app at {app}"
    options = ["--proxy", proxy, "--target", "app", app, "--compare", "naive"]
    assert load([*replay, *options, *known]) == 0
    assert [run["accepted"] for run in results(path)["runs"]] == [3, 3]
    assert load(["burst", "--callers", "5", "--invalid", "1", "--proxy", proxy, *known]) == 0
    (run,) = results(path)["runs"]
    assert (run["accepted"] + run["rejected"], run["upstream_calls"]) == (5, 3)
    assert "secret-" not in capsys.readouterr().out + path.read_text("utf-8")
    (tmp_path / "tokens").write_text("secret-1\n")
    assert load([*replay, "--proxy", proxy, *known]) == 2
    assert "--tokens-file has 1 tokens, but 2 are needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "backend"),
    [
        (signal.SIGINT, "asyncio"),
        (signal.SIGINT, "trio"),
        (signal.SIGTERM, "asyncio"),
        (signal.SIGTERM, "trio"),
        (signal.SIGHUP, "asyncio"),
    ],
)
def test_pitfall_58_a_signal_keeps_what_there_is_and_says_that_it_is_partial(  # noqa: PLR0913, PLR0917
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    backend: str,
) -> None:
    """The load is in the main thread, where signals arrive; coverage stops with its event loop."""
    path, page = tmp_path / "load.json", tmp_path / "load.html"

    def press() -> None:
        assert begun.wait(60)
        os.kill(os.getpid(), number)

    def show(_: ProgressDisplay, progress: Progress) -> None:
        if progress.lookups > 5:
            begun.set()

    def check() -> None:
        pressing.join()
        report = results(path)
        assert 0 < report["runs"][0]["lookups"] < 1000
        assert 0.5 < report["runs"][0]["upstream_calls_per_token"] <= 1  # of the tokens looked up
        assert [run["name"] for run in report["runs"]] == ["client"]
        assert report["partial"].startswith("stopped after ")
        assert [each["met"] for each in report["expectations"]] == [True]
        assert "Partial" in page.read_text("utf-8")
        shown = capsys.readouterr().out
        assert "Partial:" in shown
        assert "met  errors<1" in shown
        assert statuses == [130]
        assert [signal.getsignal(each) for each in SIGNALS] == before
        assert multiprocessing.active_children() == []
        assert set(tmp_path.iterdir()) == {path, page}

    statuses: list[int] = []
    begun = threading.Event()
    before = [signal.getsignal(each) for each in SIGNALS]
    monkeypatch.setattr(ProgressDisplay, "show", show)  # is called while the load runs
    pressing = threading.Thread(target=press)
    pressing.start()
    request.addfinalizer(check)
    words = f"steady --rate 50 --seconds 60 --compare naive --backend {backend} --expect errors<1"
    files = ["--json", str(path), "--html", str(page)]
    statuses.append(main([*words.split(), "--allow-saturated", *files]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["make_plan", "is_reachable"])
def test_a_signal_before_the_load_is_one_clear_line_and_leaves_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    number: signal.Signals,
) -> None:
    # The signal comes while this function runs.
    monkeypatch.setattr(f"oxaigen_auth_load.cli.{where}", lambda *_: signal.raise_signal(number))
    assert main(["burst", "--json", str(tmp_path / "load.json")]) == 130
    assert capsys.readouterr().err == "oxaigen-auth-load: stopped before the load started\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """The state that a signal would set, for a command that runs in another thread."""
    stop = Stop()
    monkeypatch.setattr(cli, "handle_signals", lambda: nullcontext(stop))  # not in such a thread
    return stop


@each_backend
def test_a_stop_before_the_first_run_starts_no_load(
    capsys: pytest.CaptureFixture[str], stop: Stop, backend: str
) -> None:
    stop.requested = True
    assert load(["burst", "--backend", backend]) == 130
    assert capsys.readouterr().err == "oxaigen-auth-load: stopped before the load started\n"


def test_without_an_answering_target_no_load_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "is_reachable", lambda _: False)  # its own mock always is
    assert load(["burst", "--json", str(tmp_path / "load.json")]) == 2
    assert "nothing answers at http://127.0.0.1:" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_stop_between_two_runs_keeps_the_first_and_marks_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Stop
) -> None:
    def show(_: ProgressDisplay, progress: Progress) -> None:
        stop.requested = progress.lookups == 3

    monkeypatch.setattr(ProgressDisplay, "show", show)  # is called while the load runs
    path = tmp_path / "load.json"
    words = "burst --callers 3 --compare naive --json"
    assert load([*words.split(), str(path)]) == 130
    assert [run["name"] for run in results(path)["runs"]] == ["client"]
    assert results(path)["partial"] == "stopped after 3 of 3 lookups of client"


def test_a_stop_after_the_last_run_does_not_mark_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Stop
) -> None:
    def print_table(_: object) -> None:
        stop.requested = True

    monkeypatch.setattr(cli, "print_table", print_table)  # the last thing that it does
    assert load(["burst", "--callers", "3", "--json", str(tmp_path / "load.json")]) == 0
    assert results(tmp_path / "load.json")["partial"] is None


class Proxy(ThreadingHTTPServer):
    """Accepts every token, and sets an event when it is called."""

    daemon_threads = True
    asked = threading.Event()


class Accepting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # (the name is the library's)
        if self.path.endswith("get-me"):
            Proxy.asked.set()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"is_authenticated": true}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Log nothing."""


@pytest.fixture
def proxy() -> Iterator[str]:
    with Proxy(("127.0.0.1", 0), Accepting) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_pitfall_58_a_signal_to_the_whole_group_keeps_results_and_ends_every_process(
    tmp_path: Path, proxy: str
) -> None:
    """As `timeout` and shells send it. The pipe ends when no process holds it any longer."""
    path = tmp_path / "load.json"
    (tmp_path / "tokens").write_text("one\n")
    words = f"steady --rate 50 --seconds 60 --target app --proxy {proxy} --tokens-file"
    files = [str(tmp_path / "tokens"), "--json", str(path)]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", COMMAND, *words.split(), *files],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert Proxy.asked.wait(60)
            os.killpg(process.pid, signal.SIGTERM)
            os.kill(process.pid, signal.SIGTERM)
            shown, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Partial: stopped after" in shown
    assert "Traceback" not in shown
    assert results(path)["runs"][0]["errors"] == {}


COMMAND = "import sys, oxaigen_auth_load; sys.exit(oxaigen_auth_load.main())"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("burst --callers 0", "'0' is not a whole number >= 1"),
        ("burst --callers 2000000", "is more than 1,000,000"),
        ("burst --callers many", "'many' is not a whole number"),
        ("steady --rate 0", "'0' is not a number > 0"),
        ("steady --rate inf", "'inf' is not a number"),
        ("steady --rate 1e6 --seconds 60", "a load has 1 to 1,000,000"),
        ("burst --tokens 3 --invalid 5", "5 of 3 tokens cannot be invalid"),
        ("replay no-such-file", "cannot use a file"),
        ("burst --json /no/such/folder/x", "cannot use a file"),
        ("burst --tokens-file no-such-file", "cannot use a file"),
        ("burst --tokens-file /dev/null", "null has no token; write one on each line"),
        ("burst --json same --html ./same", "--json and --html name the same file"),
        ("burst --html same --csv ./same", "--html and --csv name the same file"),
        ("burst --tokens-file same --json ./same", "--json would overwrite same, which is read"),
        ("replay same --csv same", "--csv would overwrite same, which is read"),
        ("stages --stage 10:5", "'10:5' is not a stage such as 10s:100 or 30s:100-1000"),
        ("stages", "the following arguments are required: --stage"),
        ("steady --seconds 1 --warmup 1", "--warmup 1 leaves no lookup"),
        ("closed --workers 0", "'0' is not a whole number >= 1"),
        ("burst --proxy http://u:hunter2@h", "a URL must be http or https, without user and"),
        ("burst --proxy ftp://h", "a URL must be http or https, without user and password"),
        ("burst --proxy http://h:99999", "a URL must be http or https, without user and"),
        ("burst --target app h/me", "a URL must be http or https, without user and password"),
        (f"burst --fault status,x={'[' * 20000}", "is not a fault of the mock"),
        ("burst --target worker", "--target takes client, app, or app and a URL"),
        ("burst --target client http://x", "--target takes client, app, or app and a URL"),
        (
            "burst --proxy http://127.0.0.1:9",
            "give the tokens that the proxy accepts with --tokens-file",
        ),
        ("burst --fault status,status=many", "is not a fault of the mock"),
        ("burst --fault nonsense,x=y", "is not a fault of the mock"),
        ("burst --fault hang,persona=gest", "no persona is called 'gest'; there are devuser, "),
        ("burst --expect fast", "is not an expectation"),
        ("", "SCENARIO"),
    ],
)
def test_bad_arguments_get_one_clear_line(
    capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    try:
        status = load(words.split())
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert said in last
    assert "hunter2" not in last
    assert last.startswith("oxaigen-auth-load")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--proxy http://127.0.0.1:9", "nothing answers at http://127.0.0.1:9; is it running?"),
        ("--target app http://127.0.0.1:9/me", "nothing answers at http://127.0.0.1:9/me"),
        ("--proxy http://127.0.0.1:9 --latency 1", "need the embedded mock"),
        ("--target app http://127.0.0.1:9 --compare naive", "give its URL with --proxy"),
    ],
)
def test_an_unreachable_target_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    (tmp_path / "tokens").write_text("one\n")
    assert load(["burst", *words.split(), "--tokens-file", str(tmp_path / "tokens")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_repeated_token_is_one_token(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("one\ntwo\n\none\n")
    assert read_tokens(tmp_path / "tokens") == ["one", "two"]


def test_pitfall_59_tokens_may_follow_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("one\ntwo\n", "utf-8-sig")
    assert read_tokens(tmp_path / "tokens") == ["one", "two"]


def test_a_file_of_another_encoding_gets_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_text("0,one\n", "utf-16")
    for words in (["replay", str(path)], ["burst", "--tokens-file", str(path)]):
        assert load(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cannot use a file: 'utf-8' codec can't decode" in line


def test_a_late_broken_or_malformed_response_is_an_error_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    faults = (("hang", 0.5, "timeout"), ("reset", 60, "connection"), ("html", 60, "no_profile"))
    for fault, timeout, kind in faults:
        words = f"burst --callers 3 --tokens 3 --timeout {timeout} --compare naive --fault {fault}"
        assert load([*words.split(), "--json", str(path)]) == 0
        client, naive = results(path)["runs"]
        assert client["errors"] == {"unavailable": 3}
        assert naive["errors"] == {kind: 3}


def test_a_process_of_the_load_that_dies_is_reported(
    elsewhere: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    killed: list[int] = []
    others = multiprocessing.active_children()

    def show(_: ProgressDisplay, progress: Progress) -> None:
        if progress.lookups > 4 and not killed:
            workers = (each for each in multiprocessing.active_children() if each not in others)
            killed.append(next(workers).pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(ProgressDisplay, "show", show)
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-1\nsecret-2\n")
    words = f"steady --rate 50 --seconds 2 --workers 2 --tokens-file {tokens}"
    assert load([*words.split(), "--target", "app", elsewhere[1]]) == 2
    assert "1 of the processes of app died, and their lookups are missing" in (
        capsys.readouterr().err
    )


def test_an_interrupt_before_the_server_starts_is_raised_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def interrupted() -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(processes, "signals_blocked", interrupted)  # at that very moment
    with pytest.raises(KeyboardInterrupt), ExitStack() as stack:
        stack.enter_context(embedded_mock([], latency=0, faults=[], backend="asyncio"))


def test_a_server_whose_load_has_ended_exits_silently(
    capfd: pytest.CaptureFixture[str],
) -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    servers._serve(theirs, servers._mock, "asyncio", ((), 0.0, []))  # noqa: SLF001
    theirs.close()
    assert capfd.readouterr() == ("", "")


def test_a_file_that_cannot_be_written_loses_neither_the_table_nor_the_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_atomically(path: Path, text: str) -> None:
        if path.suffix == ".json":
            raise OSError(28, "No space left on device")
        path.write_text(text, "utf-8")

    monkeypatch.setattr(cli, "write_atomically", write_atomically)  # a disk that is full
    files = ["--json", str(tmp_path / "load.json"), "--html", str(tmp_path / "load.html")]
    assert load(["burst", "--callers", "3", *files]) == 2
    shown = capsys.readouterr()
    assert "load.json could not be written: [Errno 28]" in shown.err
    assert "Accepted" in shown.out
    assert [path.name for path in tmp_path.iterdir()] == ["load.html"]


def test_a_closed_terminal_loses_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(rich.progress.Progress, "stop", gone)
    monkeypatch.setattr(rich.console.Console, "print", gone)
    assert load(["burst", "--callers", "3", "--json", str(tmp_path / "load.json")]) == 0
    assert results(tmp_path / "load.json")["runs"][0]["accepted"] == 3


def test_a_server_that_cannot_start_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    mock = embedded_mock([], latency=0, faults=[{"kind": "nonsense"}], backend="asyncio")
    with (
        ExitStack() as stack,
        pytest.raises(EmbeddedServerError, match="embedded server ended while starting"),
    ):
        stack.enter_context(mock)
    assert "nonsense" in capfd.readouterr().err


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the variables that the app sets for its own process."""
    for name in ("PROXY_URL_OVERRIDE", "PROXY_TIMEOUT_SECONDS", "CACHE_TTL_SECONDS"):
        monkeypatch.setenv(f"OXAIGEN_AUTH_{name}", "")


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("make", [servers._mock, servers._app])  # noqa: SLF001
def test_a_server_serves_until_its_pipe_is_closed(
    request: pytest.FixtureRequest, make: Callable[..., ASGIApp]
) -> None:
    """Both ends of the pipe are in this process, so that coverage sees the server."""
    ours, theirs = multiprocessing.Pipe()
    arguments = {
        servers._mock: (("one",), 0.0, [{"kind": "hang"}]),  # noqa: SLF001
        servers._app: ("http://127.0.0.1:9", 0.5, 30.0, "1"),  # noqa: SLF001
    }[make]
    statuses: list[int] = []

    def call() -> None:
        statuses.append(httpx.get(f"{ours.recv()}/health", timeout=60).status_code)
        ours.close()

    def check() -> None:
        calling.join()
        theirs.close()
        assert statuses in ([200], [404])  # the app has no such route

    request.addfinalizer(check)
    calling = threading.Thread(target=call)
    calling.start()
    with servers._reserved_port() as port:  # noqa: SLF001
        servers._serve(theirs, make, "asyncio", arguments, port)  # noqa: SLF001


@pytest.mark.usefixtures("own_environment")
def test_the_embedded_app_answers_with_the_user() -> None:
    with (
        embedded_mock(["one"], latency=0, faults=[], backend="asyncio") as proxy,
        TestClient(servers._app(proxy, 5.0, 30.0, "1")) as app,  # noqa: SLF001
    ):
        answer = app.get("/", headers={"Authorization": "Bearer one"})
    assert answer.json()["user_name"] == "devuser"


def test_a_server_that_does_not_exit_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "EXIT_TIMEOUT", 0.0)  # no server ends as quickly
    with embedded_mock(["one"], latency=0, faults=[], backend="asyncio") as url:
        assert url.startswith("http://127.0.0.1:")


def test_the_page_can_be_the_only_file(tmp_path: Path) -> None:
    assert load(["burst", "--callers", "3", "--html", str(tmp_path / "load.html")]) == 0
    assert "<svg" in (tmp_path / "load.html").read_text("utf-8")


def test_without_the_extra_the_command_prints_how_to_install_it_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert load(["burst"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'pip install "oxaigen-auth[load]"' in line
