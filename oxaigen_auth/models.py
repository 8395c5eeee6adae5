"""The proxy's profile object as typed values.

Every field that the proxy sends is kept: those without an attribute here are in `extra`. The
attributes have the proxy's own names (product page, "User model deep dive").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self

from attrs import field, frozen

from oxaigen_auth._hints.models import refuse_names
from oxaigen_auth._models.base import Model, names
from oxaigen_auth._models.checked_init import own_extra, tuple_of
from oxaigen_auth._models.pydantic import USER_ADVICE


class _Entry(Model):
    """An object inside a profile. Many users may share it."""

    __slots__ = ()

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for name in self._extra or ():
            if name != "extra" and name in names(type(self)):
                raise TypeError(f"{type(self).__name__}.extra must not hold {name!r}, a field")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make an entry from the result of `to_dict`, or from a part of the proxy's profile.

        As in `User.from_dict`, which describes it: `data` vouches for nobody.

        Raises:
            TypeError: `data` is not a dict.
            ValueError: a field has a value of the wrong type; the message has its path.

        >>> WorkspaceRole.from_dict({"id": 1, "name": "owner", "since": 2020}).extra
        {'since': 2020}
        """
        from oxaigen_auth._models.structuring import from_json_value  # noqa: PLC0415 (cattrs)

        return from_json_value(cls, data)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._pairs()

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        for name in names(type(self)):
            if name != "extra":
                yield name, getattr(self, name)
        yield from self.extra.items()


@frozen(repr=False)
class UserWorkspace(_Entry):
    """The workspace that the user's session is scoped to."""

    id: str | None = None
    name: str | None = None
    _extra: dict[str, Any] | None = field(
        default=None, alias="extra", converter=own_extra, hash=False
    )


@frozen(repr=False)
class WorkspaceRole(_Entry):
    """A role that the user holds in the workspace."""

    id: int | None = None
    name: str | None = None
    description: str | None = None
    _extra: dict[str, Any] | None = field(
        default=None, alias="extra", converter=own_extra, hash=False
    )


@frozen(repr=False)
class WorkspacePermission(_Entry):
    """A permission that the user holds in the workspace."""

    id: int | None = None
    name: str | None = None
    description: str | None = None
    _extra: dict[str, Any] | None = field(
        default=None, alias="extra", converter=own_extra, hash=False
    )


def _roles(roles: Iterable[WorkspaceRole]) -> tuple[WorkspaceRole, ...]:
    return tuple_of(WorkspaceRole, "User.workspace_roles", roles)


def _permissions(permissions: Iterable[WorkspacePermission]) -> tuple[WorkspacePermission, ...]:
    return tuple_of(WorkspacePermission, "User.workspace_permissions", permissions)


@frozen(kw_only=True, repr=False)
class User(Model):
    """The bearer of a token, as the proxy describes it.

    Fields that the proxy did not send are None. A user is deeply immutable, so that many requests
    can share one: lists and dicts that are read from it are copies. Users are equal if all their
    fields are equal, and can be hashed whatever `extra` contains.

    Raises:
        TypeError: a value has the wrong type.

    >>> user = User(user_name="ada", workspace_permissions=[WorkspacePermission(name="audit")])
    >>> user.has_permission("audit"), user.has_role("owner"), user.is_anonymous
    (True, False, False)
    """

    is_authenticated: bool = True
    id: int | None = None
    user_name: str | None = None
    email: str | None = None
    account_type: str | None = None
    enabled: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    user_workspace: UserWorkspace | None = None
    _workspace_roles: tuple[WorkspaceRole, ...] = field(
        default=(), alias="workspace_roles", converter=_roles
    )
    _workspace_permissions: tuple[WorkspacePermission, ...] = field(
        default=(), alias="workspace_permissions", converter=_permissions
    )
    _extra: dict[str, Any] | None = field(
        default=None, alias="extra", converter=own_extra, hash=False
    )

    def __init_subclass__(cls) -> None:
        refuse_names(cls, User, {"extra", "workspace_roles", "workspace_permissions"})

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name, value in self._pairs():
            if isinstance(value, _Entry):
                yield name, dict(value)
            elif isinstance(value, list):
                yield name, [dict(it) if isinstance(it, _Entry) else it for it in value]
            else:
                yield name, value

    @property
    def workspace_roles(self) -> list[WorkspaceRole]:
        """The roles that the user holds, as a new list at every read."""
        return list(self._workspace_roles)

    @property
    def workspace_permissions(self) -> list[WorkspacePermission]:
        """The permissions that the user holds, as a new list at every read."""
        return list(self._workspace_permissions)

    @property
    def is_anonymous(self) -> bool:
        """Whether the user is not signed in; never true for a user that a dependency returns."""
        return not self.is_authenticated

    @property
    def display_name(self) -> str:
        """The user name, otherwise the email address, for Starlette's `request.user`."""
        return self.user_name or self.email or ""

    @property
    def identity(self) -> str:
        """The id, otherwise the user name, for Starlette's `request.user`."""
        return str(self.id) if self.id is not None else self.user_name or ""

    def has_role(self, name: str) -> bool:
        """Return whether the profile has a role with exactly this name."""
        return any(role.name == name for role in self._workspace_roles)

    def has_permission(self, name: str) -> bool:
        """Return whether the profile lists a permission with exactly this name.

        This reads the profile only. `require_permission` asks the proxy, which decides.
        """
        return any(permission.name == name for permission in self._workspace_permissions)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make a user from the result of `to_dict`, or from a profile of the proxy.

        This vouches for nobody: whoever can write `data` chooses the user. Use it for what your app
        stored itself, such as a job in a queue, and in tests; never for what a caller sends.

        Fields without an attribute go to `extra`, beside those of an `extra` in `data`. A field
        that is missing or null gets its default, and a string of digits is accepted as an integer.

        Raises:
            TypeError: `data` is not a dict.
            ValueError: a field has a value of the wrong type, and the message has its path; or no
                documented field has a value.

        >>> User.from_dict({"id": 7, "workspace_roles": [{"name": "owner"}]}).has_role("owner")
        True
        >>> user = User(user_name="ada", extra={"department": "R&D"})
        >>> User.from_dict(user.to_dict()) == user
        True
        """
        from oxaigen_auth._models.structuring import (  # noqa: PLC0415 (imports cattrs)
            from_json_value,
            has_documented_value,
        )

        user = from_json_value(cls, data)
        if not has_documented_value(data, user):
            raise ValueError(f"{cls.__name__}: none of the documented fields has a value")
        unknown = user.extra
        extra = unknown.pop("extra", None) or {}
        if type(extra) is not dict:
            raise ValueError(f"{cls.__name__}.extra: expected an object")
        return user.with_extra({**extra, **unknown} or None)

    @classmethod
    def _advice(cls) -> str:
        name = cls.__name__
        own = f"write `user: Annotated[{name}, Depends(get_current_user_as({name}))]`"
        return USER_ADVICE if cls is User else own

    @classmethod
    def _documented(cls) -> dict[str, Any]:
        parts = {
            "workspace_roles": list[WorkspaceRole],
            "workspace_permissions": list[WorkspacePermission],
            "extra": dict[str, Any],
        }
        return super()._documented() | parts
