import os
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from oxaigen_auth_mock import MockConfigurationError, MockSettings, create_app
from oxaigen_auth_mock.config.environment import PREFIX, variable_name
from oxaigen_auth_mock.config.validation_errors import format_value

READ = [
    ("HOST", "::1", "host", "::1"),
    ("PORT", "0", "port", 0),
    ("PORT", "65535", "port", 65535),
    ("LATENCY", "0.25", "latency", 0.25),
    ("TOKENS", "one, two,,three ", "tokens", ("one", "two", "three")),
    ("TOKENS", ",", "tokens", ()),
    ("TOKENS", "x" * 5000, "tokens", ("x" * 5000,)),
    ("FORBIDDEN_TOKEN", "keep-out", "forbidden_token", "keep-out"),
    ("ACCESS_TOKEN_VALUE", "mine", "access_token_value", "mine"),
    ("ACCESS_COOKIE_NAME", "crumb", "access_cookie_name", "crumb"),
    ("TLS", "1", "tls", True),
    ("COOKIE_SUFFIX", "auto", "cookie_suffix", "auto"),
    ("REFRESH_TOKEN_VALUE", "again", "refresh_token_value", "again"),
    ("REFRESH_COOKIE_NAME", "crumb", "refresh_cookie_name", "crumb"),
    ("EXPIRES_IN", "60", "expires_in", 60),
    ("REFRESH_EXPIRES_IN", "90", "refresh_expires_in", 90),
    ("RETURN_TO", "/home?a=b", "return_to", "/home?a=b"),
    ("AUTHORIZE_PATH", "/idp", "authorize_path", "/idp"),
    ("AUTH_CODE", "code", "auth_code", "code"),
    ("LOGIN_AUTHORIZE_URL", "https://idp/x", "login_authorize_url", "https://idp/x"),
    ("ALLOW_REMOTE", "1", "allow_remote", True),
    ("BACKEND", "trio", "backend", "trio"),
    ("RELOAD", "Yes", "reload", True),
    ("RELOAD", "off", "reload", False),
    ("CORS_ORIGINS", "*", "cors_origins", ("*",)),
    (
        "CORS_ORIGINS",
        "http://[::1]:1,https://a.b",
        "cors_origins",
        ("http://[::1]:1", "https://a.b"),
    ),
    ("STRICT", "true", "strict", True),
    ("PERSONAS", "people.toml", "personas", "people.toml"),
    ("FAULTS", "faults.json", "faults", "faults.json"),
    ("SCENARIO", "flapping-proxy", "scenario", "flapping-proxy"),
    ("PICK", "on", "pick", True),
    ("AUTO_LOGIN", "ada", "auto_login", "ada"),
    ("EMAIL", "zoë@example.com", "email", "zoë@example.com"),
    ("USER_NAME", "zoe", "user_name", "zoe"),
    ("FIRST_NAME", "Zoë", "first_name", "Zoë"),
    ("LAST_NAME", "van der Berg", "last_name", "van der Berg"),
    ("USER_ID", "2147483647", "user_id", 2147483647),
    ("ACCOUNT_TYPE", "external", "account_type", "external"),
    ("WORKSPACE_ID", "w-1", "workspace_id", "w-1"),
    ("WORKSPACE_NAME", "Lab", "workspace_name", "Lab"),
    ("ROLE_NAMES", "owner,data steward", "role_names", ("owner", "data steward")),
    ("PERMISSIONS", "Audit,work_space-1", "permissions", ("Audit", "work_space-1")),
    ("PERMISSIONS", ",", "permissions", ()),
]

REFUSED = [
    ("PORT", "65536"),
    ("PORT", "-1"),
    ("PORT", "80a"),
    ("PORT", "1_0"),
    ("PORT", "٣"),
    ("PORT", "9" * 5000),
    ("LATENCY", "-0.1"),
    ("LATENCY", "nan"),
    ("LATENCY", "inf"),
    ("LATENCY", "soon"),
    ("TOKENS", "good,not good"),
    ("TOKENS", "tök"),
    ("FORBIDDEN_TOKEN", "a b"),
    ("ACCESS_TOKEN_VALUE", "a\tb"),
    ("ACCESS_COOKIE_NAME", "a=b"),
    ("REFRESH_TOKEN_VALUE", "a;b"),
    ("EXPIRES_IN", "0"),
    ("EXPIRES_IN", "1.5"),
    ("RETURN_TO", "//evil"),
    ("RETURN_TO", "/\\evil"),
    ("RETURN_TO", "home"),
    ("AUTHORIZE_PATH", "https://idp/x"),
    ("LOGIN_AUTHORIZE_URL", "javascript:alert(1)"),
    ("ALLOW_REMOTE", "maybe"),
    ("BACKEND", "curio"),
    ("CORS_ORIGINS", "http://a/b"),
    ("CORS_ORIGINS", "a.b"),
    ("CORS_ORIGINS", "*,http://localhost:1"),
    ("USER_ID", "0"),
    ("USER_ID", "2147483648"),
    ("USER_ID", "me"),
    ("COOKIE_SUFFIX", "a b"),
    ("COOKIE_SUFFIX", "x" * 101),
    ("PERMISSIONS", "audit,in spect"),
    ("PERMISSIONS", "audit/all"),
    ("EMAIL", "not utf-8: \udcff"),
    ("ROLE_NAMES", "\udcff"),
    ("HOST", "\udcff"),
    ("USER_NAME", "x" * 101),
    ("FORBIDDEN_TOKEN", "x" * 4097),
]


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    assert MockSettings.from_env({}) == MockSettings(
        host="127.0.0.1",
        port=8765,
        latency=0.0,
        tokens=("mock-dev-token",),
        access_token_value="mock-dev-token",
        forbidden_token=None,
        access_cookie_name="OxaigenPlatformAuthAccessToken",
        refresh_token_value="mock-dev-refresh-token",
        refresh_cookie_name="OxaigenPlatformAuthRefreshToken",
        cookie_suffix=None,
        tls=False,
        expires_in=300,
        refresh_expires_in=1800,
        return_to="/",
        authorize_path="/_oxa_auth/mock-authorize",
        auth_code="mock-auth-code",
        login_authorize_url=None,
        allow_remote=False,
        backend="asyncio",
        reload=False,
        cors_origins=("*",),
        strict=False,
        personas=None,
        faults=None,
        scenario=None,
        pick=False,
        auto_login=None,
        email="dev@localhost",
        user_name="devuser",
        first_name="Dev",
        last_name="User",
        user_id=1,
        account_type="internal",
        workspace_id="00000000-0000-0000-0000-000000000001",
        workspace_name="Dev Workspace",
        role_names=(),
        permissions=("audit",),
    )


@pytest.mark.parametrize(("name", "text", "setting", "value"), READ)
def test_a_variable_becomes_its_setting(name: str, text: str, setting: str, value: Any) -> None:
    settings = MockSettings.from_env({PREFIX + name: text})
    assert settings == MockSettings(**{setting: value})


@pytest.mark.parametrize(
    ("suffix", "names"),
    [(None, ("a", "r")), ("auto", ("a-9000", "r-9000")), ("one", ("a-one", "r-one"))],
)
def test_the_suffix_is_appended_to_both_cookies(suffix: str | None, names: tuple[str, str]) -> None:
    settings = MockSettings(
        access_cookie_name="a", refresh_cookie_name="r", cookie_suffix=suffix, port=9000
    )
    assert (settings.access_cookie, settings.refresh_cookie) == names


def test_every_variable_has_a_case_above() -> None:
    assert {PREFIX + name for name, *_ in READ} == set(
        map(variable_name, MockSettings.model_fields)
    )


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_variable_counts_as_unset(blank: str) -> None:
    environ = dict.fromkeys(map(variable_name, MockSettings.model_fields), blank)
    assert MockSettings.from_env(environ) == MockSettings()


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_a_bad_value_is_refused_with_its_variable_and_what_it_held(name: str, text: str) -> None:
    with pytest.raises(MockConfigurationError) as caught:
        MockSettings.from_env({PREFIX + name: text})
    (problem,) = caught.value.problems
    held = "invalid (value not shown)" if "TOKEN" in name else format_value(text)
    assert problem.startswith(f"{PREFIX}{name} is {held}; expected ")


def test_one_error_lists_every_bad_variable() -> None:
    environ = {PREFIX + "PORT": "x", PREFIX + "USER_ID": "y", PREFIX + "HOST": "localhost"}
    with pytest.raises(MockConfigurationError) as caught:
        MockSettings.from_env(environ)
    assert str(caught.value) == (
        "OXAIGEN_AUTH_MOCK_PORT is 'x'; "
        "expected an integer from 0 to 65535; 0 picks a free port\n"
        "OXAIGEN_AUTH_MOCK_USER_ID is 'y'; expected an integer from 1 to 2147483647"
    )


def test_settings_in_code_are_checked_without_showing_a_value() -> None:
    with pytest.raises(ValidationError) as caught:
        MockSettings(port=-1, forbidden_token="hu sh")
    assert [error["loc"] for error in caught.value.errors()] == [("port",), ("forbidden_token",)]
    assert "hu sh" not in str(caught.value)


def test_settings_in_code_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_PORT", "4711")
    assert MockSettings().port == 8765


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(MockSettings(), "port", 1)  # noqa: B010 - type checkers know that it is


def test_a_configuration_error_survives_pickling() -> None:
    error = MockConfigurationError(("one", "two"))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled one line above
    assert copy.problems == ("one", "two")


def test_the_environment_of_the_process_is_read_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(os.environ, "OXAIGEN_AUTH_MOCK_PORT", "4711")
    assert MockSettings.from_env().port == 4711


def read(environ: dict[str, str]) -> tuple[MockSettings, list[str]]:
    """Read the settings; gives them, and what was warned of."""
    warnings: list[str] = []
    variables = {PREFIX + name: text for name, text in environ.items()}
    return MockSettings.from_env(variables, warn=warnings.append), warnings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PERSONA", "did you mean OXAIGEN_AUTH_MOCK_PERSONAS?"),
        ("CORS_ORIGIN", "did you mean OXAIGEN_AUTH_MOCK_CORS_ORIGINS?"),
        ("auto_login", "did you mean OXAIGEN_AUTH_MOCK_AUTO_LOGIN?"),
        ("HTTP_PORT", "did you mean OXAIGEN_AUTH_MOCK_PORT?"),
        ("XYZ", "oxaigen-auth-mock --help lists the variables"),
        ("", "oxaigen-auth-mock --help lists the variables"),
    ],
)
def test_an_unknown_variable_causes_a_warning(name: str, meant: str) -> None:
    settings, (warning,) = read({name: "secret"})
    assert settings == MockSettings()
    assert warning == f"OXAIGEN_AUTH_MOCK_{name} is unknown and ignored; {meant}"


KUBERNETES = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "8765",
    "SERVICE_PORT_HTTP": "8765",
    "PORT_8765_TCP": "tcp://10.0.0.1:8765",
    "PORT_8765_TCP_ADDR": "10.0.0.1",
    "PORT_8765_TCP_PORT": "8765",
    "PORT_8765_TCP_PROTO": "tcp",
    "PORT_53_UDP": "udp://10.0.0.1:53",
    "PORT_53_UDP_PROTO": "udp",
    "PORT_9_SCTP_ADDR": "10.0.0.1",
    "IDP_PORT": "tcp://10.0.0.2:80",  # of a service oxaigen-auth-mock-idp
    "IDP_SERVICE_HOST": "10.0.0.2",
    "IDP_PORT_80_TCP_ADDR": "10.0.0.2",
}


def test_pitfall_59_what_kubernetes_injects_is_no_mistake() -> None:
    assert read(KUBERNETES) == (MockSettings(), [])


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8765", " udp://10.0.0.1:53 ", "tcp://[fd00::1]:8765", "SCTP://x"]
)
def test_pitfall_59_a_port_that_kubernetes_injects_is_ignored_with_a_warning(address: str) -> None:
    settings, (warning,) = read({"PORT": address, **KUBERNETES})
    assert settings.port == 8765
    assert warning.startswith(f"OXAIGEN_AUTH_MOCK_PORT is {address.strip()!r}, which Kubernetes ")
    assert "--port" in warning


@pytest.mark.parametrize("text", ["http://10.0.0.1:8765", "tcp://", "-1", "65536", "8765.0"])
def test_another_wrong_port_is_still_an_error(text: str) -> None:
    with pytest.raises(MockConfigurationError, match="OXAIGEN_AUTH_MOCK_PORT is"):
        read({"PORT": text})


def test_an_app_without_the_command_logs_the_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_STRICTLY", "100 %s")
    create_app()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("oxaigen_auth_mock", "WARNING")
    assert "did you mean OXAIGEN_AUTH_MOCK_STRICT?" in record.getMessage()
