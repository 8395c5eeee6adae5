"""The exceptions of the public API. The `message` of each is safe to show."""

from __future__ import annotations

from attrs import define


@define(eq=False)
class OxaigenAuthError(Exception):
    """Base class of the exceptions that this package raises.

    Fields are positional, so that instances can be copied and pickled.
    """

    message: str

    def __str__(self) -> str:
        return self.message


@define(eq=False)
class OxaigenAuthUnauthenticatedError(OxaigenAuthError):
    """The proxy rejected the token, or it is malformed (RFC 6750 §3.1)."""


@define(eq=False)
class OxaigenAuthPermissionDeniedError(OxaigenAuthError):
    """The token is valid, but its user lacks a permission.

    `permission` is the name of the missing permission; None if the user may not use the app at all.
    """

    permission: str | None = None


@define(eq=False)
class OxaigenAuthUpstreamError(OxaigenAuthError):
    """The proxy gave no usable answer, so nothing is known about the token.

    `retry_after` is the time after which to try again, in seconds, or None.
    """

    retry_after: int | None = None


@define(eq=False)
class OxaigenAuthConfigurationError(OxaigenAuthError):
    """A setting is missing or invalid. The message lists each one with the expected value."""


@define(eq=False)
class OxaigenAuthUntrustedHostError(OxaigenAuthError):
    """The request's host is malformed, or not an allowed one, so the proxy's URL is unknown."""
