from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from oxaigen_auth.cli import main
from oxaigen_auth.cli.commands import app
from oxaigen_auth.cli.tokens import TokenError, read_token
from oxaigen_auth_mock import running_mock
from tests.support.apps import serving_elsewhere
from tests.support.fake_proxy import DENIED, DOWN, REVOKED, FakeProxy, profile, refusal
from tests.support.raw_server import answer
from tests.support.tokens import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy()


@pytest.fixture
def url(proxy: FakeProxy) -> Iterator[str]:
    with serving_elsewhere(proxy) as server:
        yield server.url


def run(*arguments: str, stdin: str | None = TOKEN, **variables: str) -> Result:
    result = CliRunner(env=variables).invoke(app, arguments, input=stdin)
    assert TOKEN not in result.output
    return result


def test_whoami_shows_the_user_without_empty_fields(url: str, proxy: FakeProxy) -> None:
    proxy.user = profile(user_name="ada", id=7, team={"name": "a"})
    result = run("whoami", "--url", url)
    assert result.stdout.splitlines() == [
        "is_authenticated: true",
        "id: 7",
        "user_name: ada",
        'extra: {"team": {"name": "a"}}',
    ]
    assert (result.exit_code, result.stderr) == (0, "")


def test_names_from_the_proxy_cannot_control_the_terminal(url: str, proxy: FakeProxy) -> None:
    proxy.user = profile(user_name="\x1b[2Jada\n")
    assert "user_name: \\x1b[2Jada\\n\n" in run("whoami", "--url", url).stdout


def test_whoami_prints_the_whole_user_as_json(url: str) -> None:
    result = run("whoami", "--json", "--url", url)
    assert json.loads(result.stdout)["user_name"] == "ada"
    assert json.loads(result.stdout)["email"] is None


@pytest.mark.parametrize(
    ("proxy", "status", "error"),
    [
        (FakeProxy(user=REVOKED), 1, ("rejected", "Token revoked", "invalid_token")),
        (FakeProxy(user=refusal(403, "Not you")), 1, ("rejected", "Not you", "app_forbidden")),
        (FakeProxy(user=DOWN), 3, ("unavailable", "Auth service unavailable", "error_status")),
        (
            FakeProxy(permission=answer(200)),
            3,
            ("unavailable", "Auth service unavailable", "unusable_answer"),
        ),
    ],
)
def test_check_exits_with_1_for_a_rejection_and_3_for_an_outage(
    url: str, status: int, error: tuple[str, str, str]
) -> None:
    kind, message, reason = error
    result = run("check", "audit", "--url", url)
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr == f"oxaigen-auth: {kind}: {message}\n"
    as_json = run("check", "audit", "--json", "--url", url)
    assert as_json.exit_code == status
    assert json.loads(as_json.stdout) == {"error": kind, "message": message, "reason": reason}


@pytest.mark.parametrize(
    ("proxy", "status", "word"),
    [(FakeProxy(), 0, "granted"), (FakeProxy(permission=DENIED), 1, "denied")],
)
def test_check_says_whether_the_permission_is_granted(url: str, status: int, word: str) -> None:
    result = run("check", "audit", "--url", url)
    assert (result.exit_code, result.stdout) == (status, f"audit: {word}\n")
    as_json = run("check", "audit", "-", "--json", "--url", url)
    assert as_json.exit_code == status
    assert json.loads(as_json.stdout) == {
        "permission": "audit",
        "granted": word == "granted",
        **({"reason": "permission_denied"} if word == "denied" else {}),
    }


def test_a_token_comes_from_the_argument_then_the_variable_then_stdin(
    url: str, proxy: FakeProxy
) -> None:
    arguments = ("whoami", "--url", url)
    variable = {"OXAIGEN_AUTH_TOKEN": "of-the-variable"}
    of_argument = run(*arguments, "of-the-argument", **variable)
    assert "pipe it to stdin, or set OXAIGEN_AUTH_TOKEN" in of_argument.stderr
    assert run(*arguments, **variable).stderr == ""
    assert run(*arguments, "-", stdin=f" {TOKEN}\n", **variable).stderr == ""
    run(*arguments)
    tokens = [call.token for call in proxy.calls]
    assert tokens == ["of-the-argument", "of-the-variable", TOKEN, TOKEN]


@pytest.mark.parametrize(
    ("stdin", "arguments", "expected"),
    [
        ("", [], "stdin is empty: pipe the token to it, or set OXAIGEN_AUTH_TOKEN."),
        ("", ["-"], "stdin is empty"),
        ("a b", [], "stdin holds no bearer token: expected visible ASCII"),
        ("x" * 9000, [], "stdin holds no bearer token"),
        ("é", [], "stdin holds no bearer token"),
        ("", ["a b"], "The argument TOKEN holds no bearer token"),
        ("Bearer abc", [], "stdin holds more than a token: leave out 'Bearer'."),
    ],
)
def test_a_missing_or_malformed_token_is_wrong_usage(
    url: str, proxy: FakeProxy, stdin: str, arguments: list[str], expected: str
) -> None:
    result = run("whoami", "--url", url, *arguments, stdin=stdin)
    assert (result.exit_code, result.stdout, proxy.calls) == (2, "", [])
    assert expected in result.stderr


def test_a_malformed_variable_is_named(url: str) -> None:
    result = run("whoami", "--url", url, OXAIGEN_AUTH_TOKEN="a b")
    assert "The variable OXAIGEN_AUTH_TOKEN holds no bearer token" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        (["whoami"], {}, "The URL of the auth proxy is unknown"),
        (["whoami", "--url", "x"], {}, "the proxy's URL is invalid"),
        (["whoami"], {"OXAIGEN_AUTH_BREAKER": "maybe"}, "OXAIGEN_AUTH_BREAKER is 'maybe'"),
        (["check", "a/b", "--url", "http://x"], {}, "is not a permission name"),
        (["check"], {}, "Missing argument"),
        (["doctor", "ftp://x"], {}, "the proxy's URL is invalid"),
        (["other"], {}, "No such command"),
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], variables: dict[str, str], expected: str
) -> None:
    result = run(*arguments, **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--url", "x"], {"error", "message"}), ([], {"error", "message", "reason"})],
)
def test_wrong_usage_is_json_too(arguments: list[str], expected: set[str]) -> None:
    result = run("whoami", "--json", *arguments)
    assert json.loads(result.stdout).keys() == expected
    assert json.loads(result.stdout)["error"] == "usage"
    assert result.exit_code == 2


def test_doctor_prints_the_settings_their_sources_and_the_findings() -> None:
    with running_mock() as mock:
        result = run(
            "doctor",
            mock.url,
            OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS="60",
            OXAIGEN_AUTH_ALLOWED_HOSTS="a.example,b.example",
        )
        as_json = run("doctor", mock.url, "--json")
    lines = result.stdout.splitlines()
    assert "  proxy_timeout_seconds        60  (OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS)" in lines
    assert "a.example, b.example  (OXAIGEN_AUTH_ALLOWED_HOSTS)" in result.stdout
    assert "  trusted_origins              unset  (default)" in lines
    assert "  warn  a mock answers" in lines
    assert "        → Never use it in production." in lines
    assert lines[-1] == "Result: warn"
    assert "  dev_mode                     false  (default)" in lines
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    document = json.loads(as_json.stdout)
    assert (document["version"], document["status"]) == (1, "warn")
    assert document["target"] == mock.url
    assert {"name": "breaker", "value": True, "source": "default"} in document["settings"]


def test_doctor_exits_with_1_if_a_check_fails() -> None:
    result = run("doctor", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "127.0.0.1 port 9: the call failed with ConnectionRefusedError" in result.stdout
    assert result.stdout.endswith("Result: fail\n")


def test_mock_and_load_pass_their_arguments_and_statuses_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for tool in ("mock", "load"):
        result = run(tool, "--help")
        assert result.exit_code == 0
        assert f"usage: oxaigen-auth-{tool}" in result.stdout
    assert run("load", "steady", "--rate", "x").exit_code == 2
    assert run("mock", "--port=70000").exit_code == 2
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(("missing", "status"), [("", 0), ("typer", 2)])
def test_main_exits_with_2_without_its_extra(
    missing: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("oxaigen_auth.cli.find_spec", lambda name: name != missing or None)
    monkeypatch.setattr("sys.argv", ["oxaigen-auth", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == status
    assert ('pip install "oxaigen-auth[cli]"' in capsys.readouterr().err) is bool(missing)


def test_without_stdin_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    for argument in (None, "-"):
        with pytest.raises(TokenError, match="There is no token"):
            read_token(argument)
