"""Who can call the mock: what a persona is, and those that every mock has. Knows no HTTP.

A persona is what files and the control API hold, so pydantic checks it: every mistake has its path.
"""

import json
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
    field_validator,
    model_validator,
)

from oxaigen_auth_mock.settings import MockSettings

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
        Token, Field(description="Bearer token; names that cannot be in one need it.")
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
        Field(ge=0, le=3600, allow_inf_nan=False, description="Seconds that `slow` waits."),
    ] = 2.0
    roles: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    permissions: Annotated[tuple[PermissionName, ...], Field(max_length=1000)] = ()
    id: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None
    user_name: Text | None = None
    email: Text | None = None
    account_type: Text | None = "internal"
    enabled: bool | None = True
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
        json.dumps(extra, allow_nan=False, ensure_ascii=False).encode()  # else no answer
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


def built_in(settings: MockSettings) -> list[Persona]:
    """Introduce those that every mock has: the user of the settings, then three levels of access.

    The forbidden token makes one more, of that name, who comes first and so keeps the token.
    """
    personas = [
        _user(settings),
        _level("guest", 2, "external", GUEST_PERMISSIONS),
        _level("user", 3, "internal", USER_PERMISSIONS),
        _level("admin", 4, "internal", ADMIN_PERMISSIONS),
    ]
    if settings.forbidden_token is not None:
        forbidden = Persona(name="forbidden", token=settings.forbidden_token, state="not-allowed")
        personas.insert(0, forbidden)
    return personas


def _user(settings: MockSettings) -> Persona:
    return Persona(
        name=settings.user_name,
        token=settings.access_token_value,
        roles=settings.role_names,
        permissions=settings.permissions,
        id=settings.user_id,
        email=settings.email,
        account_type=settings.account_type,
        first_name=settings.first_name,
        last_name=settings.last_name,
    )


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
