"""The dependency that requires roles.

FastAPI evaluates the annotations here, so they are not postponed.
"""

from typing import Annotated

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from oxaigen_auth._dependencies.users import UNRESOLVED, get_current_user
from oxaigen_auth._hints.dependencies import ScopelessDependency, listed
from oxaigen_auth._request.http_errors import missing_roles, user_of
from oxaigen_auth._request.identity import identify, report_refusal
from oxaigen_auth._request.websocket_refusals import answerable
from oxaigen_auth.models import User


class AllRoles(ScopelessDependency):
    """Return the caller, whose profile must have the roles."""

    def __init__(self, *names: str) -> None:
        self.roles: tuple[str, ...] = names
        self.name: str = f"require_role({listed(names)})"

    async def __call__(
        self,
        connection: HTTPConnection,
        current_user: Annotated[User, Depends(get_current_user)] = UNRESOLVED,
    ) -> User:
        is_resolved = current_user is not UNRESOLVED
        try:
            user = current_user if is_resolved else user_of(await identify(connection.scope))
            absent = [name for name in self.roles if not user.has_role(name)]
            if absent:
                report_refusal(connection.scope, "role_denied")
                raise missing_roles(absent)
        except HTTPException as error:
            raise answerable(error, connection) from None
        return user
