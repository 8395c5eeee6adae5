import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread
from unittest.mock import patch

import anyio
import httpx
import pytest
from anyio import create_task_group, fail_after, to_thread
from hypercorn.config import Config
from hypercorn.utils import check_for_updates, files_to_watch, load_application
from starlette.types import Message

from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.cli.main import main
from oxaigen_auth_mock.config.settings import variables
from oxaigen_auth_mock.server import reload as reloading
from oxaigen_auth_mock.server.reload import ReloadedMock, serve_reloading
from oxaigen_auth_mock.server.sockets import listen
from tests.support.processes import PATIENCE, started

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
GET_ME = {
    "type": "http",
    "method": "GET",
    "path": "/_oxa_auth/get-me",
    "query_string": b"",
    "headers": [(b"authorization", b"Bearer mock-dev-token")],
}


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    """Undo what reloading does to a process, which ends with it: variables, modules, path."""
    with (
        patch.dict(os.environ),
        patch.dict(sys.modules),
        patch.object(sys, "path", list(sys.path)),
    ):
        for variable in variables():
            os.environ.pop(variable.name, None)
        yield


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
        assert "people.toml: personas[0].state holds 'sleepy', but it should be 'ok'" in mistake
        assert "answered with 503 until the files are mended" in mock.complained()
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


class Run:
    """Stands in for hypercorn's `run`: minds a signal, and gives 0 however it ends."""

    def __init__(self, *signals: signal.Signals) -> None:
        self.signals = signals
        self.config = Config()
        self.watched: dict[Path, float] = {}

    def __call__(self, config: Config) -> int:
        self.config = config
        self.watched = files_to_watch()
        config.create_sockets().insecure_sockets[0].close()
        for each in self.signals:
            signal.signal(each, lambda *_: None)
            signal.raise_signal(each)
        return 0


def test_the_settings_and_the_files_reach_hypercorn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reloading, "run", run := Run(signal.SIGTERM))
    personas, faults = tmp_path / "people.json", tmp_path / "faults.toml"
    personas.write_text('{"personas": []}')
    faults.write_text("faults = []")
    arguments = ["--reload", "--strict", "--port", "0", "--backend", "trio"]
    assert main([*arguments, "--personas", str(personas), "--faults", str(faults)]) == 0
    told = MockSettings.from_env()
    assert told.port > 0
    assert told == MockSettings(
        strict=True,
        reload=True,
        port=told.port,
        backend="trio",
        personas=str(personas),
        faults=str(faults),
    )
    assert (run.config.worker_class, run.config.use_reloader) == ("trio", True)
    assert {personas, faults, Path(reloading.__file__)} <= run.watched.keys()
    app = vars(load_application(run.config.application_path, 0))["app"]
    assert isinstance(app, ReloadedMock)


def test_an_end_that_nobody_asked_for_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reloading, "run", Run())
    assert serve_reloading(MockSettings(), listen()) == 1
    assert "the mock ended by itself, for the reason above" in capsys.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_hypercorn_minds_them_ends_in_silence(
    monkeypatch: pytest.MonkeyPatch, signum: int
) -> None:
    def run(config: Config) -> None:
        config.create_sockets().insecure_sockets[0].close()
        signal.raise_signal(signum)

    before = signal.getsignal(signum)
    monkeypatch.setattr(reloading, "run", run)
    with pytest.raises(SystemExit) as caught:
        serve_reloading(MockSettings(), listen())
    assert caught.value.code == 0
    assert signal.getsignal(signum) is before


def test_a_file_that_is_gone_is_watched_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "people.toml"
    monkeypatch.setattr(reloading, "run", Run())
    serve_reloading(MockSettings(personas=str(path)), listen())
    watched = {tmp_path: files_to_watch()[tmp_path]}
    assert not check_for_updates(watched)
    path.parent.mkdir()
    os.utime(tmp_path, (2**31, 2**31))
    assert check_for_updates(watched)
    path.touch()
    assert path in files_to_watch()
    assert not hasattr(sys.modules[f"{reloading.__name__}:{path}"], "app")


class Lifespan:
    """Starts an app and stops it, as servers do."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.tasks: list[int] = []  # that ran at each message
        self.started, self.stopping = anyio.Event(), anyio.Event()

    async def receive(self) -> Message:
        if not self.sent:
            return {"type": "lifespan.startup"}
        await self.stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        self.sent.append(message["type"])
        self.tasks.append(len(anyio.get_running_tasks()))
        self.started.set()


@pytest.mark.anyio
async def test_running_calls_and_at_last_the_process_are_ended_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reloading, "GRACE", 0.01)
    over, ended = Event(), Event()
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    mock, lifespan = ReloadedMock(over.is_set, end), Lifespan()
    os.environ.update(OXAIGEN_AUTH_MOCK_LATENCY="3600", OXAIGEN_AUTH_MOCK_RELOAD="1")
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(mock, {"type": "lifespan"}, lifespan.receive, lifespan.send)
            await lifespan.started.wait()
            tasks.start_soon(mock, GET_ME, lifespan.receive, lifespan.send)
            over.set()
            await to_thread.run_sync(ended.wait)
            lifespan.stopping.set()
    assert statuses == [0]
    assert lifespan.sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Listening on http://127.0.0.1:8765"
    assert said[2] == "Starts anew when a source, persona or fault file changes."


@pytest.mark.anyio
async def test_the_server_hears_of_the_end_only_when_nothing_runs_that_it_could_cancel() -> None:
    mock, lifespan = ReloadedMock(), Lifespan()
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(mock, {"type": "lifespan"}, lifespan.receive, lifespan.send)
            await lifespan.started.wait()
            lifespan.stopping.set()
    started, stopped = lifespan.tasks
    assert stopped == started - 1


@pytest.mark.anyio
async def test_with_a_mistake_it_stands_in_for_the_mock(capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["OXAIGEN_AUTH_MOCK_FAULTS"] = "none.toml"
    mock, lifespan = ReloadedMock(), Lifespan()
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(mock, {"type": "lifespan"}, lifespan.receive, lifespan.send)
            await lifespan.started.wait()
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(mock), base_url="http://mock"
            ) as client:
                response = await client.post("/_oxa_auth/refresh")
            lifespan.stopping.set()
    assert response.status_code == 503
    assert response.json() == {"detail": "none.toml: cannot be read: No such file or directory."}
    assert "none.toml: cannot be read" in capsys.readouterr().err


def test_it_is_over_when_hypercorn_says_so_or_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def __init__(self, **kwargs: object) -> None:
            self._kwargs = kwargs
            self.alive = True

        def is_alive(self) -> bool:
            return self.alive

    told, parent = Event(), Process()
    child = Process(shutdown_event=told)
    assert not ReloadedMock()._is_over()  # noqa: SLF001 - in this process nothing tells it
    monkeypatch.setattr(multiprocessing, "current_process", lambda: child)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    assert not ReloadedMock()._is_over()  # noqa: SLF001
    told.set()
    assert ReloadedMock()._is_over()  # noqa: SLF001
    told.clear()
    parent.alive = False
    assert ReloadedMock()._is_over()  # noqa: SLF001


def test_importing_it_makes_no_mock() -> None:
    assert isinstance(reloading.app, ReloadedMock)
    assert not hasattr(reloading.app, "_calls")


def test_a_port_that_is_given_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "run", Run())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve_reloading(MockSettings(host="localhost", port=port), listen("127.0.0.1", port))
    assert MockSettings.from_env().port == port
    assert create_app().proxy.settings.host == "localhost"
