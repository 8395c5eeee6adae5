"""Context managers that determine who calls an app in a test.

Each adds a layer around the app's middleware. The layer sets the identity of each connection, so
that middleware and dependencies find it as if the proxy had been asked. Nothing in the SDK is
replaced.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, Protocol

from oxaigen_auth._validation.verdict import Accepted, Unavailable
from oxaigen_auth.models import User
from oxaigen_auth.testing.identity_layer import calling
from oxaigen_auth.testing.users import make_user


class SignIn(Protocol):
    """The type of the pytest fixture `oxaigen_user`, which is `as_user` until the test ends."""

    def __call__(
        self,
        app: Any,
        user: User | None = None,
        *,
        permissions: Iterable[str] | None = None,
        roles: Iterable[str] | None = None,
        **profile: Any,
    ) -> User: ...


@contextmanager
def as_user(
    app: Any,
    user: User | None = None,
    *,
    permissions: Iterable[str] | None = None,
    roles: Iterable[str] | None = None,
    **profile: Any,
) -> Generator[User]:
    """Sign a user in for every request of a block. The user has the permissions of the profile.

    Applies to HTTP and WebSockets, to dependencies, `request.state` and mounted apps, whatever
    token a request has. The proxy is not asked. Blocks may be nested: the inner one applies.

    A request raises `TypeError` if a middleware around `app` has validated its token before: write
    `app.add_middleware(OxaigenAuthMiddleware)`, not `OxaigenAuthMiddleware(app)`.

    Args:
        app: the FastAPI or Starlette app, or an ASGI middleware around it.
        user: Default: a user with a name and an email address.
        permissions: names. Default: those of `user`.
        roles: names. Default: those of `user`.
        profile: other fields of the user. Fields that `User` does not have belong in `extra`.

    Raises:
        TypeError: `app` is not an app, a field is unknown, or a value has the wrong type.
        ValueError: the name of a permission is not of the form `[A-Za-z0-9_-]+`.

    >>> from fastapi import Depends, FastAPI
    >>> from fastapi.testclient import TestClient
    >>> from oxaigen_auth import require_permission
    >>> app = FastAPI()
    >>> @app.get("/audit", dependencies=[Depends(require_permission("audit"))])
    ... async def audit() -> str:
    ...     return "log"
    >>> client = TestClient(app)
    >>> with as_user(app, permissions=["audit"], user_name="ada"):
    ...     client.get("/audit").status_code
    200
    >>> with as_user(app):
    ...     client.get("/audit").json()
    {'detail': 'Missing permission: audit'}
    """
    caller = make_user("as_user", user, permissions, roles, profile)
    granted = frozenset(permission.name for permission in caller.workspace_permissions)
    with calling("as_user", app, Accepted(caller), granted):
        yield caller


@contextmanager
def as_anonymous(app: Any) -> Generator[None]:
    """Treat every request of a block as one without a token, whatever token it has.

    Raises:
        TypeError: `app` is not an app.

    >>> from fastapi import Depends, FastAPI
    >>> from fastapi.testclient import TestClient
    >>> from oxaigen_auth import get_current_user
    >>> app = FastAPI()
    >>> @app.get("/me", dependencies=[Depends(get_current_user)])
    ... async def me() -> None: ...
    >>> with as_anonymous(app):
    ...     TestClient(app).get("/me").status_code
    401
    """
    with calling("as_anonymous", app, None):
        yield


@contextmanager
def as_unavailable(app: Any) -> Generator[None]:
    """Treat every request of a block as one whose token the proxy cannot validate now.

    Dependencies answer 502, and `request.state.auth_error` is set.

    Raises:
        TypeError: `app` is not an app.

    >>> from fastapi import Depends, FastAPI
    >>> from fastapi.testclient import TestClient
    >>> from oxaigen_auth import get_current_user_optional
    >>> app = FastAPI()
    >>> @app.get("/greeting", dependencies=[Depends(get_current_user_optional)])
    ... async def greeting() -> None: ...
    >>> with as_unavailable(app):
    ...     TestClient(app).get("/greeting").json()
    {'detail': 'Auth service unavailable'}
    """
    verdict = Unavailable("a test made the proxy unavailable", reason="unreachable")
    with calling("as_unavailable", app, verdict):
        yield
