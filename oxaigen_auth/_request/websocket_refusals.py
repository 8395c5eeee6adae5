"""How a WebSocket is refused: with an HTTP response to its handshake, or a close code.

Before `accept`, a server with the ASGI extension "WebSocket Denial Response" can send any response.
Other servers answer a handshake that is closed with 403. A WebSocket that is open is closed with a
code (RFC 6455 §7.4.1, and the registry of IANA).
"""

from __future__ import annotations

from fastapi import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketState

from oxaigen_auth.errors import Reason

POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013
MAX_REASON = 123  # bytes (RFC 6455 §5.5)
_TEMPORARY = frozenset({429, 502})


class WebSocketRefusal(WebSocketException, HTTPException):
    """An `HTTPException` for a WebSocket that no HTTP response can answer.

    Starlette handles it as a `WebSocketException`: it closes the WebSocket. It would prefer an
    app's handler for the status, whose response cannot be sent, so `status_code` is the close code.
    `reason` is that of the close frame; the machine-readable one is `auth_reason`.
    """

    def __init__(self, refusal: HTTPException) -> None:
        WebSocketException.__init__(self, *close_code_and_reason(refusal))
        self.status_code, self.detail, self.headers = self.code, refusal.detail, refusal.headers
        self.auth_reason: Reason = getattr(refusal, "reason", "unspecified")


def answerable(refusal: HTTPException, connection: HTTPConnection) -> HTTPException:
    """Return a refusal in the form that the connection can be answered with now."""
    if not isinstance(connection, WebSocket):
        return refusal
    is_handshake = connection.application_state is WebSocketState.CONNECTING
    can_answer = is_handshake and has_denial_response(connection.scope)
    return refusal if can_answer else WebSocketRefusal(refusal)


def has_denial_response(scope: Scope) -> bool:
    """Return whether the server can answer a handshake with an HTTP response."""
    return "websocket.http.response" in (scope.get("extensions") or {})


def close_code_and_reason(refusal: HTTPException) -> tuple[int, str]:
    """Return 1008 for a refusal; 1013, "try again later", for an outage or a rate limit."""
    code = TRY_AGAIN_LATER if refusal.status_code in _TEMPORARY else POLICY_VIOLATION
    reason = str(refusal.detail).encode()[:MAX_REASON]
    return code, reason.decode(errors="ignore")
