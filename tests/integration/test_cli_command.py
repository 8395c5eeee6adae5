"""The command `oxaigen-auth` as a process."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from oxaigen_auth_mock import running_mock
from tests.support.apps import serving_elsewhere
from tests.support.fake_proxy import FakeProxy
from tests.support.processes import started
from tests.support.tokens import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 60.0  # seconds: more than any of the processes takes, however busy the machine
COMMAND = str(Path(sys.executable).with_name("oxaigen-auth"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_mock() as mock:
        yield mock.url


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (our own code)
        [COMMAND, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        **options,
    )


def test_a_token_is_piped_and_its_user_and_permissions_are_shown(url: str) -> None:
    token = "mock-dev-token\n"
    assert "user_name: devuser" in run("whoami", "--url", url, input=token).stdout
    audit = run("check", "audit", "--url", url, input=token)
    assert (audit.returncode, audit.stdout, audit.stderr) == (0, "audit: granted\n", "")
    assert run("check", "other", "--url", url, input=token).returncode == 1
    assert run("check", "audit", "--url", url, input="junk").returncode == 1


def test_a_refused_connection_exits_with_3_and_the_reason() -> None:
    refused = run("check", "audit", "--url", "http://127.0.0.1:9", input=TOKEN)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "the connection was refused" in refused.stderr
    assert TOKEN not in refused.stderr


def test_a_closed_stdin_is_wrong_usage(url: str) -> None:
    closed = run("whoami", "--url", url, preexec_fn=lambda: os.close(0))
    assert closed.returncode == 2
    assert closed.stderr.startswith("oxaigen-auth: usage: There is no token: pipe it to stdin")


def test_a_terminal_as_stdin_is_not_read(url: str) -> None:
    leader, terminal = pty.openpty()
    with os.fdopen(leader), os.fdopen(terminal) as stdin:
        assert run("whoami", "--url", url, stdin=stdin).returncode == 2


def test_ctrl_c_exits_with_130() -> None:
    proxy = FakeProxy(delay=TIMEOUT)
    with_token = {**os.environ, "OXAIGEN_AUTH_TOKEN": TOKEN}
    with (
        serving_elsewhere(proxy) as server,
        started(COMMAND, "check", "audit", "--url", server.url, env=with_token) as process,
    ):
        deadline = time.monotonic() + TIMEOUT
        while not proxy.calls:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(TIMEOUT) == 130


def test_doctor_is_plain_in_a_pipe_and_in_colour_in_a_terminal_unless_no_color_is_set(
    url: str,
) -> None:
    assert "\x1b" not in run("doctor", url).stdout
    terminal = {**os.environ, "TERM": "xterm-256color"}
    terminal.pop("NO_COLOR", None)
    assert "\x1b[33m" in _in_terminal("doctor", url, env=terminal)
    assert "\x1b[33m" not in _in_terminal("doctor", url, env={**terminal, "NO_COLOR": "1"})


def _in_terminal(*arguments: str, env: dict[str, str]) -> str:
    leader, terminal = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0) as output:
        with os.fdopen(terminal, "wb") as stdout:
            subprocess.run([COMMAND, *arguments], check=True, stdout=stdout, env=env)  # noqa: S603
        text = b""
        while b"Result" not in text:
            text += output.read(65536)
        return text.decode()


def test_mock_serves_until_it_is_interrupted() -> None:
    with started(COMMAND, "mock", "--port", "0") as process:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("Listening on ").strip()
        assert httpx.get(f"{address}/health").status_code == 200
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize(
    ("missing", "arguments", "expected"),
    [
        ("typer", [], 'oxaigen-auth needs an extra: pip install "oxaigen-auth[cli]"\n'),
        ("rich", ["doctor"], 'oxaigen-auth needs an extra: pip install "oxaigen-auth[cli]"\n'),
        ("hdrh", ["load"], 'oxaigen-auth-load needs an extra: pip install "oxaigen-auth[load]"\n'),
    ],
)
def test_a_missing_extra_is_named_in_one_line(
    missing: str, arguments: list[str], expected: str
) -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name: None if name == {missing!r} else find(name)\n"
        "from oxaigen_auth.cli import main\n"
        f"sys.argv = ['oxaigen-auth', *{arguments!r}]\n"
        "main()"
    )
    result = subprocess.run(  # noqa: S603 (our own code)
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert (result.returncode, result.stderr, result.stdout) == (2, expected, "")


def test_completion_knows_the_commands() -> None:
    variables = {"COMP_WORDS": "oxaigen-auth ", "COMP_CWORD": "1"}
    completed = run(env={**os.environ, **variables, "_OXAIGEN_AUTH_COMPLETE": "complete_bash"})
    assert set(completed.stdout.split()) == {"doctor", "whoami", "check", "mock", "load"}


def test_neither_the_mock_nor_the_load_tool_is_imported_before_its_command() -> None:
    code = (
        "import sys, oxaigen_auth.cli.commands\n"
        "print(*{'oxaigen_auth_mock', 'oxaigen_auth_load'} & set(sys.modules))"
    )
    result = subprocess.run(  # noqa: S603 (our own code)
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert result.stdout == "\n"
