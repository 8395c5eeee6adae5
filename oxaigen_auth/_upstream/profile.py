"""Makes a `User` from the proxy's profile.

A profile that has all known fields, with the documented types, is read directly. Any other is
read by the models' converter, which is lenient, and reports the location of an error.
"""

from __future__ import annotations

from functools import lru_cache
from marshal import dumps, loads
from operator import itemgetter
from typing import Any, TypeAlias

from cattrs import BaseValidationError

from oxaigen_auth._models.base import documented_names, types_of
from oxaigen_auth._models.structuring import (
    CONVERTER,
    MAX_SHORT,
    describe,
    first,
    has_documented_value,
)
from oxaigen_auth._upstream.json_body import WireError, parse_json
from oxaigen_auth.models import User, UserWorkspace, WorkspacePermission, WorkspaceRole

KNOWN = documented_names(User)

# The memory that users share is bounded, whatever the profiles contain: about 5 MiB in all.
MAX_CACHED = 256  # workspaces with roles and permissions
MAX_KEY = 2048  # bytes; larger ones are not cached

Nested: TypeAlias = tuple[
    UserWorkspace | None, tuple[WorkspaceRole, ...], tuple[WorkspacePermission, ...]
]

_PLAIN = 2  # the last version of marshal's format that writes equal values equally


def parse_user(body: bytes, charset: str = "") -> User:
    """Read a profile object; `charset` as for `parse_json`.

    Raises:
        WireError: not JSON, not JSON that can be serialized again, or not a profile.
    """
    return structure_user(parse_json(body, charset))


def structure_user(profile: object) -> User:
    """Make a user from decoded JSON.

    Raises:
        WireError: not a profile.
    """
    try:
        return structure_exact(profile)
    except (KeyError, TypeError, BaseValidationError):
        return structure_lenient(profile)


_NESTED = ("user_workspace", "workspace_roles", "workspace_permissions")
_TYPES = {name: allowed for name, allowed in types_of(User) if name not in _NESTED}
_scalars = itemgetter(*_TYPES)
_nested = itemgetter(*_NESTED)


def structure_lenient(profile: Any) -> User:
    """Make a user from a profile with missing or null fields, or numbers as strings.

    Raises:
        WireError: not a profile, or no documented field has a value.
    """
    try:
        user = CONVERTER.structure(profile, User)
    except Exception as error:  # noqa: BLE001 (hooks may raise anything)
        raise WireError(describe(error, "profile")) from None
    if not has_documented_value(profile, user):
        raise WireError("none of the documented fields has a value @ profile")
    return user


def structure_exact(profile: Any) -> User:
    """Make a user from a profile that has all known fields.

    Raises:
        KeyError: a field is missing.
        TypeError: a field has a wrong type.
        BaseValidationError: the workspace, the roles or the permissions are invalid.
    """
    scalars = _scalars(profile)
    if not _types_match(tuple(map(type, scalars))):
        raise TypeError
    is_authenticated, number, user_name, email, kind, *rest = scalars
    if kind and len(kind) <= MAX_SHORT:
        kind = first(kind)
    nested = _structure_nested(_nested(profile))
    extra = None
    if len(profile) != len(KNOWN):
        extra = {name: value for name, value in profile.items() if name not in KNOWN}
    return User.of_checked(
        (is_authenticated, number, user_name, email, kind, *rest, *nested, extra)
    )


@lru_cache(maxsize=256)
def _types_match(types: tuple[type, ...]) -> bool:
    """Return whether the values of `_TYPES` may have these types."""
    return all(one in allowed for one, allowed in zip(types, _TYPES.values(), strict=True))


def _structure_nested(nested: tuple[Any, ...]) -> Nested:
    """Return workspace, roles and permissions: the same objects for the same JSON.

    Many users have the same. The key is marshalled, because True and 1 compare equal.
    """
    key = dumps(nested, _PLAIN)
    return _cached_nested(key) if len(key) <= MAX_KEY else _convert_nested(nested)


@lru_cache(maxsize=MAX_CACHED)
def _cached_nested(key: bytes) -> Nested:
    return _convert_nested(loads(key))  # noqa: S302 (written by `dumps` just before)


def _convert_nested(nested: tuple[Any, ...]) -> Nested:
    user = CONVERTER.structure(dict(zip(_NESTED, nested, strict=True)), User)
    return user.user_workspace, user._workspace_roles, user._workspace_permissions  # noqa: SLF001
