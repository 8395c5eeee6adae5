"""The HTTP errors of refused callers, for the dependencies and for raised exceptions.

README.md, "Responses to the caller", has the same table (RFC 6750 §3, RFC 6585 §4).
"""

from __future__ import annotations

from collections.abc import Sequence

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
    Reason,
)
from oxaigen_auth.models import User


class OxaigenAuthHTTPError(HTTPException):
    """The HTTP error with which a dependency refuses a caller.

    `reason` is the machine-readable cause. FastAPI's handler for `HTTPException` answers it, unless
    the app has one for this class.

    >>> from fastapi import FastAPI, Request
    >>> from fastapi.responses import JSONResponse
    >>> app = FastAPI()
    >>> @app.exception_handler(OxaigenAuthHTTPError)
    ... async def refuse(request: Request, error: OxaigenAuthHTTPError) -> JSONResponse:
    ...     body = {"detail": error.detail, "reason": error.reason}
    ...     return JSONResponse(body, error.status_code, error.headers)
    """

    def __init__(
        self, status: int, detail: str, reason: Reason, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.reason: Reason = reason


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
        raise OxaigenAuthHTTPError(401, "Not authenticated", "missing_token", _challenge("Bearer"))
    raise refusal_of_verdict(verdict)


def optional_user_of(identity: Identity) -> User | None:
    """Return the caller, or None without a token or if the proxy rejected it.

    Raises:
        HTTPException: it is unknown who the caller is; the detail is the reason.
    """
    is_anonymous = identity.verdict is None or isinstance(identity.verdict, Rejected)
    return None if is_anonymous and identity.host_error is None else user_of(identity)


def refusal_of_verdict(verdict: Rejected | RateLimited | Unavailable) -> OxaigenAuthHTTPError:
    """Return the HTTP error for a caller without an accepted verdict."""
    reason = verdict.reason
    match verdict:
        case RateLimited(seconds):
            headers = _retry_after(seconds)
            return OxaigenAuthHTTPError(429, RATE_LIMITED_MESSAGE, reason, headers)
        case Unavailable():
            return _unavailable(verdict.retry_after, reason)
        case Rejected(detail, forbidden=True):
            return OxaigenAuthHTTPError(403, detail, reason)
        case _:
            return _rejected(verdict.detail, reason)


def missing(names: Sequence[str], *, of: Sequence[str]) -> OxaigenAuthHTTPError:
    """Return the HTTP error for a caller without these permissions, of those that a route needs."""
    noun = "permission" if len(names) == 1 else "permissions"
    detail = f"Missing {noun}: {', '.join(names)}"
    return OxaigenAuthHTTPError(403, detail, "permission_denied", _insufficient_scope(*of))


def missing_roles(names: Sequence[str]) -> OxaigenAuthHTTPError:
    """Return the HTTP error for a caller without these roles, which are no scopes of a token."""
    noun = "role" if len(names) == 1 else "roles"
    return OxaigenAuthHTTPError(403, f"Missing {noun}: {', '.join(names)}", "role_denied")


def refusal_of_error(error: Exception) -> OxaigenAuthHTTPError | None:  # noqa: PLR0911 (a table)
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
            return _unavailable(error.retry_after, error.reason)
        case OxaigenAuthPermissionDeniedError(permission=str(name)) if is_permission_name(name):
            headers = _insufficient_scope(name)
            return OxaigenAuthHTTPError(403, error.message, error.reason, headers)
        case OxaigenAuthPermissionDeniedError():
            return OxaigenAuthHTTPError(403, error.message, error.reason)
        case OxaigenAuthUnauthenticatedError():
            return _rejected(error.message, error.reason)
        case _:
            return None


def _equal(one: OxaigenAuthHTTPError | None, other: OxaigenAuthHTTPError | None) -> bool:
    """Return whether two refusals give the caller the same answer."""
    if one is None or other is None:
        return one is other
    answers = [(it.status_code, it.detail, it.headers) for it in (one, other)]
    return answers[0] == answers[1]


def bad_host(message: str) -> OxaigenAuthHTTPError:
    return OxaigenAuthHTTPError(400, message, "invalid_host")


def _rejected(detail: str, reason: Reason) -> OxaigenAuthHTTPError:
    headers = _challenge('Bearer error="invalid_token"')
    return OxaigenAuthHTTPError(401, detail, reason, headers)


def _unavailable(seconds: int | None, reason: Reason) -> OxaigenAuthHTTPError:
    headers = None if seconds is None else _retry_after(seconds)
    return OxaigenAuthHTTPError(502, UNAVAILABLE_MESSAGE, reason, headers)


def _insufficient_scope(*names: str) -> dict[str, str]:
    return _challenge(f'Bearer error="insufficient_scope", scope="{" ".join(names)}"')


def _challenge(text: str) -> dict[str, str]:
    """Return the header that asks for credentials (RFC 6750 §3)."""
    return {"WWW-Authenticate": text}


def _retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}
