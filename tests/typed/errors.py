"""User code that handles refusals; only type checkers read it."""

from __future__ import annotations

from typing import assert_never, assert_type

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from oxaigen_auth import (
    OxaigenAuthError,
    OxaigenAuthHTTPError,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
)
from oxaigen_auth.errors import Reason, RefusalReason, UnavailableReason

app = FastAPI()


@app.exception_handler(OxaigenAuthHTTPError)
async def refuse(request: Request, error: OxaigenAuthHTTPError) -> JSONResponse:
    del request
    assert_type(error.reason, Reason)
    assert_type(error.status_code, int)
    body = {"detail": error.detail, "reason": error.reason, "advice": advice(error.reason)}
    return JSONResponse(body, error.status_code, error.headers)


def advice(reason: Reason) -> str:  # noqa: PLR0911 (a table)
    match reason:
        case "missing_token" | "malformed_token" | "several_tokens":
            return "send one token"
        case "invalid_token" | "not_authenticated":
            return "sign in"
        case "app_forbidden" | "permission_denied" | "role_denied":
            return "ask the administrator"
        case "cross_site" | "invalid_host":
            return "use the app's own address"
        case "rate_limited":
            return "wait"
        case "unreachable" | "timeout" | "error_status" | "unusable_answer" | "mock_refused":
            return "look at the proxy"
        case "circuit_open" | "overloaded" | "client_closed" | "internal_error" | "unavailable":
            return "try again"
        case "stale" | "configuration" | "unspecified":
            return "look at the log"
        case _:
            assert_never(reason)


as_refusal: RefusalReason = "missing_token"
as_unavailable: UnavailableReason = "timeout"
reasons: list[Reason] = [as_refusal, as_unavailable, "stale"]

assert_type(OxaigenAuthError("What happened.").reason, Reason)
assert_type(OxaigenAuthUnauthenticatedError("No.", "missing_token").reason, Reason)
assert_type(OxaigenAuthPermissionDeniedError("No.", "audit").permission, str | None)
assert_type(OxaigenAuthPermissionDeniedError("No.", reason="app_forbidden").reason, Reason)
assert_type(OxaigenAuthUpstreamError("Later.", 7, "timeout").retry_after, int | None)
as_http_error: HTTPException = OxaigenAuthHTTPError(403, "No.", "role_denied")
