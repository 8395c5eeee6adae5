"""The FastAPI dependencies: each returns a typed user, or raises an HTTP error.

The first two are also security schemes, so that the app's OpenAPI document shows which routes need
a token. FastAPI evaluates the annotations here, so they are not postponed.
"""

from functools import cache
from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import HTTPBearer, SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from oxaigen_auth._hints.dependencies import DeclaredInCode, ScopelessDependency
from oxaigen_auth._request.app_check import refuse_scopes
from oxaigen_auth._request.http_errors import (
    missing,
    optional_user_of,
    refusal_of_verdict,
    user_of,
)
from oxaigen_auth._request.identity import identify
from oxaigen_auth._syntax.tokens import check_permission_name
from oxaigen_auth._validation.verdict import Accepted
from oxaigen_auth.models import User

_NO_SCOPES = SecurityScopes()
_UNRESOLVED: Any = object()  # the default if FastAPI does not resolve dependencies


class BearerScheme(ScopelessDependency, SecurityBase):
    """The security scheme in OpenAPI: `Authorization: Bearer <token>` (RFC 6750 §2.1)."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="An Oxaigen access token.").model
        self.scheme_name = "OxaigenAuth"


class CurrentUser(BearerScheme):
    """Return the caller, who must be signed in.

    Raises:
        HTTPException: 401 without a valid token; 403 if the user may not use this app; 502 if the
            proxy gives no usable answer; 429 if the caller's address sent too many rejected
            tokens; 400 if the request's host is invalid.
        OxaigenAuthConfigurationError: the route has scopes that nothing checks.

    >>> from typing import Annotated
    >>> from fastapi import Depends, FastAPI
    >>> app = FastAPI()
    >>> @app.get("/me")
    ... async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
    ...     return user
    """

    name = "get_current_user"

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes = _NO_SCOPES
    ) -> User:
        if security_scopes.scopes:
            refuse_scopes(connection.scope, security_scopes.scopes)
        return user_of(await identify(connection.scope))


class CurrentUserOptional(BearerScheme):
    """Return the caller, or None without a token or if the proxy rejected it.

    Raises:
        HTTPException: 502 if the proxy gives no usable answer; 429 if the caller's address sent too
            many rejected tokens; 400 if the request's host is invalid.
        OxaigenAuthConfigurationError: the route has scopes that nothing checks.

    >>> from typing import Annotated
    >>> from fastapi import Depends, FastAPI
    >>> app = FastAPI()
    >>> @app.get("/greeting")
    ... async def greet(user: Annotated[User | None, Depends(get_current_user_optional)]) -> str:
    ...     return f"Hello {user.first_name}" if user else "Hello"
    """

    name = "get_current_user_optional"

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes = _NO_SCOPES
    ) -> User | None:
        if security_scopes.scopes:
            refuse_scopes(connection.scope, security_scopes.scopes)
        return optional_user_of(await identify(connection.scope))


get_current_user = CurrentUser()
get_current_user_optional = CurrentUserOptional()


async def current_user(connection: HTTPConnection) -> User | None:
    """Return the caller, or None without a token or if the proxy rejected it.

    For a route that needs the caller only sometimes, and otherwise must not wait for the proxy; and
    for Starlette without FastAPI. A path that the middleware excludes is asked about here.

    Raises:
        HTTPException: 502 if the proxy gives no usable answer; 429 if the caller's address sent too
            many rejected tokens; 400 if the request's host is invalid.

    >>> from fastapi import FastAPI, Request
    >>> app = FastAPI()
    >>> @app.get("/greeting")
    ... async def greet(request: Request, personal: bool = False) -> str:
    ...     user = await current_user(request) if personal else None
    ...     return f"Hello {user.first_name}" if user else "Hello"
    """
    return optional_user_of(await identify(connection.scope))


class PermittedUser(ScopelessDependency):
    """Return the caller, who must hold a permission. The caller is identified first.

    The user is that of `get_current_user`, or of the dependency that overrides it. The permission
    is checked with the request's own token.

    Raises:
        HTTPException: 403 if the permission is missing, or the user may not use this app; 401
            without a valid token; 502 if the proxy gives no usable answer; 429 if the caller's
            address sent too many rejected tokens; 400 if the request's host is invalid.
        OxaigenAuthConfigurationError: the route has scopes that nothing checks.
    """

    def __init__(self, permission_name: str) -> None:
        self.permission_name = permission_name
        self.name = f'require_permission("{permission_name}")'

    async def __call__(
        self,
        connection: HTTPConnection,
        current_user: Annotated[User, Depends(get_current_user)] = _UNRESOLVED,
    ) -> User:
        identity = await identify(connection.scope)
        user = user_of(identity)
        match await identity.check_permission(self.permission_name):
            case Accepted(True):
                return user if current_user is _UNRESOLVED else current_user
            case Accepted():
                raise missing(self.permission_name)
            case refusal:
                raise refusal_of_verdict(refusal)


def require_permission(permission_name: Annotated[str, DeclaredInCode]) -> PermittedUser:
    """Return the dependency for a permission: the same object for equal names.

    So `app.dependency_overrides[require_permission("audit")] = …` works. An override of
    `get_current_user` applies here as well.

    Raises:
        ValueError: the name is not of the form `[A-Za-z0-9_-]+`.

    >>> from typing import Annotated
    >>> from fastapi import Depends, FastAPI
    >>> app = FastAPI()
    >>> @app.get("/audit")
    ... async def audit(user: Annotated[User, Depends(require_permission("audit"))]) -> str:
    ...     return f"seen by {user.email}"
    """
    return _permitted_user(check_permission_name(permission_name))


@cache
def _permitted_user(permission_name: str) -> PermittedUser:
    return PermittedUser(permission_name)
