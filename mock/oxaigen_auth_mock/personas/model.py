"""Who can call the mock: what a persona is, and those that every mock has. Knows no HTTP.

A persona is what files and the control API hold, so pydantic checks it: every mistake has its path.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, cast
from urllib.parse import quote
from zlib import crc32

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from oxaigen_auth_mock.config.json_values import strip_unencodable
from oxaigen_auth_mock.config.settings import MockConfigurationError, MockSettings, variable_name
from oxaigen_auth_mock.config.validation_errors import format_error, format_path

GUEST_PERMISSIONS: Final = ("workspaceBasicAccess",)
USER_PERMISSIONS: Final = (*GUEST_PERMISSIONS, "workspaceDataSourceIntegration")
ADMIN_PERMISSIONS: Final = (*USER_PERMISSIONS, "workspaceOwnership")
DENY: Final = "deny"  # stands for nobody where somebody is picked

State: TypeAlias = Literal["ok", "rejected", "not-allowed", "expired", "slow", "never-answers"]


def _encodable(text: str) -> str:
    """Refuse what no answer can carry and no page can show."""
    if not text.isprintable():
        raise ValueError("may hold no control characters")
    return text


Text: TypeAlias = Annotated[str, Field(max_length=1000), AfterValidator(_encodable)]
Name: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, strip_whitespace=True),
    AfterValidator(_encodable),
]
Token: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$", max_length=4096)]
PermissionName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=200)
]


class Persona(BaseModel):
    """Somebody who may call the mock, and how the mock treats them.

    What is left out follows from the name: `ada` has the token `mock-ada-token` and the address
    `ada@localhost`. None is a null in the profile. `permissions` decides permission checks; they
    compare without case.

    >>> Persona(name="ada", permissions=("audit",)).token
    'mock-ada-token'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[Name, Field(description="How people call them; no two share one.")]
    token: Annotated[
        Token, Field(description="Bearer token; if it is left out, `mock-NAME-token`.")
    ] = ""
    state: Annotated[
        State,
        Field(
            description="How the proxy treats the token: 401 as unknown, 403, 401 as expired (and "
            "no refresh), answers after `delay` seconds, never answers."
        ),
    ] = "ok"
    delay: Annotated[
        float,
        Field(
            strict=True,
            ge=0,
            le=3600,
            allow_inf_nan=False,
            description="Seconds that `slow` waits.",
        ),
    ] = 2.0
    roles: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    permissions: Annotated[tuple[PermissionName, ...], Field(max_length=1000)] = ()
    id: Annotated[int | None, Field(strict=True, ge=1, le=2**31 - 1)] = None
    user_name: Text | None = None
    email: Text | None = None
    account_type: Text | None = "internal"
    enabled: Annotated[bool | None, Field(strict=True)] = True
    first_name: Text | None = None
    last_name: Text | None = None
    extra: Annotated[
        dict[str, JsonValue], Field(description="Further fields of the profile, as they are.")
    ] = {}

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        """Derive what was left out from the name, if that is one."""
        fields = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {}
        name = fields.get("name")
        if not isinstance(name, str) or not name.strip().isprintable():
            return given
        name = name.strip()
        return {
            "token": f"mock-{quote(name, safe='', errors='replace')}-token",
            "id": crc32(name.encode(errors="replace")) % (2**31 - 1) + 1,
            "user_name": name,
            "email": f"{name}@localhost",
            **fields,
        }

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name == DENY:
            raise ValueError(f"{DENY!r} stands for nobody; take another name")
        return name

    @field_validator("extra")
    @classmethod
    def _further(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        known = sorted(PROFILE_FIELDS & extra.keys())
        if known:
            raise ValueError(f"holds fields of the persona itself: {', '.join(known)}")
        _, unfit = strip_unencodable(extra)
        if unfit:
            words = (f"{format_path(path)} holds {what}" for path, what in unfit.items())
            raise ValueError("; ".join(words))
        return extra

    def may(self, permission: str) -> bool:
        """Whether this persona has a permission, however its name is written."""
        return permission.lower() in (name.lower() for name in self.permissions)


IDENTITY: Final = (
    "id", "user_name", "email", "account_type", "enabled", "first_name", "last_name"
)  # fmt: skip
PROFILE_FIELDS: Final = frozenset(
    {*IDENTITY, "is_authenticated", "user_workspace", "workspace_roles", "workspace_permissions"}
)


def profile_of(persona: Persona, settings: MockSettings) -> dict[str, object]:
    """Write what get-me answers about a persona; the order of its keys is the wire's."""
    permissions = sorted({name.lower() for name in persona.permissions})
    return {
        "is_authenticated": True,
        **{name: getattr(persona, name) for name in IDENTITY},
        "user_workspace": {"id": settings.workspace_id, "name": settings.workspace_name},
        "workspace_roles": _numbered(persona.roles),
        "workspace_permissions": _numbered(permissions),
        **persona.extra,
    }


def _numbered(names: tuple[str, ...] | list[str]) -> list[dict[str, object]]:
    return [
        {"id": number, "name": name, "description": None} for number, name in enumerate(names, 1)
    ]


def builtin_personas(settings: MockSettings) -> list[Persona]:
    """Introduce those that every mock has: the user of the settings, then three levels of access.

    The forbidden token makes one more, of that name, who comes first and so keeps the token.

    Raises:
        MockConfigurationError: naming each variable whose value makes no persona.
    """
    personas = [
        _of(settings, USER),
        _level("guest", 2, "external", GUEST_PERMISSIONS),
        _level("user", 3, "internal", USER_PERMISSIONS),
        _level("admin", 4, "internal", ADMIN_PERMISSIONS),
    ]
    if settings.forbidden_token is not None:
        personas.insert(0, _of(settings, FORBIDDEN, name="forbidden", state="not-allowed"))
    return personas


USER: Final = {  # which setting each field of the settings' user comes from
    "name": "user_name",
    "token": "access_token_value",
    "roles": "role_names",
    "permissions": "permissions",
    "id": "user_id",
    "email": "email",
    "account_type": "account_type",
    "first_name": "first_name",
    "last_name": "last_name",
}
FORBIDDEN: Final = {"token": "forbidden_token"}


def _of(settings: MockSettings, sources: Mapping[str, str], **fields: Any) -> Persona:
    """Make a persona of settings, whose mistakes go by the names of their variables."""
    fields |= {each: getattr(settings, setting) for each, setting in sources.items()}
    try:
        return Persona(**fields)
    except ValidationError as error:
        problems = [
            format_error(variable_name(sources[str(name)]) + format_path(place), detail)
            for detail in error.errors()
            for name, *place in [detail["loc"]]
            if name in sources  # others were derived from a mistake that is named itself
        ]
        raise MockConfigurationError(tuple(problems)) from error


def _level(name: str, number: int, account_type: str, permissions: tuple[str, ...]) -> Persona:
    return Persona(
        name=name,
        id=number,
        roles=(name,),
        permissions=permissions,
        account_type=account_type,
        first_name=name.title(),
        last_name="Persona",
    )
