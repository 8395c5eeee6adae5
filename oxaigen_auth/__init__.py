"""Authentication for FastAPI apps behind the Oxaigen proxy, on asyncio and trio."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from oxaigen_auth._default_client import aclose_client
from oxaigen_auth._request.credentials import extract_bearer_token
from oxaigen_auth._request.hosts import derive_proxy_base_url
from oxaigen_auth._request.http_errors import OxaigenAuthHTTPError
from oxaigen_auth._version import __version__ as __version__
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.dependencies import (
    AuthClient,
    CurrentUser,
    OptionalUser,
    current_user,
    get_auth_client,
    get_current_user,
    get_current_user_as,
    get_current_user_optional,
    require_any_permission,
    require_any_role,
    require_permission,
    require_role,
)
from oxaigen_auth.errors import (
    OxaigenAuthConfigurationError,
    OxaigenAuthError,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUntrustedHostError,
    OxaigenAuthUpstreamError,
)
from oxaigen_auth.exception_handlers import install_exception_handlers
from oxaigen_auth.middleware import OxaigenAuthMiddleware, lifespan
from oxaigen_auth.models import User, UserWorkspace, WorkspacePermission, WorkspaceRole
from oxaigen_auth.openapi import install_openapi
from oxaigen_auth.settings import OxaigenAuthSettings
from oxaigen_auth.stats import ClientStats

if TYPE_CHECKING:
    from oxaigen_auth.blocking import BlockingProxyAuthClient
    from oxaigen_auth.websockets import watch_user

__all__ = [
    "AuthClient",
    "BlockingProxyAuthClient",
    "ClientStats",
    "CurrentUser",
    "OptionalUser",
    "OxaigenAuthConfigurationError",
    "OxaigenAuthError",
    "OxaigenAuthHTTPError",
    "OxaigenAuthMiddleware",
    "OxaigenAuthPermissionDeniedError",
    "OxaigenAuthSettings",
    "OxaigenAuthUnauthenticatedError",
    "OxaigenAuthUntrustedHostError",
    "OxaigenAuthUpstreamError",
    "ProxyAuthClient",
    "User",
    "UserWorkspace",
    "WorkspacePermission",
    "WorkspaceRole",
    "aclose_client",
    "current_user",
    "derive_proxy_base_url",
    "extract_bearer_token",
    "get_auth_client",
    "get_current_user",
    "get_current_user_as",
    "get_current_user_optional",
    "install_exception_handlers",
    "install_openapi",
    "lifespan",
    "require_any_permission",
    "require_any_role",
    "require_permission",
    "require_role",
    "watch_user",
]

# Imported at first use, because few apps need them.
_LAZY = {
    "BlockingProxyAuthClient": "oxaigen_auth.blocking",
    "watch_user": "oxaigen_auth.websockets",
}

if not TYPE_CHECKING:  # type checkers know that there are no other attributes

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        found = getattr(import_module(_LAZY[name]), name)
        globals()[name] = found  # so that this runs once per name
        return found

    def __dir__() -> list[str]:
        return [*globals(), *_LAZY]
