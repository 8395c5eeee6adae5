"""ASGI middleware that tells every route who is calling, and blocks none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from oxaigen_auth._identify import identify
from oxaigen_auth.client import default_client
from oxaigen_auth.verdict import UNAVAILABLE_MESSAGE, Accepted, Rejected, Stale

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from oxaigen_auth.client import ProxyAuthClient
    from oxaigen_auth.models import User


@define(eq=False)
class OxaigenAuthMiddleware:
    """Fills `request.state.user` and `request.state.auth_error` on HTTP and WebSocket scopes.

    `user` is a `User` or None; `auth_error` says why there is none although a token came, or that
    the user comes from memory past its time; else it is None. Routes are protected by the
    dependencies, which reuse what this has learnt. While the app's lifespan lasts, lookups run in a
    task group of their own.

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
            user, error = await self._who(scope)
            scope.setdefault("state", {}).update(user=user, auth_error=error)
        elif scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        return await self.app(scope, receive, send)

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

        async with (self.client or default_client()).verifier.running():
            await self.app(scope, receive, hold_back)
        for message in farewell:
            await send(message)

    async def _who(self, scope: Scope) -> tuple[User | None, str | None]:
        identity = await identify(scope, self.client)
        verdict = identity.verdict
        if isinstance(verdict, Accepted):
            return verdict.value, UNAVAILABLE_MESSAGE if isinstance(verdict, Stale) else None
        if verdict is None:
            return None, identity.bad_host
        return None, verdict.detail if isinstance(verdict, Rejected) else UNAVAILABLE_MESSAGE
