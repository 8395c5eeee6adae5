import errno
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from typing import IO, Any

import httpx
import pytest

from oxaigen_auth_mock import cli
from oxaigen_auth_mock.cli import main
from oxaigen_auth_mock.serving import listen
from oxaigen_auth_mock.settings import variables

DEV = {"Authorization": "Bearer mock-dev-token"}

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
every_signal = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def unset_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in variables():
        monkeypatch.delenv(variable.name, raising=False)


def run_and_visit(
    arguments: list[str], visit: Callable[[str], Any], *, signum: int = signal.SIGINT
) -> tuple[int, Any, str]:
    """Run main here, visit it from a thread, and send the signal when the visit is over.

    Signals reach only a main thread, so it is the visitor that has to be in another one.
    Gives main's status, what the visit gave, and what main wrote below its first line.
    """

    def visit_and_signal(output: IO[str]) -> Any:
        listening = output.readline()
        try:
            return visit(listening.removeprefix("Listening on ").rstrip())
        finally:
            if listening:
                os.kill(os.getpid(), signum)

    reading, writing = os.pipe()
    with os.fdopen(reading) as output, ThreadPoolExecutor() as pool:
        with os.fdopen(writing, "w") as stdout, redirect_stdout(stdout):
            visitor = pool.submit(visit_and_signal, output)
            status = main(arguments)
        return status, visitor.result(), output.read()


@every_backend
@every_signal
def test_it_serves_until_a_signal(backend: str, signum: int) -> None:
    def user_name(url: str) -> Any:
        return httpx.get(f"{url}/_oxa_auth/get-me", headers=DEV).json()["user_name"]

    arguments = ["--port", "0", "--backend", backend]
    status, name, _ = run_and_visit(arguments, user_name, signum=signum)
    assert (status, name) == (0, "devuser")


def test_it_lists_whom_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_FORBIDDEN_TOKEN", "mock-user-token")
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PERMISSIONS", ",")
    _, _, listed = run_and_visit(["--port", "0"], str)
    assert listed == (
        "  PERSONA    TOKEN             STATE        PERMISSIONS\n"
        "  forbidden  mock-user-token   not-allowed  none\n"
        "  devuser    mock-dev-token    ok           none\n"
        "  guest      mock-guest-token  ok           workspaceBasicAccess\n"
        "  user       mock-user-token   ok           workspaceBasicAccess,"
        " workspaceDataSourceIntegration\n"
        "  admin      mock-admin-token  ok           workspaceBasicAccess,"
        " workspaceDataSourceIntegration, workspaceOwnership\n"
    )


def test_without_a_forbidden_token_it_lists_none() -> None:
    _, _, listed = run_and_visit(["--port", "0"], str)
    assert "mock-user-token" in listed
    assert "forbidden" not in listed


def test_a_flag_wins_over_its_variable_even_over_a_bad_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", "nonsense")
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_HOST", "no.such.host.invalid")
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_LATENCY", "3600")

    def answer(url: str) -> int:
        return httpx.get(f"{url}/_oxa_auth/get-me", headers=DEV).status_code

    flags = ["--host", "127.0.0.1", "--port", "0", "--latency", "0", "--backend", "trio"]
    status, answered, _ = run_and_visit(flags, answer)
    assert (status, answered) == (0, 200)


def test_without_flags_the_variables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen() as listener:
        port = str(listener.getsockname()[1])
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", port)
    status, url, _ = run_and_visit([], str)
    assert (status, url) == (0, f"http://127.0.0.1:{port}")


def test_a_port_that_is_taken_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with listen() as listener:
        port = listener.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"oxaigen-auth-mock: 127.0.0.1:{port} is already in use; "
        "choose another with --port or OXAIGEN_AUTH_MOCK_PORT\n"
    )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "192.0.2.1"])
def test_a_host_that_cannot_be_listened_on_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], host: str
) -> None:
    assert main(["--host", host, "--port", "0"]) == 1
    message = capsys.readouterr().err
    assert re.fullmatch(f"oxaigen-auth-mock: cannot listen on {host}:0: .+\n", message)


def test_a_port_that_is_not_allowed_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_allowed(_host: str, _port: int) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cli, "listen", not_allowed)
    assert main(["--host", "::1", "--port", "80"]) == 1
    message = capsys.readouterr().err
    assert message == "oxaigen-auth-mock: cannot listen on [::1]:80: Permission denied\n"


def test_bad_variables_are_a_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", "x")
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_USER_ID", "y")
    assert main([]) == 2
    port, user_id = capsys.readouterr().err.splitlines()
    assert port.startswith("oxaigen-auth-mock: OXAIGEN_AUTH_MOCK_PORT holds 'x', but")
    assert user_id.startswith("oxaigen-auth-mock: OXAIGEN_AUTH_MOCK_USER_ID holds 'y', but")


@pytest.mark.parametrize(
    "arguments",
    [["--port", "65536"], ["--latency", "-1"], ["--host", ""], ["--backend", "curio"], ["--what"]],
)
def test_a_bad_flag_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_names_every_variable_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(variable.name in shown for variable in variables())
    assert re.search("OXAIGEN_AUTH_MOCK_PERMISSIONS .*default: audit", shown)
    assert re.search("OXAIGEN_AUTH_MOCK_FORBIDDEN_TOKEN .*default: none", shown)
    assert re.search("OXAIGEN_AUTH_MOCK_ROLE_NAMES .*default: none", shown)


def test_python_dash_m_is_the_same_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["oxaigen_auth_mock", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("oxaigen_auth_mock", run_name="__main__")
    assert caught.value.code == 0
    assert "usage: oxaigen-auth-mock" in capsys.readouterr().out


@every_backend
@every_signal
def test_as_a_process_it_stops_clean_and_silent_though_connections_are_open(
    backend: str, signum: int
) -> None:
    command = [sys.executable, "-m", "oxaigen_auth_mock", "--port", "0", "--backend", backend]
    with subprocess.Popen(  # noqa: S603 - the interpreter that runs this test
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            url = next(iter(process.stdout or ())).removeprefix("Listening on ").rstrip()
            with httpx.Client(base_url=url) as client:
                assert client.get("/_oxa_auth/get-me", headers=DEV).status_code == 200
                process.send_signal(signum)
                status = process.wait(timeout=10)
        finally:
            process.kill()
        assert (status, process.stderr and process.stderr.read()) == (0, "")
