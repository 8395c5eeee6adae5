"""The personas that every mock has: the user of the settings, and three levels of access."""

from typing import Final

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.personas.model import Persona

GUEST_PERMISSIONS: Final = ("workspaceBasicAccess",)
USER_PERMISSIONS: Final = (*GUEST_PERMISSIONS, "workspaceDataSourceIntegration")
ADMIN_PERMISSIONS: Final = (*USER_PERMISSIONS, "workspaceOwnership")


def builtin_personas(settings: MockSettings) -> list[Persona]:
    """Return the built-in personas.

    A forbidden token adds the persona `forbidden`, which comes first and so keeps that token.
    """
    personas = [
        _configured_user(settings),
        _access_level("guest", 2, "external", GUEST_PERMISSIONS),
        _access_level("user", 3, "internal", USER_PERMISSIONS),
        _access_level("admin", 4, "internal", ADMIN_PERMISSIONS),
    ]
    if settings.forbidden_token is not None:
        forbidden = Persona(name="forbidden", token=settings.forbidden_token, state="not-allowed")
        personas.insert(0, forbidden)
    return personas


def _configured_user(settings: MockSettings) -> Persona:
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


def _access_level(
    name: str, number: int, account_type: str, permissions: tuple[str, ...]
) -> Persona:
    return Persona(
        name=name,
        id=number,
        roles=(name,),
        permissions=permissions,
        account_type=account_type,
        first_name=name.title(),
        last_name="Persona",
    )
