import errno
import importlib
import multiprocessing
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from oxaigen_auth_mock.cli import main as cli
from oxaigen_auth_mock.cli.console import print_errors, print_warning
from oxaigen_auth_mock.cli.flags import read_settings
from oxaigen_auth_mock.cli.main import main, serve_reloaded
from oxaigen_auth_mock.config.environment import variable_name
from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.server import reload
from oxaigen_auth_mock.server.reload import Reloader
from oxaigen_auth_mock.server.sockets import base_url, listen
from oxaigen_auth_mock.server.tls import temporary_certificate
from tests.support.processes import TIMEOUT, started
from tests.unit.oxaigen_auth_mock.conftest import needs_ipv6

THREE = ("http://a", "http://b", "http://c")
DEV = {"Authorization": "Bearer mock-dev-token"}

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
every_signal = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@pytest.fixture(autouse=True)
def unset_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in MockSettings.model_fields:
        monkeypatch.delenv(variable_name(setting), raising=False)


def run_and_visit(
    arguments: list[str],
    visit: Callable[[str], Any],
    *,
    signum: int = signal.SIGINT,
    run: Callable[[list[str]], Any] = main,
) -> tuple[Any, Any, str]:
    """Run main here, visit it from a thread, and send the signal when the visit is over.

    Signals reach only a main thread, so it is the visitor that has to be in another one.
    Gives main's status, what the visit gave, and what main wrote below its first line and the one
    about the control page.
    """

    def visit_and_signal(output: IO[str]) -> Any:
        listening = output.readline()
        try:
            url = listening.removeprefix("Listening on ").rstrip()
            assert output.readline() == f"Control page: {url}/_mock/\n"
            return visit(url)
        finally:
            if listening:
                os.kill(os.getpid(), signum)

    reading, writing = os.pipe()
    with os.fdopen(reading) as output, ThreadPoolExecutor() as pool:
        with os.fdopen(writing, "w") as stdout, redirect_stdout(stdout):
            visitor = pool.submit(visit_and_signal, output)
            status = run(arguments)
        return status, visitor.result(), output.read()


@every_backend
@every_signal
def test_it_serves_until_a_signal(backend: str, signum: int) -> None:
    def user_name(url: str) -> Any:
        return httpx.get(f"{url}/_oxa_auth/get-me", headers=DEV).json()["user_name"]

    arguments = ["--port", "0", "--backend", backend]
    status, name, _ = run_and_visit(arguments, user_name, signum=signum)
    assert (status, name) == (0, "devuser")


def test_the_banner_lists_the_personas(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_without_a_forbidden_token_the_banner_lists_no_such_persona() -> None:
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


def test_without_flags_the_variables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen() as listener:
        port = str(listener.getsockname()[1])
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", port)
    status, url, _ = run_and_visit([], str)
    assert (status, url) == (0, f"http://127.0.0.1:{port}")


def test_pitfall_59_what_is_wrong_with_variables_is_warned_of_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", "tcp://10.0.0.1:8765")
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PERMISSION", "audit")
    assert read_settings(["--latency", "1"], warn=print_warning).port == 8765
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[:3] for line in lines] == [
        ["oxaigen-auth-mock:", "warning:", "OXAIGEN_AUTH_MOCK_PERMISSION"],
        ["oxaigen-auth-mock:", "warning:", "OXAIGEN_AUTH_MOCK_PORT"],
    ]
    status, _, _ = run_and_visit(["--port", "0"], str)
    (line,) = capsys.readouterr().err.splitlines()  # a flag hides its variable
    assert status == 0
    assert line.endswith("is unknown and ignored; did you mean OXAIGEN_AUTH_MOCK_PERMISSIONS?")


@every_backend
@needs_ipv6
def test_pitfall_59_a_name_is_served_at_all_its_addresses(backend: str) -> None:
    command = ["oxaigen_auth_mock", "--host", "localhost", "--port", "0", "--backend", backend]
    with started(sys.executable, "-m", *command) as process:
        output = iter(process.stdout or ())
        one, other, page = (next(output).rstrip() for _ in range(3))
        port = one.rpartition(":")[2]
        assert one == f"Listening on http://127.0.0.1:{port}"
        assert other == f"Listening on http://[::1]:{port}"
        assert page == f"Control page: http://127.0.0.1:{port}/_mock/"
        for line in (one, other):
            url = line.removeprefix("Listening on ")
            assert httpx.get(f"{url}/_oxa_auth/get-me", headers=DEV).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=TIMEOUT) == 0


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
    assert main(["--host", host, "--port", "0", "--allow-remote"]) == 1
    message = capsys.readouterr().err
    assert re.fullmatch(f"oxaigen-auth-mock: cannot listen on {host}:0: .+\n", message)


def test_a_port_that_is_not_allowed_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_allowed(_host: str, _port: int, **_: bool) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cli, "listen_on_all", not_allowed)  # root may use any port
    assert main(["--host", "::1", "--port", "80"]) == 1
    message = capsys.readouterr().err
    assert message == "oxaigen-auth-mock: cannot listen on [::1]:80: Permission denied\n"


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("0.0.0.0", "other machines could reach 0.0.0.0:0 (0.0.0.0 "),  # noqa: S104
        ("::", "other machines could reach [::]:0 (:: "),
        ("192.0.2.1", "other machines could reach 192.0.2.1:0 (192.0.2.1 "),
    ],
)
def test_an_address_that_other_machines_can_reach_must_be_allowed(
    capsys: pytest.CaptureFixture[str], host: str, where: str
) -> None:
    assert main(["--host", host, "--port", "0"]) == 2
    assert capsys.readouterr().err == (
        f"oxaigen-auth-mock: {where}is no loopback address); "
        "pass --allow-remote or set OXAIGEN_AUTH_MOCK_ALLOW_REMOTE=1 to allow this\n"
    )


def test_with_allow_remote_it_listens_for_other_machines_and_warns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answer(url: str) -> int:
        assert url.startswith("http://127.0.0.1:")  # which can be called, unlike 0.0.0.0
        return httpx.get(f"{url}/health").status_code

    flags = ["--host", "0.0.0.0", "--port", "0", "--allow-remote", "--backend", "trio"]  # noqa: S104
    status, answered, _ = run_and_visit(flags, answer)
    assert (status, answered) == (0, 200)
    assert capsys.readouterr().err.startswith("oxaigen-auth-mock: warning: --allow-remote accepts ")


def test_a_flag_can_switch_off_what_a_variable_switches_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ALLOW_REMOTE", "RELOAD", "STRICT", "PICK"):
        monkeypatch.setenv(f"OXAIGEN_AUTH_MOCK_{name}", "1")
    arguments = ["--port", "0", "--no-allow-remote", "--no-reload", "--no-strict", "--no-pick"]
    status, _, said = run_and_visit(arguments, str)
    assert (status, capsys.readouterr().err) == (0, "")
    assert said.startswith("  PERSONA ")


@pytest.mark.parametrize(
    ("arguments", "setting", "value"),
    [
        (["--origins", "http://a", "https://b:1"], "cors_origins", ("http://a", "https://b:1")),
        (["--origins", "http://a, http://b", "http://c"], "cors_origins", THREE),
        (["--origins", "http://a", "--origins", "http://b,http://c"], "cors_origins", THREE),
        (["--origins", "*"], "cors_origins", ("*",)),
        (["--pick"], "pick", True),
        (["--strict"], "strict", True),
        (["--reload"], "reload", True),
        (["--no-reload"], "reload", False),
        (["--allow-remote"], "allow_remote", True),
        (["--personas", "p.toml"], "personas", "p.toml"),
        (["--faults", "f.json"], "faults", "f.json"),
        (["--scenario", "s.toml"], "scenario", "s.toml"),
        (["--backend", "trio"], "backend", "trio"),
        (["--latency", "0.5"], "latency", 0.5),
        (["--tls"], "tls", True),
        (["--cookie-suffix", "one"], "cookie_suffix", "one"),
    ],
)
def test_a_flag_becomes_its_setting(arguments: list[str], setting: str, value: object) -> None:
    expected = MockSettings().model_copy(update={setting: value})
    assert read_settings(arguments) == expected


def test_the_banner_notes_strict_mode_and_faults(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text('[[faults]]\nkind = "hang"\npersona = "admin"\n')
    two.write_text(one.read_text() * 2)
    _, _, said = run_and_visit(["--port", "0", "--strict", "--faults", str(one)], str)
    assert said.startswith(
        "Strict: tokens expire, and codes work once.\n1 fault in place.\n  PERSONA"
    )
    _, _, said = run_and_visit(["--port", "0", "--faults", str(two)], str)
    assert said.startswith("2 faults in place.\n  PERSONA")


def cookies_of_sign_in(url: str, *, verify: Any = True) -> dict[str, str]:
    """Sign in as a browser does, and return the cookies."""
    with httpx.Client(base_url=url, verify=verify) as client:
        authorize_url = client.get("/_oxa_auth/login").json()["authorize_url"]
        callback = client.get(authorize_url).next_request
        assert callback is not None
        grant = {name: callback.url.params[name] for name in ("code", "state")}
        return dict(client.post("/_oxa_auth/token-exchange", json=grant).cookies)


@pytest.mark.parametrize("name", ["main", "serve"])
def test_the_cookies_carry_the_port_that_was_picked(
    request: pytest.FixtureRequest, name: str
) -> None:
    """The checks run later, because coverage stops with the event loop of the mock."""
    results: list[tuple[Any, Any, str]] = []

    def visit(url: str) -> tuple[str, list[str]]:
        return url.rpartition(":")[2], list(cookies_of_sign_in(url))

    def check() -> None:
        ((_, (port, names), said),) = results
        name = f"OxaigenPlatformAuthAccessToken-{port}"
        assert names == [name, f"OxaigenPlatformAuthRefreshToken-{port}"]
        variable = f"OXAIGEN_AUTH_ACCESS_TOKEN_COOKIE_NAME={name}"
        assert said.startswith(f"Cookie: {name}; set {variable} for the app.\n")

    request.addfinalizer(check)
    arguments = ["--port", "0", "--cookie-suffix", "auto"]
    run: Callable[[list[str]], Any] = main if name == "main" else serve
    results.append(run_and_visit(arguments, visit, run=run))


def test_a_host_that_no_certificate_can_contain_is_one_clear_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--tls", "--host", "a_b.c", "--port", "0"]) == 2
    message = capsys.readouterr().err
    assert re.fullmatch(
        "oxaigen-auth-mock: --tls cannot make a certificate for the host 'a_b.c': .+\n", message
    )


def test_the_banner_names_the_scenario() -> None:
    _, _, said = run_and_visit(["--port", "0", "--scenario", "slow-database"], str)
    assert said.startswith("Plays the scenario slow-database.\n  PERSONA")


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", "--scenario", "slow-databse"]) == 2
    assert capsys.readouterr().err == (
        "oxaigen-auth-mock: OXAIGEN_AUTH_MOCK_SCENARIO: no scenario is called 'slow-databse'; "
        "expected a file that ends in .toml or .json, or one of rolling-restart, revoked-user, "
        "expired-session, flapping-proxy, slow-database; did you mean 'slow-database'?\n"
    )


def serve(arguments: list[str]) -> None:
    """Serve as the process of a reloader does."""
    with listen() as listener, ExitStack() as stack:
        certificate = (
            stack.enter_context(temporary_certificate("localhost"))
            if "--tls" in arguments
            else None
        )
        serve_reloaded(arguments, [listener], certificate)


@every_backend
@pytest.mark.parametrize("run", [main, serve])
def test_with_tls_the_banner_says_whom_to_trust(backend: str, run: Any) -> None:
    def visit(url: str) -> dict[str, str]:
        assert url.startswith("https://")
        return cookies_of_sign_in(url, verify=False)

    status, cookies, said = run_and_visit(
        ["--port", "0", "--tls", "--backend", backend], visit, run=run
    )
    first, second, *_ = said.splitlines()
    ca_file = first.removeprefix("CA certificate: ").removesuffix(" (deleted at exit)")
    assert second == f"Trust it: set SSL_CERT_FILE={ca_file} for the app; curl --cacert {ca_file}"
    assert not Path(ca_file).exists()
    assert (status or 0, len(cookies)) == (0, 2)


def test_a_reloaded_process_serves_with_its_arguments_and_repeats_no_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PERMISSION", "audit")

    def user_name(url: str) -> Any:
        return httpx.get(f"{url}/_oxa_auth/get-me", headers=DEV).json()["user_name"]

    _, name, said = run_and_visit(["--reload", "--backend", "trio"], user_name, run=serve)
    assert name == "devuser"
    assert said.startswith("Restarts when a source, persona, fault or scenario file changes.\n")
    assert capsys.readouterr().err == ""


def test_a_reloaded_process_answers_with_503_while_a_file_has_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def visit(url: str) -> httpx.Response:
        try:
            return httpx.get(f"{url}/health", timeout=TIMEOUT)  # waits until it is accepted
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with listen() as listener, ThreadPoolExecutor() as pool:
        visitor = pool.submit(visit, base_url(listener))
        serve_reloaded(["--backend", "trio", "--faults", "none.toml"], [listener])
        response = visitor.result()
    problem = "none.toml: cannot be read: No such file or directory"
    assert (response.status_code, response.json()) == (503, {"detail": problem})
    assert capsys.readouterr().err.splitlines() == [
        f"oxaigen-auth-mock: {problem}",
        "oxaigen-auth-mock: all calls are answered with 503 until the files are fixed",
    ]


@every_backend
def test_a_spawned_process_stops_when_its_parent_has_ended(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    ended, parent = socket.socketpair()

    class Parent:
        sentinel = ended.fileno()

    monkeypatch.setattr(multiprocessing, "parent_process", Parent)
    with ended, listen() as listener, ThreadPoolExecutor() as pool:
        url = base_url(listener)

        def visit() -> int:
            with parent:
                return httpx.get(f"{url}/health", timeout=TIMEOUT).status_code

        visitor = pool.submit(visit)
        serve_reloaded(["--backend", backend], [listener])
    assert visitor.result() == 200


def test_reload_hands_the_arguments_sockets_and_files_to_a_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    people, scenario = tmp_path / "people.json", tmp_path / "scenario.json"
    people.write_text('{"personas": []}')
    scenario.write_text('{"steps": [{"at": 1, "revoke_token": "t"}]}')
    made: list[tuple[Any, Any, Any]] = []

    class Recorded(Reloader):
        def run(self) -> None:
            arguments, (listener,), certificate = self._arguments
            assert certificate is None
            made.append((arguments, self.files, listener.fileno()))
            assert self._function is serve_reloaded

    monkeypatch.setattr(reload, "Reloader", Recorded)  # so that no process is started
    arguments = ["--reload", "--port", "0", "--personas", str(people), "--scenario"]
    assert main([*arguments, "slow-database"]) == main([*arguments, str(scenario)]) == 0
    (_, ready, _), (given, files, descriptor) = made
    assert (given, files) == ([*arguments, str(scenario)], [str(people), str(scenario)])
    assert ready == [str(people)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize(("extra", "module"), [("reload", "watchfiles"), ("tls", "trustme")])
def test_without_its_extra_a_flag_prints_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], extra: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main([f"--{extra}", "--port", "0"]) == 2
    assert capsys.readouterr().err == (
        f'oxaigen-auth-mock: --{extra} needs {module}: pip install "oxaigen-auth[{extra}]"\n'
    )


def test_every_bad_flag_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--port", "x", "--latency", "-1"])
    assert capsys.readouterr().err.splitlines()[-2:] == [
        (
            "oxaigen-auth-mock: error: --port is 'x'; "
            "expected an integer from 0 to 65535; 0 picks a free port"
        ),
        "oxaigen-auth-mock: error: --latency is '-1'; expected a number of seconds >= 0",
    ]


def test_every_mistake_in_a_file_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people, faults = tmp_path / "people.toml", tmp_path / "none.toml"
    people.write_text('[[personas]]\nid = 0\n[[personas]]\nname = "x"\nstat = "ok"')
    assert main(["--personas", str(people), "--faults", str(faults)]) == 2
    captured = capsys.readouterr()
    prefix = f"oxaigen-auth-mock: {people}: personas"
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert [line.removeprefix(prefix).partition(" ")[0] for line in lines[:3]] == [
        "[0].name",
        "[0].id",
        "[1].stat",
    ]
    assert lines[3:] == [f"oxaigen-auth-mock: {faults}: cannot be read: No such file or directory"]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_name_that_the_terminal_cannot_show_is_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stderr", TextIOWrapper(written, encoding))
    print_errors("no persona is called 'Zoë'")
    shown = "Zo\\xeb" if encoding == "ascii" else "Zoë"
    assert (
        written.getvalue().decode(encoding)
        == f"oxaigen-auth-mock: no persona is called '{shown}'\n"
    )


def test_bad_variables_are_a_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", "x")
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_USER_ID", "y")
    assert main([]) == 2
    port, user_id = capsys.readouterr().err.splitlines()
    assert port.startswith("oxaigen-auth-mock: OXAIGEN_AUTH_MOCK_PORT is 'x'; expected")
    assert user_id.startswith("oxaigen-auth-mock: OXAIGEN_AUTH_MOCK_USER_ID is 'y'; expected")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "65536"],
        ["--port", "tcp://10.0.0.1:8765"],
        ["--latency", "-1"],
        ["--host", ""],
        ["--backend", "curio"],
        ["--origins", "http://a/b"],
        ["--origins"],
        ["--personas", " "],
        ["--pick=1"],
        ["--strict", "1"],
        ["--what"],
    ],
)
def test_a_bad_flag_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[-1].partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "arguments"),
    [
        ("--port", ["--port", "1", "--port=2"]),
        ("--personas", ["--personas", "a.toml", "--pick", "--personas", "b.toml"]),
    ],
)
def test_a_flag_that_is_given_twice_is_refused(
    capsys: pytest.CaptureFixture[str], flag: str, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert f"error: {flag} is given more than once" in capsys.readouterr().err


def test_help_names_every_variable_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(variable_name(setting) in shown for setting in MockSettings.model_fields)
    assert re.search("OXAIGEN_AUTH_MOCK_PERMISSIONS .*default: audit", shown)
    assert re.search("OXAIGEN_AUTH_MOCK_FORBIDDEN_TOKEN .*default: none", shown)
    assert re.search("OXAIGEN_AUTH_MOCK_ROLE_NAMES .*default: none", shown)
    assert re.search("OXAIGEN_AUTH_MOCK_PICK .*default: off", shown)


def test_help_shows_an_example_in_two_terminals_and_the_control_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "$ oxaigen-auth-mock --pick\n  $ OXAIGEN_AUTH_DEV_MODE=1 hypercorn" in shown
    assert "http://127.0.0.1:8765/_mock/" in shown
    groups = re.findall("^(\\w+):$", shown, re.MULTILINE)
    assert groups == ["options", "network", "behavior", "process"]


def test_python_dash_m_is_the_same_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["oxaigen_auth_mock", "--help"])
    with pytest.raises(SystemExit) as caught:
        importlib.import_module("oxaigen_auth_mock.__main__")
    assert caught.value.code == 0
    assert "usage: oxaigen-auth-mock" in capsys.readouterr().out


@every_backend
@every_signal
def test_the_process_stops_silently_while_connections_are_open(backend: str, signum: int) -> None:
    command = [sys.executable, "-m", "oxaigen_auth_mock", "--port", "0", "--backend", backend]
    with started(*command) as process:
        url = next(iter(process.stdout or ())).removeprefix("Listening on ").rstrip()
        with httpx.Client(base_url=url, timeout=TIMEOUT) as client:
            assert client.get("/_oxa_auth/get-me", headers=DEV).status_code == 200
            process.send_signal(signum)
            status = process.wait(timeout=TIMEOUT)
        assert (status, process.stderr and process.stderr.read()) == (0, "")
