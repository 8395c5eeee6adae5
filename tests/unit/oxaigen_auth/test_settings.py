from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import traceback
from typing import Any

import attrs
import pytest

from oxaigen_auth import OxaigenAuthConfigurationError, OxaigenAuthSettings, ProxyAuthClient
from oxaigen_auth._default_client import default_client
from oxaigen_auth.settings import default_settings

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
    "OXAIGEN_AUTH_BREAKER_MAX_BACKOFF_SECONDS": 1.0,
    "OXAIGEN_AUTH_STALE_IF_ERROR_SECONDS": 0.0,
    "OXAIGEN_AUTH_REFRESH_AHEAD_SECONDS": 0.0,
    "OXAIGEN_AUTH_MAX_REJECTED_PER_MINUTE": 0,
    "OXAIGEN_AUTH_REFUSAL_LOG_LEVEL": "DEBUG",
    "OXAIGEN_AUTH_CROSS_SITE_GUARD": True,
    "OXAIGEN_AUTH_TRUSTED_ORIGINS": (),
    "OXAIGEN_AUTH_SHARED_STORE": None,
    "OXAIGEN_AUTH_SHARED_SECRET": (),
    "OXAIGEN_AUTH_SHARED_MAX_SKEW_SECONDS": 1.0,
}
SECRET, OTHER_SECRET = "hunter2-" * 4, "hunter3-" * 4

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
    ("BREAKER_MAX_BACKOFF_SECONDS", "0.2", 0.2),
    ("STALE_IF_ERROR_SECONDS", "60", 60.0),
    ("REFRESH_AHEAD_SECONDS", "2.5", 2.5),
    ("MAX_REJECTED_PER_MINUTE", "20", 20),
    ("REFUSAL_LOG_LEVEL", "info", "INFO"),
    ("REFUSAL_LOG_LEVEL", "DEBUG", "DEBUG"),
    ("CROSS_SITE_GUARD", "off", False),
    ("TRUSTED_ORIGINS", "https://www.example.com", ("https://www.example.com",)),
    (
        "TRUSTED_ORIGINS",
        "https://*.example.com, http://localhost:3000",
        ("https://*.example.com", "http://localhost:3000"),
    ),
    ("SHARED_STORE", "sqlite:////run/my_app/auth.db", "sqlite:////run/my_app/auth.db"),
    ("SHARED_STORE", "auto:my_app", "auto:my_app"),
    ("SHARED_SECRET", SECRET, (SECRET,)),
    ("SHARED_SECRET", f"{SECRET}, {OTHER_SECRET}", (SECRET, OTHER_SECRET)),
    ("SHARED_SECRET", "é" * 16, ("é" * 16,)),
    ("SHARED_MAX_SKEW_SECONDS", "0.2", 0.2),
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
    *[("REFUSAL_LOG_LEVEL", text) for text in ("WARNING", "10")],
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
    *[
        ("SHARED_STORE", text)
        for text in ("sqlite:///auth.db", "auto:", "redis://", "postgres://db", "/run/auth.db")
    ],
    *[
        ("SHARED_SECRET", text)
        for text in ("short", "x" * 31, "é" * 15, f"{SECRET},", f"{SECRET},{SECRET}", "\udcff" * 32)
    ],
    *[("SHARED_MAX_SKEW_SECONDS", text) for text in ("-1", "nan", "a second")],
]


def test_there_is_a_setting_for_every_documented_variable_and_no_other() -> None:
    settings = OxaigenAuthSettings()
    names = [f.name for f in attrs.fields(OxaigenAuthSettings)]
    assert {f"OXAIGEN_AUTH_{name.upper()}": getattr(settings, name) for name in names} == DEFAULTS


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
def test_a_bad_value_is_reported_with_its_variable_and_what_is_expected(
    name: str, text: str
) -> None:
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings.from_env({f"OXAIGEN_AUTH_{name}": text})
    head, fault = caught.value.message.splitlines()
    assert head == "Invalid settings:"
    held, expected = fault.split("; expected ")
    assert held.startswith(f"  OXAIGEN_AUTH_{name} is ")
    assert expected
    assert len(fault) < 400


def test_the_bad_value_is_shown() -> None:
    with pytest.raises(OxaigenAuthConfigurationError, match="CACHE_MAX_ENTRIES is 'many'; exp"):
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
    assert head == "Invalid settings:"
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


SERVERS = [
    "redis://:hunter2@redis.example.com",
    "rediss://ada:hunter2@redis.example.com:6380/1?ssl_ca_certs=/etc/ca.pem",
    "unix://ada:hunter2@/run/redis.sock",
]


@pytest.mark.parametrize("url", SERVERS)
def test_the_secret_and_the_password_of_the_shared_store_are_never_shown(url: str) -> None:
    settings = OxaigenAuthSettings.from_env(
        {"OXAIGEN_AUTH_SHARED_STORE": url, "OXAIGEN_AUTH_SHARED_SECRET": SECRET}
    )
    assert settings.shared_store == url
    assert settings.shared_secret == (SECRET,)
    assert "hunter" not in repr(settings)
    assert "ada" not in repr(settings)
    assert "shared_secret=***" in repr(settings)
    assert f"shared_store={url.partition(':')[0]}://" in repr(settings)


@pytest.mark.parametrize("url", SERVERS)
def test_a_server_needs_a_secret(url: str) -> None:
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings(shared_store=url)
    _, fault = caught.value.message.splitlines()
    assert "SHARED_SECRET is unset; set it to the same value for all workers" in fault
    assert "hunter" not in fault


@pytest.mark.parametrize("url", ["sqlite:////run/auth.db", "auto:my_app"])
def test_a_store_on_this_host_needs_no_secret(url: str) -> None:
    assert OxaigenAuthSettings(shared_store=url).shared_secret == ()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@redis.example.com?x=1",
        "redis://:hunter2",
        "redis://ada:hunt/hunter2@redis.example.com",
        "redis://redis.example.com?password=hunter2",
        "rediss://redis.example.com?ssl_ca_certs=ca.pem&password=hunter2",
        "unix://hunter2/run/redis.sock",
        "hunter2@redis.example.com",
        "hunter2:redis.example.com",
        "sqlite:////ada:hunter2@localhost/../auth.db",
        "redis:\nhunter2",
    ],
)
def test_an_invalid_url_of_a_shared_store_shows_no_password(url: str) -> None:
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings.from_env({"OXAIGEN_AUTH_SHARED_STORE": url})
    assert "hunt" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{SECRET},hunter2", "number 2 has 7 bytes"),
        (f"{SECRET},{OTHER_SECRET},{SECRET}", "number 3 is the same as another one"),
        (f"{SECRET},", "number 2 has 0 bytes"),
    ],
)
def test_an_invalid_secret_is_named_by_its_number(text: str, reason: str) -> None:
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings.from_env({"OXAIGEN_AUTH_SHARED_SECRET": text})
    assert "SHARED_SECRET is ***; expected secrets of at least 32 bytes" in caught.value.message
    assert caught.value.message.endswith(f"; {reason}")
    assert "hunter" not in caught.value.message


def test_the_traceback_of_an_invalid_setting_holds_no_secret() -> None:
    environ = {"OXAIGEN_AUTH_SHARED_SECRET": SECRET, "OXAIGEN_AUTH_CACHE_TTL_SECONDS": "x"}
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        OxaigenAuthSettings.from_env(environ)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert len(frames) > 2
    assert "hunter" not in repr([frame.f_locals for frame in frames[1:]])


@pytest.mark.parametrize(
    "keywords",
    [
        {"shared_secret": SECRET},
        {"shared_secret": (SECRET.encode(),)},
        {"shared_secret": [SECRET]},
        {"shared_store": b"redis://:hunter2@redis.example.com"},
        {"shared_max_skew_seconds": None},
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
    assert default_client().settings.cache_ttl_seconds == 7
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "8")
    assert default_client().settings.cache_ttl_seconds == 7
    assert default_client().settings is default_settings()


def test_pitfall_57_a_client_of_ones_own_reads_the_environment_and_fixes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for ttl in (7, 8, 9):
        monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", str(ttl))
        assert ProxyAuthClient("https://proxy").settings.cache_ttl_seconds == ttl
    assert default_client().settings.cache_ttl_seconds == 9


# The forms in which the published package is configured.

PUBLISHED = [
    "ACCESS_TOKEN_COOKIE_NAME",
    "PROXY_URL_OVERRIDE",
    "DEV_MODE",
    "DEV_PROXY_URL",
    "PROXY_SCHEME",
    "CACHE_TTL_SECONDS",
    "CACHE_MAX_ENTRIES",
    "NEGATIVE_CACHE_TTL_SECONDS",
    "PROXY_TIMEOUT_SECONDS",
]
ALL_NAMES = [f.name for f in attrs.fields(OxaigenAuthSettings)]


@pytest.mark.parametrize("name", [*PUBLISHED, *map(str.upper, ALL_NAMES), *ALL_NAMES])
def test_pitfall_39_a_setting_cannot_be_assigned_on_the_class(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        setattr(OxaigenAuthSettings, name, "https://auth.example.com")
    assert f"OxaigenAuthSettings.{name} cannot be assigned" in str(caught.value)
    assert f"the environment variable OXAIGEN_AUTH_{name.upper()} " in str(caught.value)
    assert f"OxaigenAuthSettings({name.lower()}=…)" in str(caught.value)
    with pytest.raises(AttributeError, match=r"cannot be deleted|no attribute"):
        delattr(OxaigenAuthSettings, name)
    assert OxaigenAuthSettings() == OxaigenAuthSettings.from_env({})


@pytest.mark.parametrize("name", PUBLISHED)
def test_pitfall_39_a_published_name_says_what_to_read_instead(name: str) -> None:
    classes: list[Any] = [OxaigenAuthSettings, OxaigenAuthSettings()]
    where = [f"OxaigenAuthSettings.from_env().{name.lower()}", name.lower()]
    for thing, instead in zip(classes, where, strict=True):
        with pytest.raises(AttributeError) as caught:
            getattr(thing, name)
        assert str(caught.value).endswith(f" has no attribute '{name}': read {instead}")
        assert not hasattr(thing, name)
        with pytest.raises(AttributeError, match=r"no attribute 'OTHER'$"):
            _ = thing.OTHER


@pytest.mark.parametrize("name", ["PROXY_URL_OVERRIDE", "proxy_url_override"])
def test_pitfall_39_settings_that_exist_say_how_to_get_others(name: str) -> None:
    settings = OxaigenAuthSettings()
    with pytest.raises(
        AttributeError, match=r"with attrs\.evolve\(settings, proxy_url_override=…\)"
    ):
        setattr(settings, name, "https://auth.example.com")
    assert settings == OxaigenAuthSettings()
    with pytest.raises(AttributeError, match=r"evolve\(settings, name=…\)"):
        setattr(settings, "other", 1)  # noqa: B010 (a name that type checkers refuse)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        *[(name, f"write {name.lower()}") for name in PUBLISHED],
        ("cache_ttl", "did you mean cache_ttl_seconds"),
        ("Cache_TTL", "did you mean cache_ttl_seconds"),
        ("zzz", "the settings are proxy_url_override, proxy_scheme, "),
    ],
)
def test_pitfall_39_an_unknown_keyword_says_what_to_write(name: str, instead: str) -> None:
    keywords: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError) as caught:
        OxaigenAuthSettings(**keywords)
    assert f"OxaigenAuthSettings has no setting '{name}': {instead}" in str(caught.value)


def test_pitfall_39_a_misspelt_setting_on_the_class_says_which_was_meant() -> None:
    settings: Any = OxaigenAuthSettings
    with pytest.raises(AttributeError, match="did you mean cache_ttl_seconds"):
        settings.CACHE_TTL = 3
    assert not hasattr(settings, "CACHE_TTL")


def test_pitfall_39_a_subclass_cannot_set_what_would_change_nothing() -> None:
    with pytest.raises(TypeError, match=r"Mine\.DEV_MODE would change nothing: .*\(dev_mode=…\)"):

        class Mine(OxaigenAuthSettings):
            DEV_MODE = True


def test_pitfall_39_a_subclass_that_attrs_has_not_made_cannot_set_anything() -> None:
    class Mine(OxaigenAuthSettings):
        cache_ttl_seconds: float = 0.0

    class Derived(Mine):
        pass

    for kind in (Mine, Derived):
        with pytest.raises(TypeError, match=r"cache_ttl_seconds would change nothing: decorate"):
            kind()
    assert attrs.frozen(kw_only=True)(Mine)().cache_ttl_seconds == 0.0


def test_settings_behave_as_an_attrs_class_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = OxaigenAuthSettings(dev_mode=True)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 (made a moment ago)
    assert copy.copy(settings) == copy.deepcopy(settings) == settings
    assert hash(settings) == hash(copy.copy(settings))
    assert attrs.evolve(settings, dev_mode=False) == OxaigenAuthSettings()
    assert [*inspect.signature(OxaigenAuthSettings).parameters] == ALL_NAMES
    monkeypatch.setattr(OxaigenAuthSettings, "from_env", lambda: settings)
    assert OxaigenAuthSettings.from_env() is settings

    class Mine(OxaigenAuthSettings):
        own = 1

    assert Mine(cache_ttl_seconds=3).cache_ttl_seconds == 3
    del Mine.own
    assert not hasattr(Mine, "own")
    with pytest.raises(TypeError, match="Mine has no setting 'own'"):
        Mine(own=2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue] (the point)


INJECTED = [
    *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8765_TCP"),
    *("PORT_8765_TCP_PROTO", "PORT_8765_TCP_PORT", "PORT_8765_TCP_ADDR", "PORT_53_UDP"),
    *("MOCK_SERVICE_HOST", "PROXY_SERVICE_PORT", "PROXY_PORT", "PROXY_PORT_80_TCP_ADDR"),
    *("MOCK_ANYTHING", "LOAD_ANYTHING"),
]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OXAIGEN_AUTH_CACHE_TTL", "OXAIGEN_AUTH_CACHE_TTL_SECONDS"),
        ("OXAIGEN_AUTH_ALLOWED_HOST", "OXAIGEN_AUTH_ALLOWED_HOSTS"),
        ("oxaigen_auth_dev_mode", "OXAIGEN_AUTH_DEV_MODE"),
        ("OXAIGEN_AUTH_PORTS", None),
        ("OXAIGEN_AUTH_MOCKED", None),
        ("OXAIGEN_AUTH_", None),
    ],
)
def test_pitfall_39_an_unknown_variable_is_named_once(
    name: str, meant: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert OxaigenAuthSettings.from_env({name: "hunter2"}) == OxaigenAuthSettings()
    (record,) = caplog.records
    assert f"'{name}' is unknown and ignored" in record.getMessage()
    assert meant is None or meant in record.getMessage()
    assert "hunter2" not in record.getMessage()


def test_foreign_and_empty_variables_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {f"OXAIGEN_AUTH_{name}": "tcp://10.0.0.1:8765" for name in INJECTED}
    names = {"OXAIGEN_AUTHOR": "x", "DEV_MODE": "x", "OXAIGEN_AUTH_EMPTY": " "}
    names["OXAIGEN_AUTH_TOKEN"] = "x"  # that of the command line
    assert OxaigenAuthSettings.from_env(environ | names) == OxaigenAuthSettings()
    assert not caplog.records


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
    assert "OXAIGEN_AUTH_DEV_MODE is 'maybe'" in result.stdout


def test_the_override_wins_over_dev_mode_and_dev_mode_over_the_request() -> None:
    override = "https://proxy.example.com/"
    assert OxaigenAuthSettings().fixed_proxy_url is None
    assert OxaigenAuthSettings(dev_proxy_url="http://dev").fixed_proxy_url is None
    assert OxaigenAuthSettings(dev_mode=True).fixed_proxy_url == "http://127.0.0.1:8765"
    both = OxaigenAuthSettings(dev_mode=True, proxy_url_override=override)
    assert both.fixed_proxy_url == "https://proxy.example.com"
