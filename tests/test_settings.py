from __future__ import annotations

import subprocess
import sys
from typing import Any

import attrs
import pytest

from oxaigen_auth import OxaigenAuthConfigurationError, OxaigenAuthSettings, ProxyAuthClient
from oxaigen_auth._host import judge
from oxaigen_auth.settings import base_url, default_settings, variable

DEFAULTS: dict[str, Any] = {
    "OXAIGEN_AUTH_PROXY_URL_OVERRIDE": None,
    "OXAIGEN_AUTH_PROXY_SCHEME": "https",
    "OXAIGEN_AUTH_ACCESS_TOKEN_COOKIE_NAME": "OxaigenPlatformAuthAccessToken",
    "OXAIGEN_AUTH_CACHE_TTL_SECONDS": 30.0,
    "OXAIGEN_AUTH_NEGATIVE_CACHE_TTL_SECONDS": 5.0,
    "OXAIGEN_AUTH_CACHE_MAX_ENTRIES": 1024,
    "OXAIGEN_AUTH_CACHE_MAX_BYTES": 64 * 1024 * 1024,
    "OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS": 5.0,
    "OXAIGEN_AUTH_DEV_MODE": False,
    "OXAIGEN_AUTH_DEV_PROXY_URL": "http://127.0.0.1:8765",
    "OXAIGEN_AUTH_ENVIRONMENT": None,
    "OXAIGEN_AUTH_ALLOWED_HOSTS": (),
    "OXAIGEN_AUTH_MAX_CONNECTIONS": 100,
    "OXAIGEN_AUTH_BREAKER": True,
    "OXAIGEN_AUTH_STALE_IF_ERROR_SECONDS": 0.0,
    "OXAIGEN_AUTH_REFRESH_AHEAD_SECONDS": 0.0,
    "OXAIGEN_AUTH_MAX_REJECTED_PER_MINUTE": 0,
    "OXAIGEN_AUTH_CROSS_SITE_GUARD": True,
    "OXAIGEN_AUTH_TRUSTED_ORIGINS": (),
}

GOOD = [
    ("PROXY_URL_OVERRIDE", "https://proxy.example.com", "https://proxy.example.com"),
    ("PROXY_URL_OVERRIDE", "http://[::1]:8765/base/", "http://[::1]:8765/base/"),
    ("PROXY_SCHEME", "http", "http"),
    ("ACCESS_TOKEN_COOKIE_NAME", "my-cookie", "my-cookie"),
    ("CACHE_TTL_SECONDS", "0", 0.0),
    ("CACHE_TTL_SECONDS", "2.5", 2.5),
    ("NEGATIVE_CACHE_TTL_SECONDS", "0", 0.0),
    ("CACHE_MAX_ENTRIES", "1", 1),
    ("CACHE_MAX_BYTES", "0", 0),
    ("PROXY_TIMEOUT_SECONDS", "0.001", 0.001),
    ("DEV_PROXY_URL", "http://localhost:9000", "http://localhost:9000"),
    ("ENVIRONMENT", "staging", "staging"),
    ("ENVIRONMENT", "Production", "Production"),
    ("ALLOWED_HOSTS", "app.example.com", ("app.example.com",)),
    (
        "ALLOWED_HOSTS",
        "app.example.com, *.example.org,localhost:8000,[::1]:*",
        ("app.example.com", "*.example.org", "localhost:8000", "[::1]:*"),
    ),
    ("MAX_CONNECTIONS", "5", 5),
    ("MAX_CONNECTIONS", "  5  ", 5),
    ("BREAKER", "0", False),
    ("STALE_IF_ERROR_SECONDS", "60", 60.0),
    ("REFRESH_AHEAD_SECONDS", "2.5", 2.5),
    ("MAX_REJECTED_PER_MINUTE", "20", 20),
    ("CROSS_SITE_GUARD", "off", False),
    ("TRUSTED_ORIGINS", "https://www.example.com", ("https://www.example.com",)),
    (
        "TRUSTED_ORIGINS",
        "https://*.example.com, http://localhost:3000",
        ("https://*.example.com", "http://localhost:3000"),
    ),
    *[("DEV_MODE", text, True) for text in ("1", "true", "yes", "on", "TRUE", "On")],
    *[("DEV_MODE", text, False) for text in ("0", "false", "no", "off", "FALSE", "Off")],
]

BAD = [
    *[
        ("PROXY_URL_OVERRIDE", text)
        for text in (
            "proxy.example.com",
            "ftp://proxy.example.com",
            "https://",
            "https://:443",
            "https://proxy.example.com:port",
            "https://proxy.example.com:0",
            "https://proxy.example.com:99999",
            "https://proxy.example.com?x=1",
            "https://proxy.example.com#x",
            "https://proxy.example.com/a b",
            "https://proxy.example.com\\@evil.example.com",
            "https://pröxy.example.com",
            "https://[::1",
            "https://proxy.example.com/\x07",
        )
    ],
    *[("PROXY_SCHEME", text) for text in ("https://", "ftp", "HTTPS")],
    *[("ACCESS_TOKEN_COOKIE_NAME", text) for text in ("a b", "a=b", "a;b", "kéks")],
    *[("CACHE_TTL_SECONDS", text) for text in ("-1", "nan", "inf", "half a minute", "1e999")],
    *[("NEGATIVE_CACHE_TTL_SECONDS", text) for text in ("-0.1", "x")],
    *[("CACHE_MAX_ENTRIES", text) for text in ("0", "-1", "1.5", "many", "9" * 5000)],
    *[("CACHE_MAX_BYTES", text) for text in ("-1", "1.5", "64MiB", "9" * 5000)],
    *[("PROXY_TIMEOUT_SECONDS", text) for text in ("0", "0.0001", "-1", "inf", "nan")],
    *[("DEV_MODE", text) for text in ("2", "maybe", "y")],
    *[("DEV_PROXY_URL", text) for text in ("localhost:8765", "127.0.0.1")],
    *[
        ("ALLOWED_HOSTS", text)
        for text in (
            "*",
            "https://app.example.com",
            "app.example.com,,b.example.com",
            "app.example.com/",
            "*example.com",
            "a.*.example.com",
            "app.example.com:0",
            "[::g]",
        )
    ],
    *[("MAX_CONNECTIONS", text) for text in ("0", "ten", "1.0")],
    *[("BREAKER", text) for text in ("2", "5")],
    *[("STALE_IF_ERROR_SECONDS", text) for text in ("-1", "inf", "a minute")],
    *[("REFRESH_AHEAD_SECONDS", text) for text in ("-1", "nan")],
    *[("MAX_REJECTED_PER_MINUTE", text) for text in ("-1", "1.5")],
    *[("CROSS_SITE_GUARD", text) for text in ("2", "maybe")],
    *[
        ("TRUSTED_ORIGINS", text)
        for text in (
            "*",
            "null",
            "www.example.com",
            "ftp://www.example.com",
            "https://www.example.com/",
            "https://www.example.com/path",
            "https://user@www.example.com",
            "https://www.example.com,",
        )
    ],
]


def test_there_is_a_setting_for_every_documented_variable_and_no_other() -> None:
    settings = OxaigenAuthSettings()
    names = [f.name for f in attrs.fields(OxaigenAuthSettings)]
    assert {variable(name): getattr(settings, name) for name in names} == DEFAULTS


def test_an_empty_environment_gives_the_defaults() -> None:
    assert OxaigenAuthSettings.from_env({}) == OxaigenAuthSettings()
    assert OxaigenAuthSettings.from_env({"DEV_MODE": "1", "PATH": "x"}) == OxaigenAuthSettings()


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_variable_counts_as_unset(empty: str) -> None:
    assert OxaigenAuthSettings.from_env(dict.fromkeys(DEFAULTS, empty)) == OxaigenAuthSettings()


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_variable_sets_its_own_field_and_no_other(name: str, text: str, value: object) -> None:
    settings = OxaigenAuthSettings.from_env({f"OXAIGEN_AUTH_{name}": text})
    assert getattr(settings, name.lower()) == value
    assert type(getattr(settings, name.lower())) is type(value)
    keywords: dict[str, Any] = {name.lower(): value}
    assert settings == OxaigenAuthSettings(**keywords)


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_value_is_named_with_what_it_held_and_may_hold(name: str, text: str) -> None:
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings.from_env({f"OXAIGEN_AUTH_{name}": text})
    head, fault = caught.value.message.splitlines()
    assert head == "These settings are wrong:"
    held, may_hold = fault.split("; it may hold ")
    assert held.startswith(f"  OXAIGEN_AUTH_{name} holds ")
    assert may_hold
    assert len(fault) < 400


def test_the_value_that_was_held_is_shown() -> None:
    with pytest.raises(OxaigenAuthConfigurationError, match="CACHE_MAX_ENTRIES holds 'many'; it"):
        OxaigenAuthSettings.from_env({"OXAIGEN_AUTH_CACHE_MAX_ENTRIES": "many"})


def test_one_error_lists_every_bad_variable() -> None:
    environ = {
        "OXAIGEN_AUTH_DEV_MODE": "maybe",
        "OXAIGEN_AUTH_PROXY_SCHEME": "ftp",
        "OXAIGEN_AUTH_CACHE_TTL_SECONDS": "3",
        "OXAIGEN_AUTH_MAX_CONNECTIONS": "-3",
    }
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings.from_env(environ)
    named = [line.split()[0] for line in caught.value.message.splitlines()[1:]]
    assert named == [
        "OXAIGEN_AUTH_PROXY_SCHEME",
        "OXAIGEN_AUTH_DEV_MODE",
        "OXAIGEN_AUTH_MAX_CONNECTIONS",
    ]


PRODUCTION = ["production", "PRODUCTION", "Production", " production\n"]
NOT_PRODUCTION = [None, "", "staging", "prod", "production-like", "pre production"]


@pytest.mark.parametrize("environment", PRODUCTION)
@pytest.mark.parametrize("override", [None, "https://proxy.example.com"])
def test_pitfall_33_dev_mode_in_production_is_refused_whatever_the_override(
    environment: str, override: str | None
) -> None:
    environ = {
        "OXAIGEN_AUTH_DEV_MODE": "1",
        "OXAIGEN_AUTH_ENVIRONMENT": environment,
        "OXAIGEN_AUTH_PROXY_URL_OVERRIDE": override or "",
    }
    with pytest.raises(OxaigenAuthConfigurationError) as read:
        OxaigenAuthSettings.from_env(environ)
    with pytest.raises(OxaigenAuthConfigurationError) as built:
        OxaigenAuthSettings(dev_mode=True, environment=environment, proxy_url_override=override)
    assert built.value.message == read.value.message
    head, fault = read.value.message.splitlines()
    assert head == "These settings are wrong:"
    wrong, what_to_do = fault.split("; ")
    both_on = "OXAIGEN_AUTH_DEV_MODE is on while OXAIGEN_AUTH_ENVIRONMENT is production"
    assert wrong.startswith(f"  {both_on}")
    assert what_to_do.startswith("switch dev mode off, or")


@pytest.mark.parametrize("environment", NOT_PRODUCTION)
def test_dev_mode_is_allowed_in_every_other_environment(environment: str | None) -> None:
    settings = OxaigenAuthSettings(dev_mode=True, environment=environment)
    assert not settings.is_production
    assert settings.fixed_proxy_url == "http://127.0.0.1:8765"


@pytest.mark.parametrize("environment", PRODUCTION)
def test_production_without_dev_mode_is_allowed(environment: str) -> None:
    settings = OxaigenAuthSettings(environment=environment)
    assert settings.is_production
    assert settings.fixed_proxy_url is None


def test_settings_cannot_be_changed_into_dev_mode_in_production() -> None:
    with pytest.raises(OxaigenAuthConfigurationError, match="OXAIGEN_AUTH_DEV_MODE is on while"):
        attrs.evolve(OxaigenAuthSettings(environment="production"), dev_mode=True)


def test_dev_mode_in_production_is_listed_with_every_bad_variable() -> None:
    environ = {
        "OXAIGEN_AUTH_DEV_MODE": "1",
        "OXAIGEN_AUTH_ENVIRONMENT": "production",
        "OXAIGEN_AUTH_MAX_CONNECTIONS": "-3",
    }
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings.from_env(environ)
    named = [line.split()[0] for line in caught.value.message.splitlines()[1:]]
    assert named == ["OXAIGEN_AUTH_MAX_CONNECTIONS", "OXAIGEN_AUTH_DEV_MODE"]


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:hunter2@proxy.example.com",
        "https://ada:hunt/hunter2@proxy.example.com",
        "https://ada:hunt@hunter2@proxy.example.com",
        "https://ada:hunter2'\"@proxy.example.com",
        "ada:hunter2@proxy.example.com",
        "https:/ada:hunter2@proxy.example.com",
        "https://ada:\nhunter2@proxy.example.com",
        "https://" + "a" * 300 + ":hunter2@proxy.example.com",
    ],
)
@pytest.mark.parametrize("name", ["PROXY_URL_OVERRIDE", "DEV_PROXY_URL", "ALLOWED_HOSTS"])
def test_a_password_in_a_url_is_refused_and_never_shown(name: str, url: str) -> None:
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings.from_env({f"OXAIGEN_AUTH_{name}": url})
    assert "hunt" not in caught.value.message
    assert "proxy.example.com" in caught.value.message


@pytest.mark.parametrize(
    "keywords",
    [
        {"cache_ttl_seconds": True},
        {"cache_ttl_seconds": "3"},
        {"cache_max_entries": 2.0},
        {"cache_max_entries": True},
        {"dev_mode": 1},
        {"allowed_hosts": "app.example.com"},
        {"allowed_hosts": (1,)},
        {"allowed_hosts": ["app.example.com"]},
        {"access_token_cookie_name": None},
        {"access_token_cookie_name": ""},
        {"proxy_url_override": 5},
        {"proxy_url_override": b"https://proxy.example.com"},
        {"proxy_url_override": ""},
        {"dev_proxy_url": None},
        {"environment": 5},
        {"environment": b"production"},
        {"proxy_scheme": ["https"]},
        {"proxy_scheme": None},
    ],
    ids=str,
)
def test_a_keyword_of_the_wrong_type_is_a_configuration_error(keywords: Any) -> None:
    with pytest.raises(OxaigenAuthConfigurationError, match=f"_{next(iter(keywords)).upper()} "):
        OxaigenAuthSettings(**keywords)


def test_settings_are_read_at_first_use_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "7")
    assert default_settings().cache_ttl_seconds == 7
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "8")
    assert default_settings().cache_ttl_seconds == 7
    assert ProxyAuthClient().settings is default_settings()


def test_importing_the_package_reads_no_settings() -> None:
    environ = {"OXAIGEN_AUTH_DEV_MODE": "maybe"}
    code = (
        f"import os; os.environ.update({environ!r})\n"
        "import oxaigen_auth\n"
        "try: oxaigen_auth.ProxyAuthClient()\n"
        "except oxaigen_auth.OxaigenAuthConfigurationError as e: print(e)"
    )
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, check=True, capture_output=True, text=True)  # noqa: S603 (our own code)
    assert "OXAIGEN_AUTH_DEV_MODE holds 'maybe'" in result.stdout


def test_the_override_wins_over_dev_mode_and_dev_mode_over_the_request() -> None:
    override = "https://proxy.example.com/"
    assert OxaigenAuthSettings().fixed_proxy_url is None
    assert OxaigenAuthSettings(dev_proxy_url="http://dev").fixed_proxy_url is None
    assert OxaigenAuthSettings(dev_mode=True).fixed_proxy_url == "http://127.0.0.1:8765"
    both = OxaigenAuthSettings(dev_mode=True, proxy_url_override=override)
    assert both.fixed_proxy_url == "https://proxy.example.com"


def test_a_base_url_loses_its_trailing_slash_and_nothing_else() -> None:
    assert base_url("https://proxy.example.com/a//") == "https://proxy.example.com/a"
    assert base_url("http://127.0.0.1:8765") == "http://127.0.0.1:8765"


@pytest.mark.parametrize("url", ["https://ada:hunter2", "https://ada:hunter2/x@proxy.example.com"])
def test_a_bad_base_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="expected a URL") as caught:
        base_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("app.example.com", True),
        ("APP.example.com.", True),
        ("app.example.com:443", True),
        ("app.example.com:8443", False),
        ("example.org", False),
        ("a.example.org", True),
        ("a.b.example.org", True),
        ("aexample.org", False),
        ("localhost", False),
        ("localhost:8000", True),
        ("localhost:8001", False),
        ("[::1]:1", True),
        ("127.0.0.1", False),
    ],
)
def test_a_host_is_allowed_if_a_pattern_says_so(host: str, *, allowed: bool) -> None:
    patterns = ("app.example.com", "*.example.org", "localhost:8000", "[::1]:*")
    settings = OxaigenAuthSettings(allowed_hosts=patterns)
    assert judge(host.encode(), settings.proxy_scheme, settings.allowed_hosts)[1] is allowed
