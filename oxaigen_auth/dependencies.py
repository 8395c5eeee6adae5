"""The FastAPI dependencies: each returns a typed value, or raises an HTTP error.

`CurrentUser`, `OptionalUser` and `AuthClient` are annotations of a route's parameters. The others
are written in `Depends(…)`, on a route, a router or the app. However many a route has, each
question about its caller is asked once.

FastAPI evaluates the annotations here, so they are not postponed.
"""

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from fastapi import Depends

from oxaigen_auth._dependencies.clients import get_auth_client
from oxaigen_auth._dependencies.permissions import (
    AllPermissions,
    AnyPermission,
    OnePermission,
    SeveralPermissions,
)
from oxaigen_auth._dependencies.roles import AllRoles, AnyRole
from oxaigen_auth._dependencies.users import (
    current_user,
    get_current_user,
    get_current_user_optional,
)
from oxaigen_auth._hints.dependencies import DeclaredInCode, takes_names
from oxaigen_auth._syntax.tokens import check_permission_name
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.models import User

if TYPE_CHECKING:
    from oxaigen_auth._dependencies.own_models import GetCurrentUserAs

__all__ = [
    "AuthClient",
    "CurrentUser",
    "OptionalUser",
    "current_user",
    "get_auth_client",
    "get_current_user",
    "get_current_user_as",
    "get_current_user_optional",
    "require_any_permission",
    "require_any_role",
    "require_permission",
    "require_role",
]

U = TypeVar("U", bound=User)

_AllName: TypeAlias = Annotated[
    str, DeclaredInCode("require_permission", "the names of permissions", '"audit"')
]
_AnyName: TypeAlias = Annotated[
    str, DeclaredInCode("require_any_permission", "the names of permissions", '"audit", "admin"')
]
_Role: TypeAlias = Annotated[str, DeclaredInCode("require_role", "the names of roles", '"owner"')]
_RoleOfAny: TypeAlias = Annotated[
    str, DeclaredInCode("require_any_role", "the names of roles", '"editor", "owner"')
]
_Model: TypeAlias = Annotated[type[U], DeclaredInCode("get_current_user_as", "a class", "MyUser")]

CurrentUser: TypeAlias = Annotated[User, Depends(get_current_user)]
OptionalUser: TypeAlias = Annotated[User | None, Depends(get_current_user_optional)]


@takes_names("permission name", "audit")
def require_permission(
    permission_name: _AllName, *more: _AllName
) -> OnePermission | SeveralPermissions:
    """Return the dependency for callers who hold all of these permissions.

    It is the same object for the same names in the same order, so that
    `app.dependency_overrides[require_permission("audit")] = …` works. An override of
    `get_current_user` applies here as well.

    Several permissions are checked side by side. If the proxy denies one of them, the answer is 403
    with the names of those that it denied, in the order declared, even if it gives no usable answer
    about another.

    Raises:
        TypeError: there is no name.
        ValueError: a name is not of the form `[A-Za-z0-9_-]+`.

    The dependency raises an `HTTPException`: 403 if a permission is missing, or the user may not
    use this app; otherwise as `get_current_user`.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> @app.get("/audit")
    ... async def audit(user: Annotated[User, Depends(require_permission("audit"))]) -> str:
    ...     return f"seen by {user.email}"
    >>> @app.delete("/audit", dependencies=[Depends(require_permission("audit", "write"))])
    ... async def delete() -> None: ...
    """
    return _all_of(_checked(permission_name, *more))


@takes_names("permission name", "audit")
def require_any_permission(
    permission_name: _AnyName, *more: _AnyName
) -> OnePermission | SeveralPermissions:
    """Return the dependency for callers who hold at least one of these permissions.

    As `require_permission`, but one permission that is granted is enough, even if the proxy gives
    no usable answer about the others. If none is granted and one of them is unknown, the answer is
    502; if all are denied, it is 403.

    Raises:
        TypeError: there is no name.
        ValueError: a name is not of the form `[A-Za-z0-9_-]+`.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> @app.get("/log", dependencies=[Depends(require_any_permission("audit", "admin"))])
    ... async def log() -> list[str]:
    ...     return []
    """
    names = _checked(permission_name, *more)
    return _any_of(names) if len(names) > 1 else _all_of(names)


@takes_names("role", "owner")
def require_role(role_name: _Role, *more: _Role) -> AllRoles:
    """Return the dependency for callers whose profile has all of these roles, compared exactly.

    The roles are those of `get_current_user`, or of the dependency that overrides it; the proxy is
    asked for nothing else. It is the same object for the same names in the same order.

    Raises:
        TypeError: there is no name.
        ValueError: a name is not a string, or is empty.

    The dependency raises an `HTTPException`: 403 if a role is missing; otherwise as
    `get_current_user`.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> @app.get("/billing", dependencies=[Depends(require_role("owner"))])
    ... async def billing() -> list[str]:
    ...     return []
    """
    return _all_roles(tuple(dict.fromkeys(map(_check_role, (role_name, *more)))))


@takes_names("role", "owner")
def require_any_role(role_name: _RoleOfAny, *more: _RoleOfAny) -> AnyRole:
    """Return the dependency for callers whose profile has at least one of these roles.

    As `require_role` otherwise. It is the same object for the same names in the same order.

    Raises:
        TypeError: there is no name.
        ValueError: a name is not a string, or empty.

    The dependency raises an `HTTPException`: 403 if all roles are missing; otherwise as
    `get_current_user`.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> @app.get("/drafts")
    ... async def drafts(
    ...     user: Annotated[User, Depends(require_any_role("editor", "owner"))],
    ... ) -> str:
    ...     return f"the drafts of {user.user_name}"
    """
    return _any_role(tuple(dict.fromkeys(map(_check_role, (role_name, *more)))))


def get_current_user_as(model: _Model[U]) -> "GetCurrentUserAs[U]":
    """Return the dependency for the caller as an instance of a subclass of `User`.

    The attributes that the subclass adds are read from the fields of the profile that are otherwise
    in `User.extra`, as strictly as those of `User`: the answer is 502 if a field has another type,
    or is missing and has no default. It is the same object for the same class.

    Raises:
        TypeError: `model` is not a subclass of `User` that is decorated with
            `@attrs.frozen(kw_only=True)`.

    The dependency raises an `HTTPException` as `get_current_user`.

    >>> import attrs
    >>> from fastapi import FastAPI
    >>> @attrs.frozen(kw_only=True)
    ... class Member(User):
    ...     tenant: str | None = None
    >>> app = FastAPI()
    >>> @app.get("/tenant")
    ... async def tenant(user: Annotated[Member, Depends(get_current_user_as(Member))]) -> str:
    ...     return user.tenant or "none"
    """
    return _as_model(model)  # type: ignore[arg-type]  # a class is hashable


AuthClient: TypeAlias = Annotated[ProxyAuthClient, Depends(get_auth_client)]


def _checked(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(check_permission_name, names)))


def _check_role(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{name!r} is not the name of a role: use a string that is not empty.")
    return str.__str__(name)  # as in `check_permission_name`


@cache
def _all_of(names: tuple[str, ...]) -> OnePermission | SeveralPermissions:
    return OnePermission(*names) if len(names) == 1 else AllPermissions(*names)


@cache
def _any_of(names: tuple[str, ...]) -> SeveralPermissions:
    return AnyPermission(*names)


@cache
def _all_roles(names: tuple[str, ...]) -> AllRoles:
    return AllRoles(*names)


@cache
def _any_role(names: tuple[str, ...]) -> AnyRole:
    return AnyRole(*names)


@cache
def _as_model(model: type[Any]) -> "GetCurrentUserAs[Any]":
    from oxaigen_auth._dependencies.own_models import (  # noqa: PLC0415 (few apps use it)
        GetCurrentUserAs,
        check_model,
    )

    check_model(model)
    return GetCurrentUserAs(model)
