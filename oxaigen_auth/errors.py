"""The exceptions of the public API. Each has a `message` that is safe to show."""

from __future__ import annotations

from attrs import define


@define(eq=False)
class OxaigenAuthError(Exception):
    """Base of everything this package raises on purpose.

    Fields are positional, so that instances can be copied and pickled.
    """

    message: str

    def __str__(self) -> str:
        return self.message


@define(eq=False)
class OxaigenAuthUnauthenticatedError(OxaigenAuthError):
    """The token is not good: the proxy rejected it, or it could not be one (RFC 6750 §3.1)."""


@define(eq=False)
class OxaigenAuthPermissionDeniedError(OxaigenAuthError):
    """The token is good, but its user may not do this.

    `permission` names the permission that is missing; None means that the user may not use
    the app at all.
    """

    permission: str | None = None


@define(eq=False)
class OxaigenAuthUpstreamError(OxaigenAuthError):
    """The proxy could not say: nothing is known about the token.

    `retry_after` is the proxy's own hint, in seconds; None when it gave none.
    """

    retry_after: int | None = None


@define(eq=False)
class OxaigenAuthConfigurationError(OxaigenAuthError):
    """A setting is missing or wrong; the message names each one and what it may hold."""


@define(eq=False)
class OxaigenAuthUntrustedHostError(OxaigenAuthError):
    """The request's host cannot say where the proxy is: malformed, or not an allowed host."""
