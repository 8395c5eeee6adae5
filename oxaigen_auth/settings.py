"""The settings of the SDK, read from the environment and validated.

The variables and defaults are those of the product page ("SDK configuration"), and some more.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import Attribute, field, fields, frozen

from oxaigen_auth._core.process_cache import process_cache
from oxaigen_auth._hints.settings import SettingsType, explain_read, refuse_change
from oxaigen_auth._hints.variables import variable, warn_of_unknown_variables
from oxaigen_auth._syntax.hosts import parse_origin_pattern, parse_pattern
from oxaigen_auth._syntax.urls import base_url, is_base_url
from oxaigen_auth.errors import OxaigenAuthConfigurationError

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DEV_MODE_IN_PRODUCTION = (
    "OXAIGEN_AUTH_DEV_MODE is on while OXAIGEN_AUTH_ENVIRONMENT is production, where no mock may "
    "accept tokens; switch dev mode off, or set the environment to what it is"
)


def _is_number(value: Any, least: float) -> bool:
    return type(value) in {int, float} and least <= value < math.inf


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return type(value) is str and pattern.fullmatch(value) is not None


def _is_host_pattern(value: Any) -> bool:
    return type(value) is str and parse_pattern(value, "https") is not None


def _is_origin(value: Any) -> bool:
    return type(value) is str and parse_origin_pattern(value) is not None


def _flag(text: str) -> bool:
    return {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}[text.lower()]


def _csv(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _setting(
    default: Any,
    check: Callable[[Any], bool],
    expected: str,
    *,
    parse: Callable[[str], Any] = str,
) -> Any:
    metadata = {"check": check, "expected": expected, "parse": parse}
    return field(default=default, metadata=metadata)


def _url(default: str | None) -> Any:
    return _setting(
        default,
        lambda v: v is default or is_base_url(v),
        "an http or https URL without user, query or fragment, such as https://app.example.com",
    )


def _seconds(default: float, *, least: float = 0.0) -> Any:
    return _setting(
        default, lambda v: _is_number(v, least), f"a number of seconds >= {least:g}", parse=float
    )


def _count(default: int, *, least: int = 1) -> Any:
    return _setting(default, lambda v: _is_count(v, least), f"an integer >= {least}", parse=int)


def _bool(default: bool) -> Any:  # noqa: FBT001 (the only argument)
    return _setting(
        default,
        lambda v: type(v) is bool,
        "1, true, yes or on; 0, false, no or off",
        parse=_flag,
    )


def _list(is_one: Callable[[Any], bool], expected: str) -> Any:
    return _setting(
        (),
        lambda v: type(v) is tuple and all(map(is_one, v)),
        f"{expected}; as a keyword, a tuple of them",
        parse=_csv,
    )


@frozen(kw_only=True)
class OxaigenAuthSettings(metaclass=SettingsType):
    """The settings of the SDK. Each field has an environment variable, `OXAIGEN_AUTH_<NAME>`.

    Times are in seconds. The settings down to `dev_proxy_url` are those of the product page ("SDK
    configuration"), the others are this package's own. `docs/resilience.md` describes those from
    `breaker` on.

    Raises:
        OxaigenAuthConfigurationError: a setting is invalid, or dev mode is on in production. The
            message names every invalid setting, its value, and what is expected.

    >>> OxaigenAuthSettings(allowed_hosts=("*.example.com",)).cache_ttl_seconds
    30.0
    """

    proxy_url_override: str | None = _url(None)
    proxy_scheme: str = _setting("https", lambda v: v in ("http", "https"), "http or https")
    access_token_cookie_name: str = _setting(
        "OxaigenPlatformAuthAccessToken",
        lambda v: _matches(_COOKIE_NAME, v),
        "a cookie name (RFC 6265 §4.1.1)",
    )
    cache_ttl_seconds: float = _seconds(30.0)
    negative_cache_ttl_seconds: float = _seconds(5.0)
    cache_max_entries: int = _count(1024)
    proxy_timeout_seconds: float = _seconds(5.0, least=0.001)
    dev_mode: bool = _bool(False)  # noqa: FBT003 (a default)
    dev_proxy_url: str = _url("http://127.0.0.1:8765")
    environment: str | None = _setting(
        None,
        lambda v: v is None or type(v) is str,
        "any text; only production, in upper or lower case, has an effect",
    )
    allowed_hosts: tuple[str, ...] = _list(
        _is_host_pattern,
        "hosts separated by commas, such as app.example.com, *.example.com, localhost:8000",
    )
    cache_max_bytes: int = _count(64 * 1024 * 1024, least=0)
    max_connections: int = _count(100)
    breaker: bool = _bool(True)  # noqa: FBT003 (a default)
    breaker_max_backoff_seconds: float = _seconds(1.0, least=0.001)
    stale_if_error_seconds: float = _seconds(0.0)
    refresh_ahead_seconds: float = _seconds(0.0)
    max_rejected_per_minute: int = _count(0, least=0)
    refusal_log_level: str = _setting(
        "DEBUG", lambda v: v in ("DEBUG", "INFO"), "DEBUG or INFO", parse=str.upper
    )
    cross_site_guard: bool = _bool(True)  # noqa: FBT003 (a default)
    trusted_origins: tuple[str, ...] = _list(
        _is_origin,
        "origins separated by commas, such as https://www.example.com, https://*.example.com",
    )

    def __attrs_post_init__(self) -> None:
        settings = fields(OxaigenAuthSettings)
        values = [(setting, getattr(self, setting.name)) for setting in settings]
        faults = [_fault(s, value) for s, value in values if not s.metadata["check"](value)]
        if self.dev_mode is True and self.is_production:
            faults.append(_DEV_MODE_IN_PRODUCTION)
        if faults:
            raise OxaigenAuthConfigurationError("\n  ".join(["Invalid settings:", *faults]))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> OxaigenAuthSettings:
        """Read the variables that are set and not empty. Log unknown ones, once per process.

        Raises:
            OxaigenAuthConfigurationError: a variable is invalid, or dev mode is on in production.

        >>> OxaigenAuthSettings.from_env({"OXAIGEN_AUTH_CACHE_TTL_SECONDS": "5"}).cache_ttl_seconds
        5.0
        """
        warn_of_unknown_variables(environ, [f.name for f in fields(cls)])
        texts = {f: environ.get(variable(f.name), "").strip() for f in fields(cls)}
        return cls(**{f.name: _parse(f, text) for f, text in texts.items() if text})

    @property
    def is_production(self) -> bool:
        """Whether `environment` is production, in upper or lower case."""
        # str(): this is also read before a value of another type is rejected.
        return str(self.environment).strip().lower() == "production"

    @property
    def fixed_proxy_url(self) -> str | None:
        """The URL of the proxy: the override, otherwise that of dev mode, otherwise None."""
        if self.proxy_url_override is not None:
            return base_url(self.proxy_url_override)
        return self.dev_mode_url

    @property
    def dev_mode_url(self) -> str | None:
        """The URL of the proxy in dev mode; None while it is off."""
        return base_url(self.dev_proxy_url) if self.dev_mode else None

    if not TYPE_CHECKING:  # type checkers know that there are no other attributes

        def __getattr__(self, name: str) -> object:
            raise explain_read(self, name)


# The error of attrs suggests nothing.
type.__setattr__(OxaigenAuthSettings, "__setattr__", refuse_change)


def _parse(setting: Attribute[Any], text: str) -> Any:
    """Return the value of a variable, or its text, which no check accepts."""
    try:
        return setting.metadata["parse"](text)
    except (ValueError, KeyError):
        return text


def _fault(setting: Attribute[Any], value: object) -> str:
    # The text before an "@" may be a password.
    shown = re.sub(r"^(.).*@", r"\1***@", repr(value))[:200]
    expected = setting.metadata["expected"]
    return f"{variable(setting.name)} is {shown}; expected {expected}"


@process_cache
def default_settings() -> OxaigenAuthSettings:
    """Return the settings of the default client, read from the environment at its first use."""
    return OxaigenAuthSettings.from_env()


def current_settings() -> OxaigenAuthSettings:
    """Return the default client's settings, or those that it would get now if there is none.

    Unlike `default_settings`, this does not fix them.
    """
    is_fixed = default_settings.cache_info().currsize
    return default_settings() if is_fixed else OxaigenAuthSettings.from_env()
