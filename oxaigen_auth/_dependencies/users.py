"""The dependencies that return the caller.

They are also security schemes, so that FastAPI shows which routes need a token. FastAPI evaluates
the annotations here, so they are not postponed.
"""

from typing import Any

from fastapi import HTTPException
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.security import HTTPBearer, SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from oxaigen_auth._hints.dependencies import BEARER_SCHEME, ScopelessDependency
from oxaigen_auth._request.app_check import refuse_scopes
from oxaigen_auth._request.http_errors import optional_user_of, user_of
from oxaigen_auth._request.identity import identify
from oxaigen_auth._request.websocket_refusals import answerable
from oxaigen_auth.models import User
from oxaigen_auth.openapi import extend_fastapi

UNRESOLVED: Any = object()  # the default of a dependency that FastAPI does not resolve
NO_SCOPES = SecurityScopes()


class BearerScheme(ScopelessDependency, SecurityBase):
    """The security scheme in OpenAPI: `Authorization: Bearer <token>` (RFC 6750 §2.1)."""

    def __init__(self) -> None:
        self.model: SecurityModel = HTTPBearer(description="An Oxaigen access token.").model
        self.scheme_name = BEARER_SCHEME


class GetCurrentUser(BearerScheme):
    """Return the caller, who must be signed in.

    Raises:
        HTTPException: 401 without a valid token; 403 if the user may not use this app; 502 if the
            proxy gives no usable answer; 429 if the caller's address sent too many rejected
            tokens; 400 if the request's host is invalid.
        OxaigenAuthConfigurationError: the route has scopes that nothing checks.

    >>> from typing import Annotated
    >>> from fastapi import Depends, FastAPI
    >>> app = FastAPI(dependencies=[Depends(get_current_user)])  # all routes need a token
    >>> @app.get("/me")
    ... async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
    ...     return user
    """

    name = "get_current_user"

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes = NO_SCOPES
    ) -> User:
        if security_scopes.scopes:
            refuse_scopes(connection.scope, security_scopes.scopes)
        try:
            return user_of(await identify(connection.scope))
        except HTTPException as error:
            raise answerable(error, connection) from None


class GetCurrentUserOptional(BearerScheme):
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
    is_optional = True

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes = NO_SCOPES
    ) -> User | None:
        if security_scopes.scopes:
            refuse_scopes(connection.scope, security_scopes.scopes)
        return await current_user(connection)


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
    try:
        return optional_user_of(await identify(connection.scope))
    except HTTPException as error:
        raise answerable(error, connection) from None


extend_fastapi()
get_current_user: GetCurrentUser = GetCurrentUser()
get_current_user_optional: GetCurrentUserOptional = GetCurrentUserOptional()
