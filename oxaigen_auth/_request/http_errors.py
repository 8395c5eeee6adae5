"""The HTTP errors of refused callers, for the dependencies and for raised exceptions.

README.md, "Responses to the caller", has the same table (RFC 6750 §3, RFC 6585 §4).
"""

from __future__ import annotations

from fastapi import HTTPException

from oxaigen_auth._request.identity import Identity
from oxaigen_auth._syntax.tokens import is_permission_name
from oxaigen_auth._validation.verdict import (
    RATE_LIMITED_MESSAGE,
    UNAVAILABLE_MESSAGE,
    Accepted,
    RateLimited,
    Rejected,
    Unavailable,
)
from oxaigen_auth.errors import (
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUntrustedHostError,
    OxaigenAuthUpstreamError,
)
from oxaigen_auth.models import User


def user_of(identity: Identity) -> User:
    """Return the caller, who must be signed in.

    Raises:
        HTTPException: there is no user; the detail is the reason.
    """
    verdict = identity.verdict
    if isinstance(verdict, Accepted):
        return verdict.value
    if identity.host_error is not None:
        raise bad_host(identity.host_error)
    if verdict is None:
        raise HTTPException(401, "Not authenticated", _challenge("Bearer"))
    raise refusal_of_verdict(verdict)


def refusal_of_verdict(verdict: Rejected | RateLimited | Unavailable) -> HTTPException:
    """Return the HTTP error for a caller without an accepted verdict."""
    match verdict:
        case RateLimited(seconds):
            return HTTPException(429, RATE_LIMITED_MESSAGE, _retry_after(seconds))
        case Unavailable():
            return _unavailable(verdict.retry_after)
        case Rejected(detail, forbidden=True):
            return HTTPException(403, detail)
        case _:
            return _rejected(verdict.detail)


def missing(name: str) -> HTTPException:
    """Return the HTTP error for a caller without a permission."""
    return HTTPException(403, f"Missing permission: {name}", _insufficient_scope(name))


def refusal_of_error(error: Exception) -> HTTPException | None:  # noqa: PLR0911 (a table)
    """Return the HTTP error for an exception that a route raised; None if it is a bug of the app.

    An exception group gets the HTTP error that all its exceptions have in common, if any.
    """
    if isinstance(error, ExceptionGroup):
        answers = [refusal_of_error(part) for part in error.exceptions]
        return answers[0] if all(_equal(answers[0], answer) for answer in answers) else None
    match error:
        case OxaigenAuthUntrustedHostError():
            return bad_host(error.message)
        case OxaigenAuthUpstreamError():
            return _unavailable(error.retry_after)
        case OxaigenAuthPermissionDeniedError(permission=str(name)) if is_permission_name(name):
            return HTTPException(403, error.message, _insufficient_scope(name))
        case OxaigenAuthPermissionDeniedError():
            return HTTPException(403, error.message)
        case OxaigenAuthUnauthenticatedError():
            return _rejected(error.message)
        case _:
            return None


def _equal(one: HTTPException | None, other: HTTPException | None) -> bool:
    return one is other or (one is not None and other is not None and vars(one) == vars(other))


def bad_host(message: str) -> HTTPException:
    return HTTPException(400, message)


def _rejected(detail: str) -> HTTPException:
    return HTTPException(401, detail, _challenge('Bearer error="invalid_token"'))


def _unavailable(seconds: int | None) -> HTTPException:
    headers = None if seconds is None else _retry_after(seconds)
    return HTTPException(502, UNAVAILABLE_MESSAGE, headers)


def _insufficient_scope(name: str) -> dict[str, str]:
    return _challenge(f'Bearer error="insufficient_scope", scope="{name}"')


def _challenge(text: str) -> dict[str, str]:
    """Return the header that asks for credentials (RFC 6750 §3)."""
    return {"WWW-Authenticate": text}


def _retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}
