"""The proxy's profile object as typed values. Knows how it is written out, not where it came from.

Every field that the proxy sends is kept: those without an attribute here are in `extra`. The
attributes carry the proxy's own names (product page, "User model deep dive").
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from attrs import field, fields, frozen

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from attrs import AttrsInstance
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


def names(model: type[Any]) -> list[str]:
    """Return what a model's attributes are called, in order."""
    attributes = fields(cast("type[AttrsInstance]", model))
    return [known.alias or known.name for known in attributes]


class _Serializer:
    """Gives pydantic the serializer of a model that it meets where only `Any` is declared."""

    def __get__(self, _: object, model: Hashable) -> Any:
        return _serializer_of(model)


@cache
def _serializer_of(model: Any) -> Any:
    # Imported here because this floor knows no framework.
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(model).serializer


class _Serializable:
    """Lets FastAPI return a model: bare, nested in a dict or list, or declared with `-> User`.

    A model iterates over the pairs of its `dict`: plain data, ready for JSON.
    """

    __slots__ = ()

    __pydantic_serializer__ = _Serializer()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Tell pydantic, which FastAPI uses, how to write a model out and what its fields are."""
        # Imported here because this floor knows no framework.
        from pydantic_core import core_schema  # noqa: PLC0415

        shape = core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(handler.generate_schema(hint), required=False)
                for name, hint in cls._documented().items()
            },
            cls_name=cls.__name__,
        )
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(lambda d: cls(**d), shape),
            python_schema=core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(dict),
            ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
        )

    @classmethod
    def _documented(cls) -> dict[str, Any]:
        """Return the type of each field that the proxy documents, in its order."""
        return {name: hint for name, hint in get_type_hints(cls).items() if name[0] != "_"}

    # Not a field here: type checkers would put a base's fields before those of the models.
    _extra: dict[str, Any] | None

    @property
    def extra(self) -> dict[str, Any]:
        """The fields this version does not know, as a new dict at every read."""
        return deepcopy(self._extra) if self._extra else {}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names(type(self)))
        return f"{type(self).__name__}({shown})"


class _Entry(_Serializable):
    """An object inside a profile. One may serve many users."""

    __slots__ = ()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name in names(type(self)):
            if name != "extra":
                yield name, getattr(self, name)
        yield from self.extra.items()


def _none_if_empty(extra: dict[str, Any] | None) -> dict[str, Any] | None:
    return extra or None


@frozen(repr=False)
class UserWorkspace(_Entry):
    """The workspace that the user's session is scoped to."""

    id: str | None = None
    name: str | None = None
    _extra: dict[str, Any] | None = field(default=None, alias="extra", converter=_none_if_empty)


@frozen(repr=False)
class WorkspaceRole(_Entry):
    """A role that the user holds in the workspace."""

    id: int | None = None
    name: str | None = None
    description: str | None = None
    _extra: dict[str, Any] | None = field(default=None, alias="extra", converter=_none_if_empty)


@frozen(repr=False)
class WorkspacePermission(_Entry):
    """A permission that the user holds in the workspace."""

    id: int | None = None
    name: str | None = None
    description: str | None = None
    _extra: dict[str, Any] | None = field(default=None, alias="extra", converter=_none_if_empty)


def _roles(roles: Iterable[WorkspaceRole]) -> tuple[WorkspaceRole, ...]:
    return tuple(roles)


def _permissions(permissions: Iterable[WorkspacePermission]) -> tuple[WorkspacePermission, ...]:
    return tuple(permissions)


@frozen(kw_only=True, repr=False)
class User(_Serializable):
    """Who the proxy says the bearer of a token is.

    Identity fields are None when the proxy did not send them. A user is immutable through and
    through, so that one may serve many requests: a list or dict read from it is the reader's own.

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
    _extra: dict[str, Any] | None = field(default=None, alias="extra", converter=_none_if_empty)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name in names(User):
            value = getattr(self, name)
            if isinstance(value, _Entry):
                value = dict(value)
            elif isinstance(value, list):
                value = [dict(entry) for entry in value]
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
        """Whether nobody is signed in; never true of a user that a dependency hands out."""
        return not self.is_authenticated

    def has_role(self, name: str) -> bool:
        """Tell whether the profile lists a role of exactly this name."""
        return any(role.name == name for role in self._workspace_roles)

    def has_permission(self, name: str) -> bool:
        """Tell whether the profile lists this permission; names compare without case.

        This reads the profile only. `require_permission` asks the proxy, which decides.
        """
        wanted = name.casefold()
        return any(
            permission.name is not None and permission.name.casefold() == wanted
            for permission in self._workspace_permissions
        )

    @classmethod
    def _documented(cls) -> dict[str, Any]:
        parts = {
            "workspace_roles": list[WorkspaceRole],
            "workspace_permissions": list[WorkspacePermission],
            "extra": dict[str, Any],
        }
        return super()._documented() | parts
