import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, cast

import httpx
import pytest
from attrs import Factory, define

from oxaigen_auth_mock.server.reload import STOP_TIMEOUT, Reloader
from tests.support.processes import TIMEOUT, started

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
every_signal = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


def people(path: Path, name: str, **fields: str) -> None:
    lines = [f'name = "{name}"', *(f'{key} = "{value}"' for key, value in fields.items())]
    path.write_text("\n".join(["[[personas]]", 'token = "x"', *lines]))


class Running:
    """A mock that reloads, as a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = self.next_url()

    def next_url(self) -> str:
        """Wait until the mock prints its URL, and return it."""
        start = "Listening on "
        line = next(line for line in self.process.stdout or () if line.startswith(start))
        return line.removeprefix(start).rstrip()

    def next_error(self) -> str:
        return (self.process.stderr and self.process.stderr.readline()) or ""

    def get_me(self, timeout: float = TIMEOUT) -> httpx.Response:
        headers = {"Authorization": "Bearer x"}
        return httpx.get(f"{self.url}/_oxa_auth/get-me", headers=headers, timeout=timeout)

    def wait_for_a_call(self) -> None:
        calls = (httpx.get(f"{self.url}/_mock/api/calls", timeout=TIMEOUT).json() for _ in count())
        assert any(each["total"] for each in calls)

    def end(self, signum: int) -> tuple[int, str]:
        """Send a signal, and return the exit status and the rest of stderr."""
        self.process.send_signal(signum)
        status = self.process.wait(timeout=TIMEOUT)
        return status, (self.process.stderr and self.process.stderr.read()) or ""


@contextmanager
def running(*arguments: str) -> Generator[Running]:
    command = [sys.executable, "-m", "oxaigen_auth_mock", "--reload", "--port", "0", *arguments]
    with started(*command) as process:
        yield Running(process)


@every_backend
def test_an_edited_persona_file_is_served_and_an_error_in_it_is_answered_with_503(
    backend: str, tmp_path: Path
) -> None:
    path = tmp_path / "people.toml"
    people(path, "ada")
    with running("--backend", backend, "--personas", str(path)) as mock:
        assert mock.get_me().json()["user_name"] == "ada"
        people(path, "ada", state="sleepy")
        error = mock.next_error()
        assert "people.toml: personas[0].state is 'sleepy'; expected one of ok," in error
        assert "answered with 503 until the files are fixed" in mock.next_error()
        refused = mock.get_me()
        assert refused.status_code == 503
        assert refused.json()["detail"] in error
        assert refused.headers["X-Oxaigen-Mock"] == "1"
        people(path, "bob")
        url = mock.url
        assert mock.next_url() == url
        assert mock.get_me().json()["user_name"] == "bob"
        assert mock.end(signal.SIGTERM) == (0, "")


@every_backend
def test_a_call_that_is_never_answered_delays_neither_restart_nor_shutdown(
    backend: str, tmp_path: Path
) -> None:
    path = tmp_path / "people.toml"
    people(path, "ada", state="never-answers")
    with running("--backend", backend, "--personas", str(path)) as mock:

        def call_and_edit(name: str) -> httpx.Response:
            answers: list[httpx.Response] = []
            call = Thread(target=lambda: answers.append(mock.get_me()))
            call.start()
            mock.wait_for_a_call()
            people(path, name, state="never-answers")
            call.join()
            return answers[0]

        assert call_and_edit("bob").status_code == 500
        mock.next_url()
        with httpx.Client(base_url=mock.url, timeout=TIMEOUT) as idle:
            assert idle.get("/health").status_code == 200
            assert mock.end(signal.SIGINT) == (0, "")


def test_connections_are_accepted_during_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "people.toml"
    people(path, "ada")
    with running("--personas", str(path)) as mock:
        address = (httpx.URL(mock.url).host, httpx.URL(mock.url).port or 0)
        people(path, "bob")
        restart = Thread(target=mock.next_url)
        restart.start()
        while restart.is_alive():
            socket.create_connection(address, timeout=TIMEOUT).close()
            restart.join(0.05)  # so that they do not fill the backlog
        assert mock.get_me().json()["user_name"] == "bob"
        assert mock.end(signal.SIGHUP) == (0, "")


@every_backend
def test_the_mock_ends_when_the_reloading_process_is_killed(backend: str) -> None:
    with running("--backend", backend) as mock:
        with httpx.Client(base_url=mock.url, timeout=TIMEOUT) as client:
            assert client.get("/health").status_code == 200
        assert mock.end(signal.SIGKILL) == (
            -signal.SIGKILL,
            "",
        )  # stderr ends with the last process
        with pytest.raises(httpx.ConnectError):
            mock.get_me()


@define
class Recorder:
    """What happens to the processes of a reloader."""

    processes: list["Process"] = Factory(list["Process"])
    started: Queue[int] = Factory(Queue[int])
    polled: Queue[int] = Factory(Queue[int])
    reported: Queue[str] = Factory(Queue[str])

    def next_start(self) -> int:
        return self.started.get(timeout=TIMEOUT)

    def wait_for_polls(self, number: int) -> None:
        """Wait until the reloader has looked at its process so often; from then on it watches."""
        for _ in range(number):
            self.polled.get(timeout=TIMEOUT)


class Process:
    """Records the calls of its methods."""

    def __init__(self, recorder: Recorder, **arguments: object) -> None:
        self.recorder = recorder
        self.arguments = arguments
        self.status: int | None = None
        self.calls: list[str] = []
        recorder.processes.append(self)

    @property
    def exitcode(self) -> int | None:
        self.recorder.polled.put(len(self.recorder.processes))
        return self.status

    def start(self) -> None:
        self.recorder.started.put(len(self.recorder.processes))

    def terminate(self) -> None:
        self.calls.append("terminate")

    def join(self, timeout: float | None = None) -> None:
        self.calls.append(f"join {timeout}")

    def kill(self) -> None:
        self.calls.append("kill")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "templates").mkdir(parents=True)
    return folder


def run_reloader(
    source: Path,
    act: Callable[[Recorder], object],
    *files: Path,
    signum: int = signal.SIGTERM,
) -> list[Process]:
    """Run a reloader here, act in a thread once it watches, and send the signal after that."""
    recorder = Recorder()
    reloader = Reloader(
        print,
        ("argument",),
        files=list(map(str, files)),
        report=recorder.reported.put,
        source=source,
        process_type=partial(cast("Any", Process), recorder),
    )

    def act_and_signal() -> None:
        try:
            assert recorder.next_start() == 1
            recorder.wait_for_polls(1)
            act(recorder)
        finally:
            os.kill(os.getpid(), signum)

    with ThreadPoolExecutor() as pool:
        actor = pool.submit(act_and_signal)
        reloader.run()
        actor.result()
    return recorder.processes


@every_signal
def test_a_signal_ends_the_process_and_leaves_the_handlers_as_they_were(
    source: Path, signum: int
) -> None:
    before = signal.getsignal(signum)
    (process,) = run_reloader(source, lambda _: None, signum=signum)
    assert process.arguments == {"target": print, "args": ("argument",), "daemon": True}
    assert process.calls == ["terminate", f"join {STOP_TIMEOUT}", "kill", "join None"]
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize("name", ["module.py", "templates/page.html"])
def test_a_change_of_the_source_restarts_the_process(source: Path, name: str) -> None:
    def act(recorder: Recorder) -> None:
        (source / name).write_text("x = 1")
        assert recorder.next_start() == 2

    first, second, *_ = run_reloader(source, act)
    assert first.calls == second.calls == ["terminate", f"join {STOP_TIMEOUT}", "kill", "join None"]


def test_a_change_of_another_file_does_not_restart_the_process(source: Path) -> None:
    def act(recorder: Recorder) -> None:
        (source / "notes.txt").write_text("x = 1")
        recorder.wait_for_polls(3)

    assert len(run_reloader(source, act)) == 1


def test_a_file_may_be_missing_replaced_removed_and_behind_a_link(
    source: Path, tmp_path: Path
) -> None:
    target, link = tmp_path / "new" / "people.toml", tmp_path / "link.toml"
    link.symlink_to(target)

    def act(recorder: Recorder) -> None:
        target.parent.mkdir()
        target.touch()
        assert recorder.next_start() == 2
        other = tmp_path / "other.toml"
        other.touch()
        other.replace(target)
        assert recorder.next_start() == 3
        target.unlink()
        assert recorder.next_start() == 4

    run_reloader(source, act, link)


def test_a_process_that_ends_by_itself_is_reported_once_and_restarts_on_a_change(
    source: Path, tmp_path: Path
) -> None:
    path = tmp_path / "people.toml"

    def act(recorder: Recorder) -> None:
        recorder.processes[0].status = 3
        reported = "the mock ended with status 3; it restarts on the next change"
        assert recorder.reported.get(timeout=TIMEOUT) == reported
        path.touch()
        assert recorder.next_start() == 2
        recorder.wait_for_polls(1)
        assert recorder.reported.empty()
        recorder.processes[1].status = 0
        assert recorder.reported.get(timeout=TIMEOUT) == reported.replace("3", "0")

    processes = run_reloader(source, act, path)
    assert [process.calls for process in processes] == [[], []]
