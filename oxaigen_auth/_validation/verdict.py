"""What an answer of the proxy means, as a value: accepted, rejected or unavailable.

A verdict is shared by everyone who waited for it, so it holds no exception: `unwrap` makes a new
one for each caller.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Generic, TypeAlias, TypeVar

from attrs import field, frozen

from oxaigen_auth.errors import (
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
)

T = TypeVar("T")

UNAVAILABLE_MESSAGE = "Auth service unavailable"
THROTTLED_MESSAGE = "Too many rejected tokens"


@frozen
class Accepted(Generic[T]):
    """The proxy vouched for the token: `value` is the user, or whether a permission is granted.

    `asked` is when the lookup started that brought it, by the client's clock, in seconds.
    """

    value: T
    asked: float = field(default=-inf, eq=False, repr=False)


@frozen
class Stale(Accepted[T]):
    """The proxy vouched for the token, longer ago than its word counts, and cannot be asked now."""


@frozen
class Rejected:
    """The proxy turned the token down. `forbidden`: the token is good, but not for this app."""

    detail: str
    forbidden: bool = False


@frozen
class Unavailable:
    """Nothing is known about the token. `reason` is for the log, never for the response.

    `retry_after` is the proxy's own hint, in seconds. `log_level` is above a warning where waiting
    does not help: somebody has to mend something. `is_outage` says that the proxy could not be
    reached, or said so itself (502, 503, 504); `timed_out`, that a deadline ended the lookup.
    """

    reason: str
    retry_after: int | None = None
    log_level: int = logging.WARNING
    is_outage: bool = False
    timed_out: bool = False


@frozen
class Throttled:
    """The proxy was not asked: the caller's address brought too many rejected tokens.

    `retry_after` is in seconds. This is no verdict of the proxy, and says nothing about the token.
    """

    retry_after: int


Verdict: TypeAlias = Accepted[T] | Rejected | Unavailable


def unwrap(verdict: Verdict[T]) -> T:
    """Return what was accepted, or raise an exception of the caller's own.

    Raises:
        OxaigenAuthUnauthenticatedError: rejected.
        OxaigenAuthPermissionDeniedError: rejected, but only for this app.
        OxaigenAuthUpstreamError: unavailable.
    """
    if isinstance(verdict, Accepted):  # far quicker than the patterns below, and the usual case
        return verdict.value
    match verdict:
        case Rejected(detail, forbidden=True):
            raise OxaigenAuthPermissionDeniedError(detail)
        case Rejected(detail):
            raise OxaigenAuthUnauthenticatedError(detail)
        case unavailable:
            raise OxaigenAuthUpstreamError(UNAVAILABLE_MESSAGE, unavailable.retry_after)
