"""The middleware of the mock, in plain ASGI because it runs on every call of a load test."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final, get_args

from anyio import sleep
from attrs import define
from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.status import HTTP_200_OK, HTTP_403_FORBIDDEN
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth_mock.asgi.exchange import wait_for_disconnect
from oxaigen_auth_mock.asgi.hypercorn_connections import SEND_KEY
from oxaigen_auth_mock.asgi.methods import HeadMiddleware
from oxaigen_auth_mock.faults.base import Endpoint, TokenEndpoint, inject_faults
from oxaigen_auth_mock.journal.journal import CALL_KEY
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.playback import catch_up
from oxaigen_auth_mock.state import MockState

PREFIX: Final = "/_oxa_auth/"
TOKEN_ENDPOINTS: Final = frozenset(get_args(TokenEndpoint))
ENDPOINTS: Final = frozenset(get_args(Endpoint))
MOCK_HEADER: Final = (b"x-oxaigen-mock", b"1")
REQUEST_PRIVATE_NETWORK: Final = (b"access-control-request-private-network", b"true")
ALLOW_PRIVATE_NETWORK: Final = (b"access-control-allow-private-network", b"true")


def outer_middleware(app: ASGIApp, *, allow_remote: bool) -> ASGIApp:
    """Wrap an app in the middleware that applies to every response of a mock."""
    if not allow_remote:
        app = LoopbackOnlyMiddleware(app)
    return MockHeaderMiddleware(HeadMiddleware(app))


@define(eq=False)
class MockHeaderMiddleware:
    """Add `X-Oxaigen-Mock: 1` to every response.

    It wraps the server's own `send`, and therefore stores it in the scope at `SEND_KEY`.
    """

    _app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), MOCK_HEADER]}
            await send(message)

        scope.setdefault(SEND_KEY, send)
        await self._app(scope, receive, send_marked)


@define(eq=False)
class LoopbackOnlyMiddleware:
    """Refuse calls from other machines with 403.

    Clients without an IP address, such as those of a Unix socket, are served.
    """

    _app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client") if scope["type"] == "http" else None
        if client is None or not is_remote(client[0]):
            await self._app(scope, receive, send)
            return
        detail = "This mock only serves its own machine; --allow-remote accepts other machines."
        await JSONResponse({"detail": detail}, HTTP_403_FORBIDDEN)(scope, receive, send)


@lru_cache(maxsize=1024)
def is_remote(host: str) -> bool:
    """Return whether a client's address belongs to another machine."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_loopback


@define(eq=False)
class PrivateNetworkMiddleware:
    """Let pages on the internet call the mock, if CORS allows their origin.

    Browsers ask with the header of https://wicg.github.io/private-network-access/. Only recent
    versions of Starlette's CORS middleware answer it, so the header is removed before.
    """

    _cors: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or REQUEST_PRIVATE_NETWORK not in scope["headers"]:
            await self._cors(scope, receive, send)
            return

        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTP_200_OK:
                message = {**message, "headers": [*message["headers"], ALLOW_PRIVATE_NETWORK]}
            await send(message)

        headers = [each for each in scope["headers"] if each != REQUEST_PRIVATE_NETWORK]
        await self._cors({**scope, "headers": headers}, receive, send_allowing)


@define(eq=False)
class JournalMiddleware:
    """Record each call of the proxy's endpoints, delay it, and inject faults.

    Token and permission checks are delayed by a slow persona and by the configured latency; other
    endpoints are not. A fault is injected before the delay, unless it alters the response.
    """

    _app: ASGIApp
    _state: MockState
    _authorize_path: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope, self._authorize_path)
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        catch_up(self._state)
        connection = HTTPConnection(scope)
        token = self._state.token_from(connection)
        persona = self._state.find_persona(token)
        name = persona.name if persona else None
        user_agent = connection.headers.get("user-agent", "")[:200]
        with self._state.journal.record(
            endpoint, token=token, persona=name, user_agent=user_agent
        ) as call:
            scope[CALL_KEY] = call

            async def send_recorded(message: Message) -> None:
                if message["type"] == "http.response.start":
                    call.set_status(message["status"])
                await send(message)

            async def delayed_app(scope: Scope, receive: Receive, send: Send) -> None:
                if endpoint in TOKEN_ENDPOINTS:
                    await self._delay(persona, receive)
                await self._app(scope, receive, send)

            faults = self._state.faults.apply(endpoint, name)
            call.fault = "; ".join(fault.summary() for fault in faults) or None
            try:
                await inject_faults(faults, delayed_app, scope, receive, send_recorded)
            except HTTPException as error:  # answered by BodyLimitMiddleware
                call.set_status(error.status_code)
                raise

    async def _delay(self, persona: Persona | None, receive: Receive) -> None:
        if self._state.settings.latency:
            await sleep(self._state.settings.latency)
        if persona is not None and persona.state == "slow":
            await sleep(persona.delay)
        if persona is not None and persona.state == "never-answers":
            await wait_for_disconnect(receive)


def endpoint_of(scope: Scope, authorize_path: str) -> str | None:
    """Return the proxy endpoint that a call is for, or None.

    Args:
        scope: the scope of the call.
        authorize_path: a further path of `mock-authorize`.
    """
    if scope["type"] != "http":
        return None
    if scope["path"] == authorize_path:
        return "mock-authorize"
    if not scope["path"].startswith(PREFIX):
        return None
    endpoint = scope["path"].removeprefix(PREFIX).partition("/")[0]
    return endpoint if endpoint in ENDPOINTS else None
