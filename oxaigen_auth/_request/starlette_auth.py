"""The caller as Starlette's own authentication shows it: `request.user` and `request.auth`."""

from __future__ import annotations

from typing import NamedTuple

from starlette.authentication import UnauthenticatedUser
from starlette.types import Scope

from oxaigen_auth.models import User


class ProfileCredentials(NamedTuple):
    """What `request.auth` is for Starlette's `@requires`.

    The scopes are made when they are read, which few requests do.
    """

    user: User | None

    @property
    def scopes(self) -> list[str]:
        """Return `authenticated` and the permissions in the profile; none without a user."""
        if self.user is None:
            return []
        names = (permission.name for permission in self.user.workspace_permissions)
        return ["authenticated", *(name for name in names if name)]


def set_user(scope: Scope, user: User | None) -> None:
    """Set `user` and `auth` of a scope, unless other middleware around this one has set them."""
    if "user" in scope and not isinstance(scope.get("auth"), ProfileCredentials):
        return
    scope["user"] = user or UnauthenticatedUser()
    # `ProfileCredentials(…)` would add a Python call, a measurable part of a hit.
    scope["auth"] = tuple.__new__(ProfileCredentials, (user,))
