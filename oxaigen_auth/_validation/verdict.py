"""The meaning of a proxy's answer, as a value: accepted, rejected or unavailable.

A verdict is shared by all callers that waited for it, so it holds no exception: `unwrap` makes a
new one for each caller.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import field, frozen

from oxaigen_auth.errors import (
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    Reason,
)

T = TypeVar("T")

UNCONFIRMED = -1  # the stamp of a verdict that may have been forgotten since its lookup started

UNAVAILABLE_MESSAGE = "Auth service unavailable"
RATE_LIMITED_MESSAGE = "Too many rejected tokens"


@frozen
class Accepted(Generic[T]):
    """The proxy accepted the token: `value` is the user, or whether a permission is granted.

    `asked` is when the lookup started, by the client's clock, in seconds. If there is a shared
    store, its `stamp` of the token changes when the token is forgotten.
    """

    value: T
    asked: float = field(default=-inf, eq=False, repr=False)
    stamp: int = field(default=0, eq=False, repr=False)


@frozen
class Stale(Accepted[T]):
    """A cached acceptance past its TTL, served because the proxy is unavailable."""


@frozen
class Rejected:
    """The proxy rejected the token. `forbidden`: the token is valid, but not for this app.

    `stamp` is as in `Accepted`.
    """

    detail: str
    forbidden: bool = False
    reason: Reason = "invalid_token"
    stamp: int = field(default=0, eq=False, repr=False)


@frozen
class Unavailable:
    """The proxy gave no usable answer. `detail` is for the log, never for the response.

    Args:
        retry_after: the proxy's own hint, in seconds.
        log_level: higher than a warning if the failure does not end by itself.
        is_outage: the proxy could not be reached, or answered 502, 503 or 504.
        timed_out: a deadline ended the lookup.
    """

    detail: str
    retry_after: int | None = None
    log_level: int = logging.WARNING
    is_outage: bool = False
    timed_out: bool = False
    reason: Reason = "unusable_answer"


@frozen
class RateLimited:
    """The proxy was not asked, because the caller's address sent too many rejected tokens.

    `retry_after` is in seconds. This is not a verdict about the token.
    """

    retry_after: int
    reason: Reason = "rate_limited"


Verdict: TypeAlias = Accepted[T] | Rejected | Unavailable


def unwrap(verdict: Verdict[T]) -> T:
    """Return the accepted value, or raise a new exception for this caller.

    Raises:
        OxaigenAuthUnauthenticatedError: rejected.
        OxaigenAuthPermissionDeniedError: rejected, but only for this app.
        OxaigenAuthUpstreamError: unavailable.
    """
    if isinstance(verdict, Accepted):  # the usual case, and much faster than the patterns below
        return verdict.value
    match verdict:
        case Rejected(detail, forbidden=True):
            raise OxaigenAuthPermissionDeniedError(detail, reason=verdict.reason)
        case Rejected(detail):
            raise OxaigenAuthUnauthenticatedError(detail, verdict.reason)
        case unavailable:
            seconds, reason = unavailable.retry_after, unavailable.reason
            raise OxaigenAuthUpstreamError(UNAVAILABLE_MESSAGE, seconds, reason)


def refusal_reason(verdict: Verdict[Any] | RateLimited) -> Reason | None:
    """Return why the verdict refuses what was asked for, or None if it does not."""
    if isinstance(verdict, Accepted):
        return "permission_denied" if verdict.value is False else None
    return verdict.reason


def has_answered(verdict: Verdict[Any]) -> bool | None:
    """Return whether the proxy can be reached, or None if the verdict does not show it."""
    if not isinstance(verdict, Unavailable):
        return True
    if verdict.is_outage:
        return False
    return None if verdict.timed_out else True
