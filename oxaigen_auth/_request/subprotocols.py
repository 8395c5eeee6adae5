"""The bearer token among the sub-protocols that a WebSocket offers.

Browsers set no `Authorization` on a WebSocket, so a page sends the token as a sub-protocol, beside
one that the app accepts. Kubernetes' API server accepts tokens in the same form.
"""

from __future__ import annotations

from starlette.types import Message, Scope, Send

from oxaigen_auth.errors import OxaigenAuthConfigurationError, OxaigenAuthUnauthenticatedError

HEADER = b"sec-websocket-protocol"
PREFIX = "base64url.bearer.authorization.oxaigen."


def is_token_protocol(name: str) -> bool:
    return name[: len(PREFIX)].lower() == PREFIX


def token_of_subprotocols(scope: Scope, headers: dict[bytes, bytes]) -> str | None:
    """Return the decoded token. The client rejects it if it cannot be a token."""
    header = headers.get(HEADER)
    offered = scope.get("subprotocols") or () if header is None else _split(header)
    found = [name[len(PREFIX) :] for name in offered if is_token_protocol(name)]
    if len(found) > 1:
        raise OxaigenAuthUnauthenticatedError(
            "More than one token among the sub-protocols", "several_tokens"
        )
    if not found:
        return None
    from oxaigen_auth._syntax.base64url import decode  # noqa: PLC0415 (seldom used)

    token = decode(found[0])
    if token is None:
        raise OxaigenAuthUnauthenticatedError("Invalid token", "malformed_token")
    return token.decode("latin-1") or None


def _split(header: bytes) -> list[str]:
    """Return the sub-protocols in a header, or in several that are joined with newlines."""
    values = header.decode("latin-1").replace("\n", ",").split(",")
    return [value.strip(" \t") for value in values]


def hide_token(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Remove the token from the sub-protocols from which the app selects one.

    It remains in the header, which some servers (uvicorn with wsproto) remove; there, add it.
    """
    offered = scope.get("subprotocols") or ()
    if any(map(is_token_protocol, offered)):
        if HEADER not in headers:
            headers[HEADER] = ", ".join(offered).encode()
            scope["headers"] = [*scope["headers"], (HEADER, headers[HEADER])]
        scope["subprotocols"] = [name for name in offered if not is_token_protocol(name)]


def refuse_to_echo(send: Send) -> Send:
    """Return a `send` that raises an error if the app accepts the token as its sub-protocol."""

    async def checked(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "headers": list(message.get("headers") or ())}  # any iterable
            if _accepts_token(message):
                raise OxaigenAuthConfigurationError(
                    "accept(…) would send the caller's token back: accept one of "
                    'websocket.scope["subprotocols"], which does not contain it'
                )
        await send(message)

    return checked


def _accepts_token(message: Message) -> bool:
    headers = (value for name, value in message["headers"] if name.lower() == HEADER)
    accepted = [message.get("subprotocol") or "", *(value.decode("latin-1") for value in headers)]
    return any(PREFIX in value.lower() for value in accepted)
