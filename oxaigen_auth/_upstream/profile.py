"""Makes a `User` of the proxy's profile.

A profile that has all known fields, each of its type, is read as it stands. Any other is left to
the converter in `structuring`, which repairs what it can and names the place of what it cannot.
"""

from __future__ import annotations

from functools import lru_cache
from marshal import dumps, loads
from operator import itemgetter
from typing import Any, TypeAlias

from cattrs import BaseValidationError

from oxaigen_auth._models.base import types_of
from oxaigen_auth._upstream.json_body import parse_json
from oxaigen_auth._upstream.structuring import (
    CONVERTER,
    KNOWN,
    MAX_SHORT,
    first,
    structure_lenient,
)
from oxaigen_auth.models import User, UserWorkspace, WorkspacePermission, WorkspaceRole

# What users share is bounded in bytes, whatever the profiles hold: about 5 MiB in all.
MAX_REMEMBERED = 256  # workspaces with roles and permissions
MAX_KEY = 2048  # bytes of JSON or so, for which they are remembered

Nested: TypeAlias = tuple[
    UserWorkspace | None, tuple[WorkspaceRole, ...], tuple[WorkspacePermission, ...]
]

_PLAIN = 2  # the last version of marshal's format that writes equal things equally


def parse_user(body: bytes, charset: str = "") -> User:
    """Read a profile object; `charset` as for `parse_json`.

    Raises:
        WireError: not JSON, not a profile, or not something that could be answered with again.
    """
    return structure_user(parse_json(body, charset))


def structure_user(profile: object) -> User:
    """Make a user of decoded JSON.

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


def structure_exact(profile: Any) -> User:
    """Make a user of a profile whose known fields are all there.

    Raises:
        KeyError: a field is missing.
        TypeError: a field has not its type.
        BaseValidationError: so says cattrs.
    """
    scalars = _scalars(profile)
    if not _types_match(tuple(map(type, scalars))):
        raise TypeError
    is_authenticated, number, user_name, email, kind, *rest = scalars
    if kind and len(kind) <= MAX_SHORT:
        kind = first(kind)
    nested = _structured(_nested(profile))
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


def _structured(nested: tuple[Any, ...]) -> Nested:
    """Return workspace, roles and permissions: the same objects for the same JSON.

    Users have few different ones. Unlike a comparison, what `marshal` writes tells True from 1.
    """
    key = dumps(nested, _PLAIN)
    return _remembered(key) if len(key) <= MAX_KEY else _made(nested)


@lru_cache(maxsize=MAX_REMEMBERED)
def _remembered(key: bytes) -> Nested:
    return _made(loads(key))  # noqa: S302 (written by `dumps` a moment ago)


def _made(nested: tuple[Any, ...]) -> Nested:
    user = CONVERTER.structure(dict(zip(_NESTED, nested, strict=True)), User)
    return user.user_workspace, user._workspace_roles, user._workspace_permissions  # noqa: SLF001
