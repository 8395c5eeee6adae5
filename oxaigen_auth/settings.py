"""The settings of the SDK, read from the environment and validated.

The variables and defaults are those of the product page ("SDK configuration"), and some more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

from attrs import Attribute, fields, frozen

from oxaigen_auth._core.process_cache import process_cache
from oxaigen_auth._hints.settings import SettingsType, explain_read, refuse_change
from oxaigen_auth._hints.variables import variable, warn_of_unknown_variables
from oxaigen_auth._syntax.hosts import parse_origin_pattern, parse_pattern
from oxaigen_auth._syntax.setting_kinds import (
    checked,
    count,
    seconds,
    shared_secrets,
    shared_store_url,
    shown,
    switch,
    texts,
    url,
)
from oxaigen_auth._syntax.shared_store_urls import is_shared_by_hosts
from oxaigen_auth._syntax.urls import base_url
from oxaigen_auth.errors import OxaigenAuthConfigurationError

_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DEV_MODE_IN_PRODUCTION = (
    "OXAIGEN_AUTH_DEV_MODE is on while OXAIGEN_AUTH_ENVIRONMENT is production, where no mock may "
    "accept tokens; switch dev mode off, or set the environment to what it is"
)
_STORE_WITHOUT_KEYS = (
    "OXAIGEN_AUTH_SHARED_STORE is that of a server while OXAIGEN_AUTH_SHARED_SECRET is unset; set "
    "it to the same value for all workers, such as that of `openssl rand -hex 32`"
)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return type(value) is str and pattern.fullmatch(value) is not None


def _is_host_pattern(value: Any) -> bool:
    return type(value) is str and parse_pattern(value, "https") is not None


def _is_origin(value: Any) -> bool:
    return type(value) is str and parse_origin_pattern(value) is not None


@frozen(kw_only=True)
class OxaigenAuthSettings(metaclass=SettingsType):
    """The settings of the SDK. Each field has an environment variable, `OXAIGEN_AUTH_<NAME>`.

    Times are in seconds. The settings down to `dev_proxy_url` are those of the product page ("SDK
    configuration"), the others are this package's own. `docs/resilience.md` describes those from
    `breaker` to `trusted_origins`.

    Raises:
        OxaigenAuthConfigurationError: a setting is invalid, or dev mode is on in production. The
            message names every invalid setting, its value, and what is expected.

    >>> OxaigenAuthSettings(allowed_hosts=("*.example.com",)).cache_ttl_seconds
    30.0
    """

    proxy_url_override: str | None = url(None)
    proxy_scheme: str = checked("https", lambda v: v in ("http", "https"), "http or https")
    access_token_cookie_name: str = checked(
        "OxaigenPlatformAuthAccessToken",
        lambda v: _matches(_COOKIE_NAME, v),
        "a cookie name (RFC 6265 §4.1.1)",
    )
    cache_ttl_seconds: float = seconds(30.0)
    negative_cache_ttl_seconds: float = seconds(5.0)
    cache_max_entries: int = count(1024)
    proxy_timeout_seconds: float = seconds(5.0, least=0.001)
    dev_mode: bool = switch(default=False)
    dev_proxy_url: str = url("http://127.0.0.1:8765")
    environment: str | None = checked(
        None,
        lambda v: v is None or type(v) is str,
        "any text; only production, in upper or lower case, has an effect",
    )
    allowed_hosts: tuple[str, ...] = texts(
        _is_host_pattern,
        "hosts separated by commas, such as app.example.com, *.example.com, localhost:8000",
    )
    cache_max_bytes: int = count(64 * 1024 * 1024, least=0)
    max_connections: int = count(100)
    breaker: bool = switch(default=True)
    breaker_max_backoff_seconds: float = seconds(1.0, least=0.001)
    stale_if_error_seconds: float = seconds(0.0)
    refresh_ahead_seconds: float = seconds(0.0)
    max_rejected_per_minute: int = count(0, least=0)
    refusal_log_level: str = checked(
        "DEBUG", lambda v: v in ("DEBUG", "INFO"), "DEBUG or INFO", parse=str.upper
    )
    cross_site_guard: bool = switch(default=True)
    trusted_origins: tuple[str, ...] = texts(
        _is_origin,
        "origins separated by commas, such as https://www.example.com, https://*.example.com",
    )
    shared_store: str | None = shared_store_url()
    shared_secret: tuple[str, ...] = shared_secrets()
    shared_max_skew_seconds: float = seconds(1.0)

    def __attrs_post_init__(self) -> None:
        settings = fields(OxaigenAuthSettings)
        values = [(setting, getattr(self, setting.name)) for setting in settings]
        faults = [_fault(s, value) for s, value in values if not s.metadata["check"](value)]
        if self.dev_mode is True and self.is_production:
            faults.append(_DEV_MODE_IN_PRODUCTION)
        if is_shared_by_hosts(self.shared_store) and self.shared_secret == ():
            faults.append(_STORE_WITHOUT_KEYS)
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
        found = {f: environ.get(variable(f.name), "").strip() for f in fields(cls)}
        try:
            return cls(**{f.name: _parse(f, text) for f, text in found.items() if text})
        except OxaigenAuthConfigurationError as error:
            clear_frames(error.__traceback__)  # a traceback that is kept would keep the secret
            raise
        finally:
            del environ, found

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
    expected = setting.metadata["expected"]
    what = expected(value) if callable(expected) else expected
    return f"{variable(setting.name)} is {shown(setting, value)}; expected {what}"


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
