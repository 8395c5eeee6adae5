"""The settings of a mock. Each is an `OXAIGEN_AUTH_MOCK_…` variable; some are flags as well."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from oxaigen_auth_mock.config.constraints import (
    CookieName,
    CookieSuffix,
    CookieToken,
    Expected,
    Line,
    Name,
    Origins,
    PermissionNames,
    Port,
    PositiveInteger,
    Seconds,
    Switch,
    Text,
    Texts,
    Token,
    Tokens,
    Url,
    UrlPath,
)
from oxaigen_auth_mock.config.environment import PREFIX, select_variables, variable_name
from oxaigen_auth_mock.config.validation_errors import format_error

_logger = logging.getLogger("oxaigen_auth_mock")


class MockConfigurationError(Exception):
    """Variables or files hold invalid values; the message has one line for each of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


def log_warning(warning: str) -> None:
    _logger.warning("%s", warning)


class MockSettings(BaseSettings):
    """The settings of one mock.

    The constructor takes keyword arguments and ignores the environment; `from_env` reads it. The
    variable of a setting is its name in upper case with the prefix `OXAIGEN_AUTH_MOCK_`.

    >>> MockSettings(permissions=("audit", "billing")).port
    8765
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX,
        enable_decoding=False,  # lists are separated by commas instead of being JSON
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # it may be a token
    )

    host: Line = Field(default="127.0.0.1", description="address to listen on")
    port: Port = Field(default=8765, description="port to listen on; 0 picks a free one")
    allow_remote: Switch = Field(
        default=False, description="accept connections from other machines"
    )
    tls: Switch = Field(
        default=False,
        description="serve https with a temporary certificate; cookies are Secure, SameSite=None",
    )
    backend: Annotated[Literal["asyncio", "trio"], Expected("asyncio or trio")] = Field(
        default="asyncio", description="event loop to run on: asyncio, trio"
    )
    reload: Switch = Field(
        default=False, description="restart when a source, persona, fault or scenario file changes"
    )
    cors_origins: Origins = Field(
        default=("*",), description="origins whose pages may call the proxy; * allows any"
    )
    strict: Switch = Field(
        default=False,
        description="behave like a real provider: fresh tokens that expire, single-use codes",
    )
    personas: Line | None = Field(default=None, description="file of personas, .toml or .json")
    faults: Line | None = Field(default=None, description="file of initial faults, .toml or .json")
    scenario: Line | None = Field(
        default=None,
        description="scenario to play from the start: a file, .toml or .json, or the name of a "
        "ready one",
    )
    pick: Switch = Field(
        default=False,
        description="show a page to pick who signs in; a persona file enables it too",
    )
    auto_login: Line | None = Field(
        default=None, description="persona that signs in without asking"
    )
    latency: Seconds = Field(
        default=0.0, description="seconds by which token and permission checks are delayed"
    )
    tokens: Tokens = Field(
        default=("mock-dev-token",), description="the user's tokens, besides ACCESS_TOKEN_VALUE"
    )
    forbidden_token: Token | None = Field(
        default=None, description="a valid token that is not allowed for this app (403)"
    )
    access_token_value: CookieToken = Field(
        default="mock-dev-token", description="access token issued by signing in"
    )
    refresh_token_value: CookieToken = Field(
        default="mock-dev-refresh-token", description="refresh token issued by signing in"
    )
    access_cookie_name: CookieName = Field(
        default="OxaigenPlatformAuthAccessToken", description="cookie of the access token"
    )
    refresh_cookie_name: CookieName = Field(
        default="OxaigenPlatformAuthRefreshToken", description="cookie of the refresh token"
    )
    cookie_suffix: CookieSuffix | None = Field(
        default=None,
        description="appended to the names of both cookies with a hyphen; auto means the port",
    )
    expires_in: PositiveInteger = Field(
        default=300, description="lifetime of an access token, in seconds"
    )
    refresh_expires_in: PositiveInteger = Field(
        default=1800, description="lifetime of a refresh token, in seconds"
    )
    return_to: UrlPath = Field(default="/", description="where signing in leads by default")
    authorize_path: UrlPath = Field(
        default="/_oxa_auth/mock-authorize", description="path of the identity provider's page"
    )
    auth_code: Token = Field(default="mock-auth-code", description="code issued by signing in")
    login_authorize_url: Url | None = Field(
        default=None, description="the identity provider's page, if it is not the mock's"
    )
    email: Text = Field(default="dev@localhost", description="the user's e-mail address")
    user_name: Name = Field(default="devuser", description="the user's sign-in name")
    first_name: Text = Field(default="Dev", description="the user's first name")
    last_name: Text = Field(default="User", description="the user's last name")
    user_id: PositiveInteger = Field(default=1, description="the user's id")
    account_type: Text = Field(
        default="internal", description="the user's account: internal, external"
    )
    workspace_id: Text = Field(
        default="00000000-0000-0000-0000-000000000001", description="id of the workspace"
    )
    workspace_name: Text = Field(default="Dev Workspace", description="name of the workspace")
    role_names: Texts = Field(default=(), description="the user's roles")
    permissions: PermissionNames = Field(
        default=("audit",), description="the user's permissions; a single comma means none"
    )

    @property
    def access_cookie(self) -> str:
        """The full name of the cookie of the access token.

        >>> MockSettings(cookie_suffix="auto").access_cookie
        'OxaigenPlatformAuthAccessToken-8765'
        """
        return self._with_suffix(self.access_cookie_name)

    @property
    def refresh_cookie(self) -> str:
        """The full name of the cookie of the refresh token."""
        return self._with_suffix(self.refresh_cookie_name)

    def _with_suffix(self, name: str) -> str:
        if self.cookie_suffix is None:
            return name
        return f"{name}-{self.port if self.cookie_suffix == 'auto' else self.cookie_suffix}"

    @classmethod
    def settings_customise_sources(
        cls, *_args: Any, **sources: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave the environment to `from_env`."""
        return (sources["init_settings"],)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        warn: Callable[[str], object] = log_warning,
    ) -> Self:
        """Read every variable; one that is unset or blank leaves its setting at the default.

        Args:
            environ: the variables.
            warn: called with one sentence for each variable that is ignored: an unknown one with
                the prefix, and a `PORT` that Kubernetes set for a service (`tcp://…`).

        Raises:
            MockConfigurationError: naming each variable that has an invalid value.
        """
        source = EnvSettingsSource(cls)
        selected = select_variables(environ, cls.model_fields, warn)
        source.env_vars = {name.lower(): text for name, text in selected.items()}
        try:
            return cls(**source())
        except ValidationError as error:
            raise MockConfigurationError(
                tuple(
                    format_error(variable_name(str(detail["loc"][0])), detail)
                    for detail in error.errors()
                )
            ) from None
