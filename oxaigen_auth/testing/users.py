"""Makes the users of tests from names of permissions and roles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import evolve

from oxaigen_auth._hints.variables import suggest
from oxaigen_auth._models.base import names
from oxaigen_auth._syntax.tokens import check_permission_name
from oxaigen_auth.models import User, WorkspacePermission, WorkspaceRole

_DEFAULT = User(
    id=1,
    user_name="test-user",
    email="test-user@example.com",
    first_name="Test",
    last_name="User",
)


def make_user(
    function: str,
    user: User | None,
    permissions: Iterable[str] | None,
    roles: Iterable[str] | None,
    profile: dict[str, Any],
) -> User:
    """Return a copy of `user`, or of a default user, with these permissions, roles and fields.

    `function` is the name of the caller, for messages.

    Raises:
        TypeError: a field is unknown, or a value has the wrong type.
        ValueError: the name of a permission is invalid, or the user is not authenticated.
    """
    base: Any = _DEFAULT if user is None else user
    if not isinstance(base, User):
        raise TypeError(_not_a_user(function, base))
    for name in profile:
        if name not in names(type(base)):
            raise TypeError(_unknown(function, name, names(type(base))))
    changes = dict(profile)
    if permissions is not None:
        changes["workspace_permissions"] = [
            WorkspacePermission(name=check_permission_name(name))
            for name in _names(function, "permissions", permissions)
        ]
    if roles is not None:
        changes["workspace_roles"] = [
            WorkspaceRole(name=name) for name in _names(function, "roles", roles)
        ]
    made: User = evolve(base, **changes)
    if not made.is_authenticated:
        raise ValueError(
            f"{function} got is_authenticated=False, and the proxy rejects such a user; "
            "write as_anonymous(app), or FakeProxy.reject(token)"
        )
    return made


def _names(function: str, argument: str, given: object) -> Iterable[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        shown = f'["{given}"]' if isinstance(given, str) else '["name"]'
        raise TypeError(f"{function} takes a list of names: write {argument}={shown}")
    return given


def _not_a_user(function: str, value: object) -> str:
    kind = value.__name__ if isinstance(value, type) else type(value).__name__
    return (
        f"{function} takes a User, not {kind}: write {function}(…, User(user_name=…)), or name "
        'the fields, as in permissions=["audit"], user_name="ada"'
    )


def _unknown(function: str, name: str, known: list[str]) -> str:
    hint = suggest(name, [*known, "permissions", "roles"])
    advice = hint or f"for a field that User does not have, write extra={{{name!r}: …}}"
    return f"{function} got an unknown field {name!r}; {advice}"
