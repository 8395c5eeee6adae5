"""ASGI middleware that identifies the caller of each request, and rejects no request."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeAlias
from weakref import ref

from attrs import define, field
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth._default_client import default_client
from oxaigen_auth._request.app_check import refuse_faulty_app
from oxaigen_auth._request.exclusion import check_paths, is_excluded, is_preflight
from oxaigen_auth._request.identity import CLIENT, IDENTITY, Identity, identify
from oxaigen_auth._request.starlette_auth import set_user
from oxaigen_auth._request.subprotocols import hide_token, refuse_to_echo
from oxaigen_auth._validation.verdict import (
    RATE_LIMITED_MESSAGE,
    UNAVAILABLE_MESSAGE,
    Accepted,
    RateLimited,
    Rejected,
)
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.errors import Reason
from oxaigen_auth.exception_handlers import answer_error
from oxaigen_auth.models import User

_log = logging.getLogger("oxaigen_auth")

_OWNER = "oxaigen_auth.owner"  # key in the state: the identity that set the other entries

_Entries: TypeAlias = tuple[User | None, str | None, Reason | None]
_NO_ENTRIES: _Entries = (None, None, None)


@define(eq=False)
class OxaigenAuthMiddleware:
    """Sets `request.state.user`, `.auth_error` and `.auth_reason` of requests and WebSockets.

    `user` is a `User` or None. `auth_error` is None, or the message why a request with a token has
    no user or a stale one. `auth_reason` is the same in machine-readable form, and `missing_token`
    for a request without a token. The dependencies protect routes, and reuse the result.

    All three are None for excluded paths and for CORS preflights, for which the proxy is not asked.
    Excluding a path changes nothing for the dependencies of its route, which ask by themselves.

    Also sets `request.user` and `request.auth` for Starlette's `@requires`, unless middleware
    around this one has set them. Their scopes are `authenticated` and the permissions in the
    profile; only `require_permission` asks the proxy.

    During the app's lifespan, lookups run in a task group of their own. An app with invalid
    settings, or with a route that would admit every caller because it misuses a dependency, does
    not start. Errors of this package that a route raises are answered as by
    `install_exception_handlers`.

    Args:
        app: the ASGI app.
        client: the client to ask. Default: the default client of the process.
        exclude: paths of this app, such as `/health`; or all paths that start with a prefix, such
            as `/static/*`.

    Raises:
        TypeError: `exclude` is not a collection of strings.
        ValueError: a path in `exclude` does not start with "/", or has a "*" before its end.

    >>> from fastapi import FastAPI
    >>> FastAPI().add_middleware(OxaigenAuthMiddleware, exclude=("/health", "/static/*"))
    """

    app: ASGIApp
    client: ProxyAuthClient | None = field(default=None, kw_only=True)
    exclude: tuple[str, ...] = field(default=(), kw_only=True, converter=check_paths)

    def __init_subclass__(cls) -> None:
        """Refuse `dispatch`, the hook of the published package, which would never be called."""
        if "dispatch" in vars(cls):
            raise TypeError(
                f"{cls.__name__}.dispatch would never be called: OxaigenAuthMiddleware is pure "
                "ASGI; override __call__, or add a middleware of your own behind it"
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            return await self._serve(scope, receive, send)
        if scope["type"] == "websocket":
            hide_token(scope, dict(scope["headers"]))  # on excluded paths as well
            return await self._serve(scope, receive, refuse_to_echo(send))
        if scope["type"] == "lifespan":
            return await self._run_lifespan(scope, receive, send)
        return await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent: set[str] = set()

        def note_and_send(message: Message) -> Awaitable[None]:
            sent.add(message["type"])
            return send(message)

        if CLIENT in scope:  # of a middleware around this one, whose app must not see these entries
            scope = dict(scope)
        scope[CLIENT] = self.client
        if (self.exclude and is_excluded(scope, self.exclude)) or is_preflight(scope):
            identity = Identity(self.client or default_client())
            fill_state(scope, identity, _NO_ENTRIES)
        else:
            identity = await identify(scope)
            fill_state(scope, identity)
        try:
            await self.app(scope, receive, note_and_send)
        except Exception as error:
            # A cancellation here ends the request anyway.
            if not await answer_error(error, scope, receive, send, sent=sent):  # noqa: ASYNC120
                raise
        finally:
            scope[IDENTITY] = identity  # the owner of the state's entries

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lookups in a task group until the end of the app's lifespan.

        The end is reported to the server only when the connections are closed. From then on the
        server may cancel what still runs, as hypercorn does on asyncio.
        """
        deferred: list[Message] = []

        async def defer_shutdown_complete(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                deferred.append(message)
            else:
                await send(message)

        async with AsyncExitStack() as stack:
            try:
                client = self._check(scope)
                await stack.enter_async_context(client.validator.loops.running())
            except Exception as error:
                await _refuse_to_start(error, receive, send)  # noqa: ASYNC120 (logged there)
                raise
            await self.app(scope, receive, defer_shutdown_complete)
        for message in deferred:
            await send(message)

    def _check(self, scope: Scope) -> ProxyAuthClient:
        if not isinstance(self.client, (ProxyAuthClient, type(None))):
            raise TypeError(
                f"OxaigenAuthMiddleware got client={type(self.client).__name__}; "
                "pass a ProxyAuthClient, or nothing"
            )
        refuse_faulty_app(scope.get("app") or self.app)
        return self.client or default_client()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    """Run the lookups of the dependencies in a task group of an app without the middleware.

    Also checks the settings and the app's routes at its start, as the middleware does.

    Raises:
        OxaigenAuthConfigurationError: a setting is invalid, or a route would admit every caller.

    >>> from fastapi import FastAPI
    >>> app = FastAPI(lifespan=lifespan)

    In a lifespan of your own:

    >>> @asynccontextmanager
    ... async def my_lifespan(app: FastAPI) -> AsyncGenerator[None]:
    ...     async with lifespan(app):
    ...         yield
    """
    refuse_faulty_app(app)
    async with default_client().validator.loops.running():
        yield


async def _refuse_to_start(error: Exception, receive: Receive, send: Send) -> None:
    """Report to the server why the app cannot start.

    If an exception is raised instead, most servers assume an app without a lifespan, and serve it.
    """
    _log.error("The app cannot start: %s", error)
    await receive()
    await send({"type": "lifespan.startup.failed", "message": str(error)})


def fill_state(scope: Scope, identity: Identity, entries: _Entries | None = None) -> None:
    """Set the entries of the connection's state in place, so that outer middleware sees them.

    Some servers share one dict between connections, and a mounted app may have another client than
    the app around it. If the dict holds the entries of another identity that is in use, this
    connection gets a dict of its own.
    """
    state = scope.setdefault("state", {})
    owner = state[_OWNER]() if _OWNER in state else None
    if owner is not None and owner is not identity:
        state = scope["state"] = dict(state)
    user, state["auth_error"], state["auth_reason"] = entries or _resolve_user(identity)
    state["user"], state[_OWNER] = user, ref(identity)
    set_user(scope, user)


def _resolve_user(identity: Identity) -> _Entries:
    verdict = identity.verdict
    if type(verdict) is Accepted:  # the usual case
        return verdict.value, None, None
    reason = identity.reason
    match verdict:
        case None:
            return None, identity.host_error, reason
        case Accepted(user):  # stale
            return user, UNAVAILABLE_MESSAGE, reason
        case Rejected(detail):
            return None, detail, reason
        case RateLimited():
            return None, RATE_LIMITED_MESSAGE, reason
        case _:
            return None, UNAVAILABLE_MESSAGE, reason
