"""What every call passes on its way to an endpoint, from the outside in: `Marked`, `Recorded`.

Layers of plain ASGI, because each costs every call: the mock has to keep up with load tests.
"""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final, get_args

from anyio import sleep
from attrs import define
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.status import HTTP_200_OK, HTTP_403_FORBIDDEN
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth_mock.asgi.exchange import until_left
from oxaigen_auth_mock.asgi.hypercorn_connections import SEND
from oxaigen_auth_mock.asgi.methods import as_get, without_body
from oxaigen_auth_mock.faults.inject import answer_with
from oxaigen_auth_mock.faults.match import Endpoint
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.state import MockProxy

PREFIX: Final = "/_oxa_auth/"
CHECKS: Final = frozenset({"get-me", "test-app-token", "test-app-permission"})
ENDPOINTS: Final = frozenset(get_args(Endpoint))
MARK: Final = (b"x-oxaigen-mock", b"1")
ASKS_FOR_PRIVATE_NETWORK: Final = (b"access-control-request-private-network", b"true")
ALLOWS_PRIVATE_NETWORK: Final = (b"access-control-allow-private-network", b"true")


@define(eq=False)
class Marked:
    """Says on every answer that it is the mock's, and answers this machine alone.

    Behind it a HEAD is a GET: it is answered, written down and spoilt like one. A client without an
    IP address has not come through a network.
    """

    _app: ASGIApp
    _allow_remote: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), MARK]}
            await send(message)

        client = scope.get("client")
        app = self._app
        if not self._allow_remote and client is not None and is_remote(client[0]):
            app = JSONResponse(
                {"detail": "This mock answers its own machine; --allow-remote lets others in."},
                HTTP_403_FORBIDDEN,
            )
        scope.setdefault(SEND, send)
        if scope["method"] == "HEAD":
            await app(as_get(scope), receive, without_body(marked))
            return
        await app(scope, receive, marked)


@define(eq=False)
class PrivateNetworkPreflight:
    """Lets pages on the internet reach this machine, if their browser asks and CORS lets them in.

    Browsers ask with the header of https://wicg.github.io/private-network-access/. Starlette's CORS
    answers it in its newest versions only, so that it does not get to see the header.
    """

    _cors: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or ASKS_FOR_PRIVATE_NETWORK not in scope["headers"]:
            await self._cors(scope, receive, send)
            return

        async def allowing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTP_200_OK:
                message = {**message, "headers": [*message["headers"], ALLOWS_PRIVATE_NETWORK]}
            await send(message)

        headers = [each for each in scope["headers"] if each != ASKS_FOR_PRIVATE_NETWORK]
        await self._cors({**scope, "headers": headers}, receive, allowing)


@lru_cache(maxsize=1024)
def is_remote(host: str) -> bool:
    """Whether a client's address is one of another machine."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_loopback


@define(eq=False)
class Recorded:
    """Writes each call of the proxy's endpoints into the journal, makes it wait, and spoils it.

    What it waits for: a slow persona and the latency of the settings, token and permission checks
    only. A fault strikes before the waiting, unless it spoils the answer that comes after it.
    """

    _app: ASGIApp
    _proxy: MockProxy
    _authorize_path: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope, self._authorize_path)
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        token = self._proxy.token_of(connection)
        persona = self._proxy.holder(token)
        name = persona.name if persona else None
        user_agent = connection.headers.get("user-agent", "")[:200]
        with self._proxy.journal.recorded(
            endpoint, token=token, persona=name, user_agent=user_agent
        ) as call:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    call.answered(message["status"])
                await send(message)

            async def answer(scope: Scope, receive: Receive, send: Send) -> None:
                if endpoint in CHECKS:
                    await self._wait(persona, receive)
                await self._app(scope, receive, send)

            faults = self._proxy.faults.strike(endpoint, name)
            if faults:
                call.fault = "; ".join(fault.effect() for fault in faults)
                await answer_with(faults, answer, scope, receive, noted)
            else:
                await answer(scope, receive, noted)

    async def _wait(self, persona: Persona | None, receive: Receive) -> None:
        if self._proxy.settings.latency:
            await sleep(self._proxy.settings.latency)
        if persona is not None and persona.state == "slow":
            await sleep(persona.delay)
        if persona is not None and persona.state == "never-answers":
            await until_left(receive)


def endpoint_of(scope: Scope, authorize_path: str) -> str | None:
    """Name the endpoint of the proxy that a call is for, if it is for one.

    Args:
        scope: the call's.
        authorize_path: where `mock-authorize` is too.
    """
    if scope["type"] != "http":
        return None
    if scope["path"] == authorize_path:
        return "mock-authorize"
    if not scope["path"].startswith(PREFIX):
        return None
    endpoint = scope["path"].removeprefix(PREFIX).partition("/")[0]
    return endpoint if endpoint in ENDPOINTS else None
