"""Who the mock knows: the user that the settings describe, and three built-in personas."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import Factory, field, frozen

from oxaigen_auth_mock.settings import MockSettings

GUEST_PERMISSIONS: Final = ("workspaceBasicAccess",)
USER_PERMISSIONS: Final = (*GUEST_PERMISSIONS, "workspaceDataSourceIntegration")
ADMIN_PERMISSIONS: Final = (*USER_PERMISSIONS, "workspaceOwnership")


def _lower_case(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


@frozen(kw_only=True)
class Persona:
    """Somebody who may call the mock, and what the mock says about them.

    `profile` is what get-me answers, rendered once: changing it later changes no answer.
    `permissions` alone decides permission checks, so it may contradict the profile.
    """

    name: str
    token: str
    profile: Mapping[str, object]
    permissions: frozenset[str] = field(converter=_lower_case)
    profile_json: bytes = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(lambda self: _compact_json(self.profile), takes_self=True),
    )

    def may(self, permission: str) -> bool:
        """Whether this persona has a permission, however its name is written."""
        return permission.lower() in self.permissions


def personas_of(settings: MockSettings) -> dict[str, Persona]:
    """Find everybody by token; one that the settings name is the user's, even a built-in one."""
    personas = {persona.token: persona for persona in _user(settings)}
    for persona in _built_in(settings):
        personas.setdefault(persona.token, persona)
    return personas


def _built_in(settings: MockSettings) -> list[Persona]:
    """One persona for each level of rights in a workspace."""
    return [
        _level("guest", 2, "external", GUEST_PERMISSIONS, settings),
        _level("user", 3, "internal", USER_PERMISSIONS, settings),
        _level("admin", 4, "internal", ADMIN_PERMISSIONS, settings),
    ]


def _level(
    name: str, number: int, account_type: str, permissions: tuple[str, ...], settings: MockSettings
) -> Persona:
    identity: dict[str, object] = {
        "id": number,
        "user_name": name,
        "email": f"{name}@localhost",
        "account_type": account_type,
        "enabled": True,
        "first_name": name.title(),
        "last_name": "Persona",
    }
    profile = _profile(identity, (name,), permissions, settings)
    return Persona(name=name, token=f"mock-{name}-token", profile=profile, permissions=permissions)


def _user(settings: MockSettings) -> list[Persona]:
    """Take the user that the settings describe, once for each of their tokens."""
    identity: dict[str, object] = {
        "id": settings.user_id,
        "user_name": settings.user_name,
        "email": settings.email,
        "account_type": settings.account_type,
        "enabled": True,
        "first_name": settings.first_name,
        "last_name": settings.last_name,
    }
    name, permissions = settings.user_name, settings.permissions
    profile = _profile(identity, settings.role_names, permissions, settings)
    return [
        Persona(name=name, token=token, profile=profile, permissions=permissions)
        for token in (*settings.tokens, settings.access_token_value)
    ]


def _profile(
    identity: Mapping[str, object],
    roles: Iterable[str],
    permissions: Iterable[str],
    settings: MockSettings,
) -> dict[str, object]:
    """Write the answer of get-me; the order of its keys is the wire's."""
    return {
        "is_authenticated": True,
        **identity,
        "user_workspace": {"id": settings.workspace_id, "name": settings.workspace_name},
        "workspace_roles": _numbered(roles),
        "workspace_permissions": _numbered(sorted(_lower_case(permissions))),
    }


def _compact_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _numbered(names: Iterable[str]) -> list[dict[str, object]]:
    return [
        {"id": number, "name": name, "description": None} for number, name in enumerate(names, 1)
    ]
