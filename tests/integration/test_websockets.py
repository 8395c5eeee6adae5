"""WebSockets under real servers, with a real client: refused, opened, and closed."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from oxaigen_auth_mock import MockSettings, RunningMock, running_mock
from tests.support.example_servers import HTTP_SERVERS, TIMEOUT, example_under

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

TOKEN = "mock-dev-token"
PREFIX = "base64url.bearer.authorization.oxaigen."
OFFER = PREFIX + urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
BEARER = {"authorization": f"Bearer {TOKEN}"}

SERVERS = {
    **{name: HTTP_SERVERS[name] for name in ("hypercorn asyncio", "hypercorn trio", "granian")},
    "uvicorn websockets": [*HTTP_SERVERS["uvicorn"], "--ws", "websockets"],
    "uvicorn websockets-sansio": [*HTTP_SERVERS["uvicorn"], "--ws", "websockets-sansio"],
    "uvicorn wsproto": [*HTTP_SERVERS["uvicorn"], "--ws", "wsproto"],
}

each_server = pytest.mark.parametrize("server", SERVERS)
# The client of the tests runs on asyncio.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@asynccontextmanager
async def chat_under(server: str) -> AsyncGenerator[tuple[str, RunningMock]]:
    """Serve the example chat; yield its host and port, and the mock."""
    async with running_mock(MockSettings()) as mock:
        own = {"DEV_MODE": "1", "DEV_PROXY_URL": mock.url, "CACHE_TTL_SECONDS": "0"}
        async with example_under(SERVERS[server], "chat", **own) as host:
            yield host, mock


async def closed(websocket: Any) -> tuple[int, str]:
    with anyio.fail_after(TIMEOUT), pytest.raises(ConnectionClosed) as caught:
        await websocket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


@on_asyncio
@each_server
async def test_a_websocket_is_refused_opened_and_closed(server: str) -> None:
    async with chat_under(server) as (host, mock):
        url = f"ws://{host}/chat"
        options: Any
        offered: Any = ["chat", OFFER]
        for options in ({}, {"subprotocols": ["chat", PREFIX + "YmFk"]}):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, **options)
            assert refused.value.response.status_code == 401
        for options in (
            {"subprotocols": offered},
            {"subprotocols": [OFFER, "chat"]},
            {"subprotocols": ["chat"], "additional_headers": BEARER},
        ):
            async with connect(url, **options) as websocket:
                assert websocket.subprotocol == "chat"
                await websocket.send("hello")
                assert await websocket.recv() == "devuser: hello"

        async with connect(url, subprotocols=offered) as websocket:
            async with httpx.AsyncClient(headers=BEARER) as http:
                assert (await http.post(f"http://{host}/sign-out")).status_code == 200
            assert await closed(websocket) == (1008, "Token no longer valid")

        async with connect(url, subprotocols=offered) as websocket:
            mock.revoke(TOKEN)
            assert await closed(websocket) == (1008, "Invalid token")
