"""The caller as Starlette's own authentication shows it: `request.user` and `request.auth`."""

from __future__ import annotations

from starlette.types import Scope

from oxaigen_auth.models import User


class ProfileCredentials(tuple[User | None]):
    """What `request.auth` is for Starlette's `@requires`: a tuple of the user.

    The scopes are made when they are read, which few requests do.
    """

    __slots__ = ()

    @property
    def scopes(self) -> list[str]:
        """Return `authenticated` and the permissions in the profile; none without a user."""
        (user,) = self
        if user is None:
            return []
        names = (permission.name for permission in user.workspace_permissions)
        return ["authenticated", *(name for name in names if name)]


def set_user(scope: Scope, user: User | None) -> None:
    """Set `user` and `auth` of a scope, unless other middleware around this one has set them."""
    if "user" in scope and type(scope.get("auth")) is not ProfileCredentials:
        return
    scope["user"] = _anonymous() if user is None else user
    scope["auth"] = ProfileCredentials((user,))


def _anonymous() -> object:
    from starlette.authentication import UnauthenticatedUser  # noqa: PLC0415 (seldom used)

    return UnauthenticatedUser()
