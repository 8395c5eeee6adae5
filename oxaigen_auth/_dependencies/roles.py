"""The dependencies that require roles.

FastAPI evaluates the annotations here, so they are not postponed.
"""

from abc import abstractmethod
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from oxaigen_auth._dependencies.users import UNRESOLVED, get_current_user
from oxaigen_auth._hints.dependencies import ScopelessDependency, listed
from oxaigen_auth._request.http_errors import missing_roles
from oxaigen_auth._request.identity import report_refusal
from oxaigen_auth._request.websocket_refusals import answerable
from oxaigen_auth.models import User


class RequiredRoles(ScopelessDependency):
    """Return the caller, whose profile must have certain roles."""

    async def __call__(
        self,
        connection: HTTPConnection,
        current_user: Annotated[User, Depends(get_current_user)] = UNRESOLVED,
    ) -> User:
        is_resolved = current_user is not UNRESOLVED
        user = current_user if is_resolved else await get_current_user(connection)
        absent = self.absent(user)
        if absent:
            report_refusal(connection.scope, "role_denied")
            raise answerable(missing_roles(absent), connection)
        return user

    @abstractmethod
    def absent(self, user: User) -> list[str]:
        """Return what the user lacks; empty if nothing."""


class AllRoles(RequiredRoles):
    """Requires each role."""

    def __init__(self, *names: str) -> None:
        self.roles: tuple[str, ...] = names
        self.name: str = f"require_role({listed(names)})"

    def absent(self, user: User) -> list[str]:
        return [name for name in self.roles if not user.has_role(name)]


class AnyRole(RequiredRoles):
    """Requires one of the roles."""

    def __init__(self, *names: str) -> None:
        self.any_role: tuple[str, ...] = names
        self.name: str = f"require_any_role({listed(names)})"

    def absent(self, user: User) -> list[str]:
        is_present = any(map(user.has_role, self.any_role))
        return [] if is_present else [f"one of {', '.join(self.any_role)}"]
