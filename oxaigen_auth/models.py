"""The proxy's profile object as typed values. Knows how it is written out, not where it came from.

Every field that the proxy sends is kept: those without an attribute here are in `extra`. The
attributes carry the proxy's own names (product page, "User model deep dive").
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from attrs import field, fields, frozen

from oxaigen_auth._models.checked_init import check, own_extra, tuple_of
from oxaigen_auth._models.pydantic import Serializer, core_schema_of, json_schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from attrs import Attribute, AttrsInstance
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


def names(model: type[Any]) -> list[str]:
    """Return what a model's attributes are called, in order."""
    return [known.alias or known.name for known in _attributes(model)]


def _attributes(model: type[Any]) -> tuple[Attribute[Any], ...]:
    attributes: tuple[Attribute[Any], ...] = fields(cast("type[AttrsInstance]", model))
    return attributes


class _Model:
    """Checks the types of what a model is made of, and lets FastAPI return it.

    It may be returned bare, nested in a dict, a list or a model, or declared with `-> User`, and
    FastAPI's response filters apply to it. A model iterates over the pairs of its `dict`: plain
    data, ready for JSON.
    """

    __slots__ = ()

    __pydantic_serializer__ = Serializer()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Tell pydantic, which FastAPI uses, how to write a model out and what its fields are."""
        return core_schema_of(cls, cls._documented(), cls._shallow, handler)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Tell pydantic which fields are always written out, for OpenAPI: all of them."""
        return json_schema_of(schema, handler)

    @classmethod
    def _documented(cls) -> dict[str, Any]:
        """Return the type of each field that the proxy documents, in its order."""
        return {name: hint for name, hint in get_type_hints(cls).items() if name[0] != "_"}

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        """Return the fields as they are written out, each entry as it is."""
        return ((name, getattr(self, name)) for name in names(type(self)))

    def _shallow(self, info: SerializationInfo) -> dict[str, Any]:
        """Return the fields to write out. A field that has its default counts as unset."""
        shown = dict(self._pairs())
        if info.exclude_unset or info.exclude_defaults:
            default = dict(type(self)()._pairs())  # noqa: SLF001 (an empty one of us)
            if not info.exclude_defaults:
                default.pop("is_authenticated", None)  # which is never unset
            return {k: v for k, v in shown.items() if k not in default or v != default[k]}
        return shown

    @classmethod
    def of_checked(cls, values: Iterable[Any]) -> Self:
        """Make a model of values that have their types, in the order of its attributes.

        Nothing is checked or copied: this is for the SDK, whose values nobody else has.
        """
        kind: Any = cls
        model = cls.__new__(cls)
        for put, value in zip(_setters(kind), values, strict=True):
            put(model, value)
        return model

    def with_extra(self, extra: dict[str, Any]) -> Self:
        """Return this model with these unknown fields, in the same way."""
        known = [getattr(self, it.name) for it in _attributes(type(self)) if it.alias != "extra"]
        return self.of_checked([*known, extra])

    def __attrs_post_init__(self) -> None:
        kind: Any = type(self)
        for name, allowed in types_of(kind):
            value = getattr(self, name)
            if type(value) not in allowed:
                check(f"{kind.__name__}.{name}", allowed, value)

    # Not a field here: type checkers would put a base's fields before those of the models.
    _extra: dict[str, Any] | None

    @property
    def extra(self) -> dict[str, Any]:
        """The fields this version does not know, as a new dict at every read."""
        return deepcopy(self._extra) if self._extra else {}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names(type(self)))
        return f"{type(self).__name__}({shown})"


@cache
def _setters(model: type[_Model]) -> list[Callable[[object, Any], None]]:
    return [getattr(model, attribute.name).__set__ for attribute in _attributes(model)]


@cache
def types_of(model: type[_Model]) -> list[tuple[str, tuple[type, ...]]]:
    """Return which types each attribute may have, but for lists and `extra`."""
    hints = get_type_hints(model)
    return [(name, get_args(it) or (it,)) for name, it in hints.items() if name[0] != "_"]


class _Entry(_Model):
    """An object inside a profile. One may serve many users."""

    __slots__ = ()

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for name in self._extra or ():
            if name != "extra" and name in names(type(self)):
                raise TypeError(f"{type(self).__name__}.extra must not hold {name!r}, a field")

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
class User(_Model):
    """Who the proxy says the bearer of a token is.

    Identity fields are None when the proxy did not send them. A user is immutable through and
    through, so that one may serve many requests: a list or dict read from it is the reader's own.
    Users are equal if all their fields are, and can be hashed whatever `extra` holds. A value of
    the wrong type is a TypeError.

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

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name, value in self._pairs():
            if isinstance(value, _Entry):
                yield name, dict(value)
            elif isinstance(value, list):
                yield name, [dict(entry) for entry in value]
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
        """Whether nobody is signed in; never true of a user that a dependency hands out."""
        return not self.is_authenticated

    def has_role(self, name: str) -> bool:
        """Tell whether the profile lists a role of exactly this name."""
        return any(role.name == name for role in self._workspace_roles)

    def has_permission(self, name: str) -> bool:
        """Tell whether the profile lists a permission of exactly this name.

        This reads the profile only. `require_permission` asks the proxy, which decides.
        """
        return any(permission.name == name for permission in self._workspace_permissions)

    @classmethod
    def _documented(cls) -> dict[str, Any]:
        parts = {
            "workspace_roles": list[WorkspaceRole],
            "workspace_permissions": list[WorkspacePermission],
            "extra": dict[str, Any],
        }
        return super()._documented() | parts
