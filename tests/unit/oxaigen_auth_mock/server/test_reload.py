import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.support.processes import PATIENCE, started

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
every_signal = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


def people(path: Path, name: str, **fields: str) -> None:
    lines = [f'name = "{name}"', *(f'{key} = "{value}"' for key, value in fields.items())]
    path.write_text("\n".join(["[[personas]]", 'token = "x"', *lines]))


class Running:
    """A mock that reloads, as a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = self.greeted()

    def greeted(self) -> str:
        """Wait for the next greeting; gives its URL."""
        greeting = "Listening on "
        line = next(line for line in self.process.stdout or () if line.startswith(greeting))
        return line.removeprefix(greeting).rstrip()

    def complained(self) -> str:
        return (self.process.stderr and self.process.stderr.readline()) or ""

    def get_me(self, timeout: float = PATIENCE) -> httpx.Response:
        headers = {"Authorization": "Bearer x"}
        return httpx.get(f"{self.url}/_oxa_auth/get-me", headers=headers, timeout=timeout)

    def wait_for_a_call(self) -> None:
        calls = (httpx.get(f"{self.url}/_mock/api/calls", timeout=PATIENCE).json() for _ in count())
        assert any(each["total"] for each in calls)

    def end(self, signum: int) -> tuple[int, str]:
        """Send a signal; gives the exit status, and what is left on stderr."""
        self.process.send_signal(signum)
        status = self.process.wait(timeout=PATIENCE)
        return status, (self.process.stderr and self.process.stderr.read()) or ""


@contextmanager
def running(*arguments: str) -> Generator[Running]:
    command = [sys.executable, "-m", "oxaigen_auth_mock", "--reload", "--port", "0", *arguments]
    with started(*command) as process:
        yield Running(process)


@every_backend
def test_an_edited_persona_file_is_served_and_a_mistake_in_it_is_waited_for(
    backend: str, tmp_path: Path
) -> None:
    path = tmp_path / "people.toml"
    people(path, "ada")
    with running("--backend", backend, "--personas", str(path)) as mock:
        assert mock.get_me().json()["user_name"] == "ada"
        people(path, "ada", state="sleepy")
        mistake = mock.complained()
        assert "people.toml: personas[0].state is 'sleepy'; expected one of ok," in mistake
        assert "answered with 503 until the files are fixed" in mock.complained()
        refused = mock.get_me()
        assert refused.status_code == 503
        assert refused.json()["detail"] in mistake
        assert refused.headers["X-Oxaigen-Mock"] == "1"
        people(path, "bob")
        url = mock.url
        assert mock.greeted() == url
        assert mock.get_me().json()["user_name"] == "bob"
        assert mock.end(signal.SIGTERM) == (0, "")


@every_backend
def test_a_call_that_is_never_answered_holds_up_neither_the_reload_nor_the_end(
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
        mock.greeted()
        with httpx.Client(base_url=mock.url, timeout=PATIENCE) as idle:
            assert idle.get("/health").status_code == 200
            assert mock.end(signal.SIGINT) == (0, "")


def test_connections_are_accepted_during_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "people.toml"
    people(path, "ada")
    with running("--personas", str(path)) as mock:
        address = (httpx.URL(mock.url).host, httpx.URL(mock.url).port or 0)
        people(path, "bob")
        restart = Thread(target=mock.greeted)
        restart.start()
        while restart.is_alive():
            socket.create_connection(address, timeout=PATIENCE).close()
        assert mock.get_me().json()["user_name"] == "bob"
        assert mock.end(signal.SIGHUP) == (0, "")


@every_backend
def test_the_mock_ends_when_the_reloading_process_is_killed(backend: str) -> None:
    with running("--backend", backend) as mock:
        with httpx.Client(base_url=mock.url, timeout=PATIENCE) as client:
            assert client.get("/health").status_code == 200
        assert mock.end(signal.SIGKILL) == (
            -signal.SIGKILL,
            "",
        )  # stderr ends with the last process
        with pytest.raises(httpx.ConnectError):
            mock.get_me()


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from oxaigen_auth_mock.server import reload

reload.SOURCE, reload.STOP_TIMEOUT = Path(sys.argv[1]), 0.1

def wait():
    print(os.getpid(), flush=True)
    time.sleep(3600)

def end():
    print(os.getpid(), flush=True)
    sys.exit(3)

def ignore():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait()

def report(problem):
    print(problem, flush=True)

if __name__ == "__main__":
    reload.Reloader(globals()[sys.argv[2]], (), files=sys.argv[3:], report=report).run()
"""


class Reloading:
    """A reloader of a function of `PROGRAM`, as a process, with its source in a folder."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines = iter(process.stdout or ())

    def line(self) -> str:
        return next(self._lines).rstrip()

    def end(self, signum: int) -> int:
        self.process.send_signal(signum)
        return self.process.wait(timeout=PATIENCE)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "module.py").touch()
    return folder


@contextmanager
def reloading(source: Path, function: str, *files: Path) -> Iterator[Reloading]:
    program = source.parent / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(source), function, *map(str, files)]
    with started(*command) as process:
        yield Reloading(process)


def is_running(pid: str) -> bool:
    with suppress(ProcessLookupError):
        os.kill(int(pid), 0)
        return True
    return False


@every_signal
def test_a_signal_ends_the_process_too(source: Path, signum: int) -> None:
    with reloading(source, "wait") as reloader:
        pid = reloader.line()
        assert is_running(pid)
        assert reloader.end(signum) == 0
        assert not is_running(pid)


def test_a_process_that_ignores_the_request_to_stop_is_killed(source: Path) -> None:
    with reloading(source, "ignore") as reloader:
        pid = reloader.line()
        assert reloader.end(signal.SIGTERM) == 0
        assert not is_running(pid)


def test_a_change_of_the_source_restarts_and_one_beside_it_does_not(source: Path) -> None:
    with reloading(source, "wait") as reloader:
        first = reloader.line()
        (source / "notes.txt").touch()
        (source / "module.py").write_text("x = 1")
        second = reloader.line()
        (source / "folder").mkdir()
        (source / "folder" / "page.html").touch()
        third = reloader.line()
        assert len({first, second, third}) == 3
        assert not is_running(first)
        assert not is_running(second)


def test_a_file_may_be_missing_replaced_removed_and_behind_a_link(
    source: Path, tmp_path: Path
) -> None:
    target, link = tmp_path / "new" / "people.toml", tmp_path / "link.toml"
    link.symlink_to(target)
    with reloading(source, "wait", link) as reloader:
        pids = [reloader.line()]
        target.parent.mkdir()
        target.touch()
        pids.append(reloader.line())
        other = tmp_path / "other.toml"
        other.touch()
        other.replace(target)
        pids.append(reloader.line())
        target.unlink()
        pids.append(reloader.line())
    assert len(set(pids)) == 4


def test_a_process_that_ends_by_itself_is_reported_and_restarts_on_a_change(source: Path) -> None:
    with reloading(source, "end") as reloader:
        first = reloader.line()
        reported = "the mock ended with status 3; it restarts on the next change"
        assert reloader.line() == reported
        (source / "module.py").write_text("x = 1")
        assert reloader.line() != first
        assert reloader.line() == reported
        assert reloader.end(signal.SIGTERM) == 0
