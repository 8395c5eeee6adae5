"""WebSockets under real servers, with a real client: refused, opened, and closed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from base64 import urlsafe_b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from oxaigen_auth_mock import MockSettings, RunningMock, running_mock
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

TIMEOUT = 60.0  # seconds: more than anything here takes, however busy the machine
TOKEN = "mock-dev-token"
PREFIX = "base64url.bearer.authorization.oxaigen."
OFFER = PREFIX + urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
BEARER = {"authorization": f"Bearer {TOKEN}"}

SERVERS = {
    "hypercorn asyncio": ["hypercorn", "--bind", "127.0.0.1:{}"],
    "hypercorn trio": ["hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:{}"],
    "uvicorn websockets": ["uvicorn", "--ws", "websockets", "--port", "{}"],
    "uvicorn websockets-sansio": ["uvicorn", "--ws", "websockets-sansio", "--port", "{}"],
    "uvicorn wsproto": ["uvicorn", "--ws", "wsproto", "--port", "{}"],
    "granian": ["granian", "--interface", "asgi", "--port", "{}"],
}

each_server = pytest.mark.parametrize("server", SERVERS)
# The client of the tests runs on asyncio.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def chat_under(server: str) -> AsyncGenerator[tuple[str, RunningMock]]:
    """Serve the example chat; yield its host and port, and the mock."""
    port = free_port()
    command = [part.format(port) for part in SERVERS[server]]
    async with running_mock(MockSettings()) as mock:
        own = {"DEV_MODE": "1", "DEV_PROXY_URL": mock.url, "CACHE_TTL_SECONDS": "0"}
        process = await anyio.open_process(
            [sys.executable, "-m", *command, "docs.examples.chat:app"],
            cwd=ROOT,
            env={**os.environ, **{f"OXAIGEN_AUTH_{name}": value for name, value in own.items()}},
            stdout=None,
            stderr=None,
        )
        async with process:
            try:
                await until_it_answers(f"http://127.0.0.1:{port}/")
                yield f"127.0.0.1:{port}", mock
            finally:
                process.send_signal(signal.SIGINT)
                with anyio.move_on_after(10, shield=True):
                    await process.wait()


async def until_it_answers(url: str) -> None:
    with anyio.fail_after(TIMEOUT):
        async with httpx.AsyncClient() as http:
            while True:
                try:
                    await http.get(url)
                except httpx.TransportError:
                    await anyio.sleep(0.05)
                else:
                    return


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
