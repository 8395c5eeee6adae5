"""ASGI middleware that tells every route who is calling, and blocks none of them."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from weakref import ref

from attrs import define, field

from oxaigen_auth._request.app_check import refuse_faulty_app
from oxaigen_auth._request.identity import CLIENT, IDENTITY, identify
from oxaigen_auth._validation.verdict import (
    THROTTLED_MESSAGE,
    UNAVAILABLE_MESSAGE,
    Accepted,
    Rejected,
    Stale,
    Throttled,
)
from oxaigen_auth.client import ProxyAuthClient, default_client
from oxaigen_auth.exception_handlers import answer_error

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from oxaigen_auth._request.identity import Identity
    from oxaigen_auth.models import User

_log = logging.getLogger("oxaigen_auth")

_OWNER = "oxaigen_auth.owner"  # in the state: whose entries it holds


@define(eq=False)
class OxaigenAuthMiddleware:
    """Fills `request.state.user` and `request.state.auth_error` on HTTP and WebSocket scopes.

    `user` is a `User` or None; `auth_error` says why there is none although a token came, or that
    the user comes from memory past its time; else it is None. Routes are protected by the
    dependencies, which reuse what this has learnt. While the app's lifespan lasts, lookups run in a
    task group of their own. An app with bad settings, or with routes that ask the dependencies for
    what they do not give, does not start. Errors of this package that a route raises are answered
    (`install_exception_handlers`).

    Args:
        app: the ASGI app to serve.
        client: whom to ask; None: the default client of the process.

    >>> from fastapi import FastAPI
    >>> FastAPI().add_middleware(OxaigenAuthMiddleware)
    """

    app: ASGIApp
    client: ProxyAuthClient | None = field(default=None, kw_only=True)

    def __init_subclass__(cls) -> None:
        """Refuse the published package's hook, which would never be called here."""
        if "dispatch" in vars(cls):
            raise TypeError(
                f"{cls.__name__}.dispatch would never be called: OxaigenAuthMiddleware is pure "
                "ASGI; override __call__, or add a middleware of your own behind it"
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            return await self._serve(scope, receive, send)
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        return await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent: set[str] = set()

        def note_and_send(message: Message) -> Awaitable[None]:
            sent.add(message["type"])
            return send(message)

        outer: dict[str, Any] = {}
        if CLIENT in scope:  # what a middleware around this one put there is put back afterwards
            kept = (CLIENT, IDENTITY, "state")
            outer = {key: scope[key] for key in kept if key in scope}
        scope[CLIENT] = self.client
        identity = await identify(scope)
        _fill_state(scope, identity)
        try:
            await self.app(scope, receive, note_and_send)
        except Exception as error:
            # A cancellation here ends the request, whatever was wrong with it.
            if not await answer_error(error, scope, receive, send, sent=sent):  # noqa: ASYNC120
                raise
        finally:
            scope[IDENTITY] = identity  # the owner of what is in the state
            if outer:
                scope.update(outer)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lookups in a task group until the app's lifespan is over.

        The server hears of the end when the connections are closed, and no sooner: from then on it
        may cancel whatever still runs, and hypercorn on asyncio does.
        """
        farewell: list[Message] = []

        async def hold_back(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                farewell.append(message)
            else:
                await send(message)

        async with AsyncExitStack() as stack:
            try:
                self._check(scope)
                client = self.client or default_client()
                await stack.enter_async_context(client.verifier.running())
            except Exception as error:
                await _refuse_to_start(error, receive, send)  # noqa: ASYNC120 (logged there)
                raise
            await self.app(scope, receive, hold_back)
        for message in farewell:
            await send(message)

    def _check(self, scope: Scope) -> None:
        if not isinstance(self.client, (ProxyAuthClient, type(None))):
            raise TypeError(
                f"OxaigenAuthMiddleware got client={type(self.client).__name__}; "
                "pass a ProxyAuthClient, or nothing"
            )
        refuse_faulty_app(scope.get("app") or self.app)


async def _refuse_to_start(error: Exception, receive: Receive, send: Send) -> None:
    """Tell the server why the app cannot start: of an exception alone, most servers think nothing.

    They take it for an app without a lifespan, and serve it.
    """
    _log.error("The app cannot start: %s", error)
    await receive()
    await send({"type": "lifespan.startup.failed", "message": str(error)})


def _fill_state(scope: Scope, identity: Identity) -> None:
    """Put the entries into the connection's state: in place, so that middleware outside sees them.

    Some servers give one dict to several connections, and a mounted app may ask something else
    than the app around it: where a dict holds the entries of another identity that is in use, this
    one gets a dict of its own.
    """
    user, auth_error = _who(identity)
    state = scope.setdefault("state", {})
    owner = state[_OWNER]() if _OWNER in state else None
    if owner is not None and owner is not identity:
        state = scope["state"] = dict(state)
    state["user"], state["auth_error"], state[_OWNER] = user, auth_error, ref(identity)


def _who(identity: Identity) -> tuple[User | None, str | None]:
    verdict = identity.verdict
    if isinstance(verdict, Accepted):
        return verdict.value, UNAVAILABLE_MESSAGE if isinstance(verdict, Stale) else None
    match verdict:
        case None:
            return None, identity.bad_host
        case Rejected(detail):
            return None, detail
        case Throttled():
            return None, THROTTLED_MESSAGE
        case _:
            return None, UNAVAILABLE_MESSAGE
