"""The dependency that returns the client in use.

FastAPI evaluates the annotations here, so they are not postponed.
"""

from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from oxaigen_auth._dependencies.users import NO_SCOPES
from oxaigen_auth._hints.dependencies import ScopelessDependency
from oxaigen_auth._request.app_check import refuse_scopes
from oxaigen_auth._request.identity import client_of
from oxaigen_auth.client import ProxyAuthClient


class GetAuthClient(ScopelessDependency):
    """Return the client that identifies the callers of this route. It protects no route itself.

    It is the client of the `OxaigenAuthMiddleware` around the app, or the default client of the
    process. Do not close it.

    Raises:
        OxaigenAuthConfigurationError: the environment holds invalid settings, or the route has
            scopes that nothing checks.

    >>> from typing import Annotated
    >>> from fastapi import Depends, FastAPI
    >>> app = FastAPI()
    >>> @app.get("/auth-stats")
    ... async def stats(client: Annotated[ProxyAuthClient, Depends(get_auth_client)]) -> int:
    ...     return client.stats().upstream_calls
    """

    name = "get_auth_client"
    identifies = False

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes = NO_SCOPES
    ) -> ProxyAuthClient:
        if security_scopes.scopes:
            refuse_scopes(connection.scope, security_scopes.scopes)
        return client_of(connection.scope)


get_auth_client: GetAuthClient = GetAuthClient()
