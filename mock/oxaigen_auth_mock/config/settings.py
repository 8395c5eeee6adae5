"""What a mock is told: every `OXAIGEN_AUTH_MOCK_…` variable, its default and what it is for.

The one place that reads the environment; knows nothing of HTTP.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, Self, TypeVar, cast

from attrs import Attribute, field, fields, frozen

from oxaigen_auth_mock.config import kinds
from oxaigen_auth_mock.config.kinds import Kind

PREFIX: Final = "OXAIGEN_AUTH_MOCK_"
ADDRESS: Final = re.compile("(tcp|udp|sctp)://.+", re.IGNORECASE)
INJECTED: Final = re.compile(  # by Kubernetes, for a service whose name begins with the prefix
    "(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    "|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)"
)

_logger = logging.getLogger("oxaigen_auth_mock")

_T = TypeVar("_T")


class MockConfigurationError(Exception):
    """Some variables hold what they may not; the message names all of them, one a line."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


def log_warning(warning: str) -> None:
    _logger.warning("%s", warning)


def _setting(default: _T, kind: Kind[_T], meaning: str) -> _T:
    """Declare a field; typed as its default, which is what type checkers take it for."""
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


@frozen(kw_only=True)
class MockSettings:
    """What one mock is to do. A field's variable is its name in capitals behind the prefix.

    Built by hand it takes any value of the right type; `from_env` checks what it is given.

    >>> MockSettings(permissions=("audit", "billing")).port
    8765
    """

    host: str = _setting("127.0.0.1", kinds.TEXT, "address to listen on")
    port: int = _setting(8765, kinds.PORT, "port to listen on; 0 takes any free one")
    allow_remote: bool = _setting(
        default=False, kind=kinds.SWITCH, meaning="answer other machines than this one"
    )
    backend: str = _setting("asyncio", kinds.BACKEND, "event loop to run on: asyncio, trio")
    reload: bool = _setting(
        default=False,
        kind=kinds.SWITCH,
        meaning="start anew when a source, persona or fault file changes",
    )
    cors_origins: tuple[str, ...] = _setting(
        ("*",), kinds.ORIGINS, "origins whose pages may call the proxy; * means any"
    )
    strict: bool = _setting(
        default=False,
        kind=kinds.SWITCH,
        meaning="behave like a real provider: fresh tokens that end, codes that work once",
    )
    personas: str | None = _setting(None, kinds.TEXT, "file of personas, .toml or .json")
    faults: str | None = _setting(None, kinds.TEXT, "file of faults to begin with, .toml or .json")
    pick: bool = _setting(
        default=False,
        kind=kinds.SWITCH,
        meaning="ask who signs in; a persona file turns it on too",
    )
    auto_login: str | None = _setting(None, kinds.TEXT, "the persona that signs in without asking")
    latency: float = _setting(
        0.0, kinds.SECONDS, "seconds that token and permission checks wait before they answer"
    )
    tokens: tuple[str, ...] = _setting(
        ("mock-dev-token",), kinds.TOKENS, "the user's tokens, besides ACCESS_TOKEN_VALUE"
    )
    forbidden_token: str | None = _setting(
        None, kinds.TOKEN, "a token that is good, but not for this app (403)"
    )
    access_token_value: str = _setting(
        "mock-dev-token", kinds.COOKIE_VALUE, "the token that signing in hands out"
    )
    refresh_token_value: str = _setting(
        "mock-dev-refresh-token", kinds.COOKIE_VALUE, "the refresh token that comes with it"
    )
    access_cookie_name: str = _setting(
        "OxaigenPlatformAuthAccessToken", kinds.COOKIE_NAME, "cookie that can hold the token"
    )
    refresh_cookie_name: str = _setting(
        "OxaigenPlatformAuthRefreshToken", kinds.COOKIE_NAME, "cookie of the refresh token"
    )
    expires_in: int = _setting(300, kinds.WHOLE_SECONDS, "seconds that a token lasts")
    refresh_expires_in: int = _setting(
        1800, kinds.WHOLE_SECONDS, "seconds that a refresh token lasts"
    )
    return_to: str = _setting("/", kinds.PATH, "where signing in leads when it is not told")
    authorize_path: str = _setting(
        "/_oxa_auth/mock-authorize", kinds.PATH, "path of the identity provider's page"
    )
    auth_code: str = _setting("mock-auth-code", kinds.TOKEN, "the code that signing in hands out")
    login_authorize_url: str | None = _setting(
        None, kinds.URL, "the identity provider's page, if it is not the mock's"
    )
    email: str = _setting("dev@localhost", kinds.TEXT, "the user's e-mail address")
    user_name: str = _setting("devuser", kinds.TEXT, "the user's name for signing in")
    first_name: str = _setting("Dev", kinds.TEXT, "the user's first name")
    last_name: str = _setting("User", kinds.TEXT, "the user's last name")
    user_id: int = _setting(1, kinds.ID, "the user's number")
    account_type: str = _setting("internal", kinds.TEXT, "the user's account: internal, external")
    workspace_id: str = _setting(
        "00000000-0000-0000-0000-000000000001", kinds.TEXT, "id of everybody's workspace"
    )
    workspace_name: str = _setting("Dev Workspace", kinds.TEXT, "name of everybody's workspace")
    role_names: tuple[str, ...] = _setting((), kinds.TEXTS, "the user's roles")
    permissions: tuple[str, ...] = _setting(
        ("audit",), kinds.PERMISSION_NAMES, "the user's permissions; a lone comma means none"
    )

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
            warn: gets a sentence for each variable that is ignored: one with the prefix that no
                setting has, and a `PORT` that Kubernetes set for a service (`tcp://…`).

        Raises:
            MockConfigurationError: naming each variable that holds what it may not.
        """
        environ = _without_ignored(environ, warn)
        values: dict[str, object] = {}
        problems: list[str] = []
        for variable in variables():
            text = environ.get(variable.name, "").strip()
            if not text:
                continue
            try:
                values[variable.setting] = variable.kind.read(text)
            except ValueError:
                problems.append(variable.refuse(text))
        if problems:
            raise MockConfigurationError(tuple(problems))
        return cls(**cast("dict[str, Any]", values))

    def to_env(self) -> dict[str, str]:
        """Write every variable, so that `from_env` reads these settings; None is a blank one."""
        return {each.name: _written(getattr(self, each.setting)) for each in variables()}


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(cast("tuple[str, ...]", value)) or ","
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


@frozen
class Variable:
    """A setting as the environment and the command line see it."""

    setting: str
    kind: Kind[object]
    meaning: str
    default: object

    @property
    def name(self) -> str:
        return variable_name(self.setting)

    def refuse(self, text: str) -> str:
        return f"{self.name} holds {text!r}, but it may only hold {self.kind.may_hold}."


def _without_ignored(
    environ: Mapping[str, str], warn: Callable[[str], object]
) -> Mapping[str, str]:
    """Leave out what no setting is read from, with a warning unless Kubernetes put it there."""
    known = {each.name: environ[each.name] for each in variables() if each.name in environ}
    for name, text in environ.items():
        if name.upper().startswith(PREFIX) and name not in known and not _is_injected(name, text):
            warn(f"{name} is unknown and ignored{_meant(name)}")
    port = variable_name("port")
    if ADDRESS.fullmatch(known.get(port, "").strip()):
        warn(
            f"{port} holds {known.pop(port).strip()!r}, as Kubernetes sets it for a service, and "
            "is ignored; set it to a number, or give --port, for another port than 8765"
        )
    return known


def _is_injected(name: str, text: str) -> bool:
    """Whether Kubernetes sets a variable like this for a service."""
    rest = name.removeprefix(PREFIX)
    by_value = rest.endswith("_PORT") and ADDRESS.fullmatch(text.strip()) is not None
    return by_value or INJECTED.fullmatch(rest) is not None


def _meant(name: str) -> str:
    """End the sentence about an unknown variable."""
    names = [each.setting.upper() for each in variables()]
    close = get_close_matches(name.upper().removeprefix(PREFIX), names, 1)
    if close:
        return f"; did you mean {PREFIX}{close[0]}?"
    return "; oxaigen-auth-mock --help lists the variables"


def variable_name(setting: str) -> str:
    return PREFIX + setting.upper()


def variables() -> tuple[Variable, ...]:
    """Every variable that a mock reads, in the order in which to tell people about them."""
    attributes = cast("tuple[Attribute[object], ...]", fields(MockSettings))
    return tuple(
        Variable(each.name, each.metadata["kind"], each.metadata["meaning"], each.default)
        for each in attributes
    )
