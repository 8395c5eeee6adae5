"""The FastAPI dependencies: a typed user for the route, or an answer for the caller.

Each is also a security scheme, so that the app's OpenAPI document says which routes want a token.
FastAPI reads their annotations, which therefore are not postponed.
"""

from functools import cache

from fastapi import HTTPException
from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from oxaigen_auth._identify import Identity, identify
from oxaigen_auth._syntax import check_permission_name
from oxaigen_auth.models import User
from oxaigen_auth.verdict import UNAVAILABLE_MESSAGE, Accepted, Rejected, Unavailable


class BearerScheme(SecurityBase):
    """What the dependencies are to OpenAPI: `Authorization: Bearer <token>` (RFC 6750 §2.1)."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="An Oxaigen access token.").model
        self.scheme_name = "OxaigenAuth"


class CurrentUser(BearerScheme):
    """The caller, who must be signed in.

    Raises:
        HTTPException: 401 without a good token, 403 if the user may not use this app, 502 if the
            proxy cannot say, 400 if the host cannot say where the proxy is.
    """

    async def __call__(self, connection: HTTPConnection) -> User:
        return _user(await identify(connection.scope))


class CurrentUserOptional(BearerScheme):
    """The caller, or None if no token came or the proxy turned it down.

    Raises:
        HTTPException: 502 and 400, as `CurrentUser`. An outage never reads as "nobody".
    """

    async def __call__(self, connection: HTTPConnection) -> User | None:
        identity = await identify(connection.scope)
        nobody = identity.verdict is None or isinstance(identity.verdict, Rejected)
        return None if nobody and identity.bad_host is None else _user(identity)


class PermittedUser(BearerScheme):
    """The caller, who must hold a permission. The proxy is asked who it is first.

    Raises:
        HTTPException: as `CurrentUser`, and 403 if the permission is missing.
    """

    def __init__(self, permission_name: str) -> None:
        super().__init__()
        self.permission_name = check_permission_name(permission_name)

    async def __call__(self, connection: HTTPConnection) -> User:
        identity = await identify(connection.scope)
        user = _user(identity)
        match await identity.check_permission(self.permission_name):
            case Accepted(True):
                return user
            case Accepted():
                raise _missing(self.permission_name)
            case refusal:
                raise _answer(refusal)


get_current_user = CurrentUser()
get_current_user_optional = CurrentUserOptional()


@cache
def require_permission(permission_name: str) -> PermittedUser:
    """Return the dependency for a permission: for equal names the same object.

    So `app.dependency_overrides[require_permission("audit")] = …` works.

    Raises:
        ValueError: the name is not of the form `[A-Za-z0-9_-]+`.
    """
    return PermittedUser(permission_name)


def _user(identity: Identity) -> User:
    verdict = identity.verdict
    if isinstance(verdict, Accepted):
        return verdict.value
    if identity.bad_host is not None:
        raise HTTPException(400, identity.bad_host)
    if verdict is None:
        raise HTTPException(401, "Not authenticated", _challenge("Bearer"))
    raise _answer(verdict)


def _answer(refusal: Rejected | Unavailable) -> HTTPException:
    if isinstance(refusal, Unavailable):
        hint = refusal.retry_after
        headers = None if hint is None else {"Retry-After": str(hint)}
        return HTTPException(502, UNAVAILABLE_MESSAGE, headers)
    if refusal.forbidden:
        return HTTPException(403, refusal.detail)
    return HTTPException(401, refusal.detail, _challenge('Bearer error="invalid_token"'))


def _missing(name: str) -> HTTPException:
    challenge = _challenge(f'Bearer error="insufficient_scope", scope="{name}"')
    return HTTPException(403, f"Missing permission: {name}", challenge)


def _challenge(text: str) -> dict[str, str]:
    """Say what is wrong with the credentials (RFC 6750 §3)."""
    return {"WWW-Authenticate": text}
