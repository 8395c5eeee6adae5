"""The model of a persona, as files and the control API write it, and its get-me profile."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, cast
from urllib.parse import quote
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from oxaigen_auth_mock.config.constraints import Name, PermissionName, Text, Token
from oxaigen_auth_mock.config.json_values import JsonObject
from oxaigen_auth_mock.config.settings import MockSettings

State: TypeAlias = Literal["ok", "rejected", "not-allowed", "expired", "slow", "never-answers"]


class Persona(BaseModel):
    """A user of the mock, and how the proxy treats them.

    Fields that are left out are derived from the name: `ada` has the token `mock-ada-token` and the
    address `ada@localhost`. None is a null in the profile. Permission checks compare
    `permissions` without case.

    >>> Persona(name="ada", permissions=("audit",)).token
    'mock-ada-token'
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[Name, Field(description="Unique name of the persona.")]
    token: Annotated[Token, Field(description="Bearer token; default: `mock-NAME-token`.")] = ""
    state: Annotated[
        State,
        Field(
            description="How the proxy answers the token: normally, 401 as unknown, 403, 401 as "
            "expired (also a refresh), after `delay` seconds, never."
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
        JsonObject, Field(description="Further fields of the profile, copied unchanged.")
    ] = {}

    @model_validator(mode="before")
    @classmethod
    def _derive_from_name(cls, given: Any) -> Any:
        """Derive missing fields from the name, unless that is invalid."""
        fields = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {}
        name = fields.get("name")
        if not isinstance(name, str) or not _is_name(name.strip()):
            return given
        name = name.strip()
        return {
            "token": f"mock-{quote(name, safe='')}-token",
            "id": crc32(name.encode()) % (2**31 - 1) + 1,
            "user_name": name,
            "email": f"{name}@localhost",
            **fields,
        }

    @field_validator("extra")
    @classmethod
    def _reject_own_fields(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        known = sorted(PROFILE_FIELDS & extra.keys())
        if known:
            raise ValueError(f"sets fields of the persona itself: {', '.join(known)}")
        return extra

    def has_permission(self, permission: str) -> bool:
        """Return whether the persona has a permission, compared without case."""
        return permission.lower() in (name.lower() for name in self.permissions)


def _is_name(text: str) -> bool:
    return text.isprintable() and len(text) <= 100  # noqa: PLR2004 - as in `Name`


IDENTITY: Final = (
    "id", "user_name", "email", "account_type", "enabled", "first_name", "last_name"
)  # fmt: skip
PROFILE_FIELDS: Final = frozenset(
    {*IDENTITY, "is_authenticated", "user_workspace", "workspace_roles", "workspace_permissions"}
)


def profile_of(persona: Persona, settings: MockSettings) -> dict[str, object]:
    """Return what get-me answers for a persona, with its keys in the order of the wire."""
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
