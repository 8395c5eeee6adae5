"""The FastAPI dependencies: a typed user for the route, or an answer for the caller.

The first two are also security schemes, so that the app's OpenAPI document says which routes want
a token. FastAPI reads the annotations here, which therefore are not postponed.
"""

from functools import cache
from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import HTTPBearer, SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from oxaigen_auth._request.app_check import DeclaredInCode, ScopelessDependency, refuse_scopes
from oxaigen_auth._request.http_errors import missing, refusal_of_verdict, user_of
from oxaigen_auth._request.identity import identify
from oxaigen_auth._syntax.tokens import check_permission_name
from oxaigen_auth._validation.verdict import Accepted, Rejected
from oxaigen_auth.models import User

_NO_SCOPES = SecurityScopes()
_BY_HAND: Any = object()  # in place of what FastAPI would have resolved


class BearerScheme(ScopelessDependency, SecurityBase):
    """What the dependencies are to OpenAPI: `Authorization: Bearer <token>` (RFC 6750 §2.1)."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="An Oxaigen access token.").model
        self.scheme_name = "OxaigenAuth"


class CurrentUser(BearerScheme):
    """The caller, who must be signed in.

    Raises:
        HTTPException: 401 without a good token, 403 if the user may not use this app, 502 if the
            proxy cannot say, 429 if the caller's address brought too many rejected tokens, 400 if
            the host cannot say where the proxy is.
        OxaigenAuthConfigurationError: scopes were given that nothing checks.
    """

    name = "get_current_user"

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes = _NO_SCOPES
    ) -> User:
        if security_scopes.scopes:
            refuse_scopes(connection.scope, security_scopes.scopes)
        return user_of(await identify(connection.scope))


class CurrentUserOptional(BearerScheme):
    """The caller, or None if no token came or the proxy turned it down.

    Raises:
        HTTPException: 502, 429 and 400, as `CurrentUser`. An outage never reads as "nobody".
        OxaigenAuthConfigurationError: as `CurrentUser`.
    """

    name = "get_current_user_optional"

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes = _NO_SCOPES
    ) -> User | None:
        if security_scopes.scopes:
            refuse_scopes(connection.scope, security_scopes.scopes)
        identity = await identify(connection.scope)
        nobody = identity.verdict is None or isinstance(identity.verdict, Rejected)
        return None if nobody and identity.bad_host is None else user_of(identity)


get_current_user = CurrentUser()
get_current_user_optional = CurrentUserOptional()


class PermittedUser(ScopelessDependency):
    """The caller, who must hold a permission. The proxy is asked who it is first.

    The user is the one of `get_current_user`, or of the dependency that overrides it. The
    permission is that of the request's own token.

    Raises:
        HTTPException: as `CurrentUser`, and 403 if the permission is missing.
        OxaigenAuthConfigurationError: as `CurrentUser`.
    """

    def __init__(self, permission_name: str) -> None:
        self.permission_name = permission_name
        self.name = f'require_permission("{permission_name}")'

    async def __call__(
        self,
        connection: HTTPConnection,
        current_user: Annotated[User, Depends(get_current_user)] = _BY_HAND,
    ) -> User:
        identity = await identify(connection.scope)
        user = user_of(identity)
        match await identity.check_permission(self.permission_name):
            case Accepted(True):
                return user if current_user is _BY_HAND else current_user
            case Accepted():
                raise missing(self.permission_name)
            case refusal:
                raise refusal_of_verdict(refusal)


def require_permission(permission_name: Annotated[str, DeclaredInCode]) -> PermittedUser:
    """Return the dependency for a permission: for equal names the same object.

    So `app.dependency_overrides[require_permission("audit")] = …` works. An override of
    `get_current_user` decides who the user is here too, and may refuse them.

    Raises:
        ValueError: the name is not of the form `[A-Za-z0-9_-]+`.
    """
    return _permitted_user(check_permission_name(permission_name))


@cache
def _permitted_user(permission_name: str) -> PermittedUser:
    return PermittedUser(permission_name)
