"""The exceptions of the public API. The `message` of each is safe to show."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import define

RefusalReason: TypeAlias = Literal[
    "missing_token",  # no token in the request
    "malformed_token",  # over 8 KiB, with characters outside visible ASCII, or no base64url
    "several_tokens",  # more than one Authorization header or sub-protocol, or different ones
    "invalid_token",  # rejected by the proxy: 401
    "not_authenticated",  # the profile says `is_authenticated: false`
    "app_forbidden",  # a valid token, but not for this app: 403 of get-me
    "permission_denied",
    "role_denied",
    "cross_site",  # a cookie's token, from a page of another site
    "invalid_host",  # the request's host is malformed or not allowed
    "rate_limited",  # too many rejected tokens from the caller's address
]
UnavailableReason: TypeAlias = Literal[
    "unreachable",  # no connection to the proxy, or a broken one
    "timeout",  # no complete answer of the proxy in time
    "error_status",  # a status that says nothing about the token
    "unusable_answer",  # not JSON, not a profile, too large, …
    "mock_refused",  # a mock answered in production
    "circuit_open",  # the proxy was not asked, after repeated failures
    "overloaded",  # the proxy was not asked in time, because of too many other lookups
    "client_closed",
    "internal_error",
    "unavailable",  # the app raised the error, and gave no reason
]
Reason: TypeAlias = (
    RefusalReason | UnavailableReason | Literal["stale", "configuration", "unspecified"]
)
"""Why a caller is refused, in machine-readable form.

`stale` stands beside a user that the proxy accepted earlier, while it is unavailable.
"""


class _WithReason(Exception):  # noqa: N818 (never raised)
    """A class of its own: a field here would come before those of the subclasses."""

    reason: Reason = "unspecified"


@define(eq=False)
class OxaigenAuthError(_WithReason):
    """Base class of the exceptions that this package raises.

    Fields are positional, so that instances can be copied and pickled.
    """

    message: str

    def __str__(self) -> str:
        return self.message


@define(eq=False)
class OxaigenAuthUnauthenticatedError(OxaigenAuthError):
    """The proxy rejected the token, or it is malformed (RFC 6750 §3.1)."""

    reason: Reason = "invalid_token"


@define(eq=False)
class OxaigenAuthPermissionDeniedError(OxaigenAuthError):
    """The token is valid, but its user lacks a permission.

    `permission` is the name of the missing permission; None if the user may not use the app at all.
    """

    permission: str | None = None
    reason: Reason = "permission_denied"


@define(eq=False)
class OxaigenAuthUpstreamError(OxaigenAuthError):
    """The proxy gave no usable answer, so nothing is known about the token.

    `retry_after` is the time after which to try again, in seconds, or None.
    """

    retry_after: int | None = None
    reason: Reason = "unavailable"


@define(eq=False)
class OxaigenAuthConfigurationError(OxaigenAuthError):
    """A setting is missing or invalid. The message lists each one with the expected value."""

    reason: Reason = "configuration"


@define(eq=False)
class OxaigenAuthUntrustedHostError(OxaigenAuthError):
    """The request's host is malformed, or not an allowed one, so the proxy's URL is unknown."""

    reason: Reason = "invalid_host"
