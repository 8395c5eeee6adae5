"""The personas that every mock has: the user of the settings, and three levels of access."""

from typing import Final

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.personas.model import Persona

GUEST_PERMISSIONS: Final = ("workspaceBasicAccess",)
USER_PERMISSIONS: Final = (*GUEST_PERMISSIONS, "workspaceDataSourceIntegration")
ADMIN_PERMISSIONS: Final = (*USER_PERMISSIONS, "workspaceOwnership")
LEVELS: Final = (
    ("guest", "external", GUEST_PERMISSIONS),
    ("user", "internal", USER_PERMISSIONS),
    ("admin", "internal", ADMIN_PERMISSIONS),
)


def builtin_personas(settings: MockSettings) -> list[Persona]:
    """Return the built-in personas.

    A forbidden token adds the persona `forbidden`, which comes first and so keeps that token.
    """
    user = Persona(
        name=settings.user_name,
        token=settings.access_token_value,
        roles=settings.role_names,
        permissions=settings.permissions,
        id=settings.user_id,
        **settings.model_dump(include={"email", "account_type", "first_name", "last_name"}),
    )
    levels = [
        Persona(
            name=name,
            id=number,
            roles=(name,),
            permissions=permissions,
            account_type=account_type,
            first_name=name.title(),
            last_name="Persona",
        )
        for number, (name, account_type, permissions) in enumerate(LEVELS, 2)
    ]
    if settings.forbidden_token is None:
        return [user, *levels]
    forbidden = Persona(name="forbidden", token=settings.forbidden_token, state="not-allowed")
    return [forbidden, user, *levels]
