"""The whole way over real sockets: a protected app under real servers, the mock proxy behind it."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from httpx import AsyncClient, Limits
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from oxaigen_auth import OxaigenAuthMiddleware
from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen
from tests.support.apps import make_app
from tests.support.paths import ROOT
from tests.support.tokens import TOKEN

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator, AsyncIterator

pytestmark = pytest.mark.anyio

TIMEOUT = 60.0  # seconds: more than anything here takes, however busy the machine
DEV = {"authorization": "Bearer mock-dev-token"}


@pytest.fixture
async def mock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Serve the mock, and let the SDK in dev mode find it; give what it counts."""
    mock = create_app(MockSettings(latency=0.05))
    async with serving(mock, listen()) as url:
        monkeypatch.setenv("OXAIGEN_AUTH_DEV_MODE", "1")
        monkeypatch.setenv("OXAIGEN_AUTH_DEV_PROXY_URL", url)
        yield mock.state.mock.journal.counts


@asynccontextmanager
async def under_uvicorn(app: Any, listener: socket.socket) -> AsyncGenerator[str]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=20))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listener])  # noqa: ASYNC113 (awaited below)
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await anyio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True


def app_of(*, middleware: bool) -> FastAPI:
    app = make_app()
    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)
    return app


async def burst(url: str, size: int) -> set[int]:
    """Send so many requests at once with one token; return the statuses that came."""
    statuses: set[int] = set()
    async with AsyncClient(limits=Limits(max_connections=None), timeout=TIMEOUT) as http:

        async def ask() -> None:
            statuses.add((await http.get(f"{url}/me", headers=DEV)).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(size):
                group.start_soon(ask)
    return statuses


async def everybody_gets_their_answer(url: str, mock: Any) -> None:
    async with AsyncClient(timeout=TIMEOUT) as http:
        nobody = await http.get(f"{url}/me")
        assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
        unknown = await http.get(f"{url}/me", headers={"authorization": f"Bearer {TOKEN}"})
        assert unknown.status_code == 401
        assert (await http.get(f"{url}/audit", headers=DEV)).json() == {"user": "devuser"}
    mock.reset()
    assert await burst(url, 100) == {200}
    assert mock.report()["total"] == 0


@pytest.mark.parametrize("middleware", [True, False], ids=["middleware", "no middleware"])
async def test_an_app_works_under_hypercorn(mock: Any, middleware: bool) -> None:  # noqa: FBT001
    async with serving(app_of(middleware=middleware), listen()) as url:
        await everybody_gets_their_answer(url, mock)


@pytest.mark.parametrize("middleware", [True, False], ids=["middleware", "no middleware"])
async def test_a_cold_burst_under_hypercorn_makes_one_call(
    mock: Any,
    middleware: bool,  # noqa: FBT001
) -> None:
    async with serving(app_of(middleware=middleware), listen()) as url:
        assert await burst(url, 200) == {200}
    assert mock.report()["total"] == 1


async def test_disconnected_callers_do_not_affect_others(mock: Any) -> None:
    async with serving(app_of(middleware=True), listen()) as url:
        async with AsyncClient(timeout=httpx.Timeout(TIMEOUT, read=0.02)) as hasty:
            with pytest.raises(httpx.ReadTimeout):
                await hasty.get(f"{url}/me", headers=DEV)
        assert await burst(url, 20) == {200}
    assert mock.report()["total"] <= 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("middleware", [True, False], ids=["middleware", "no middleware"])
async def test_an_app_works_under_uvicorn(mock: Any, middleware: bool) -> None:  # noqa: FBT001
    async with under_uvicorn(app_of(middleware=middleware), listen()) as url:
        await everybody_gets_their_answer(url, mock)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("server", [serving, under_uvicorn], ids=["hypercorn", "uvicorn"])
@pytest.mark.usefixtures("mock")
async def test_a_websocket_is_opened_or_refused(server: Any) -> None:
    """The client is asyncio's; both servers run under asyncio here."""
    async with server(app_of(middleware=True), listen()) as url:
        at = url.replace("http", "ws", 1) + "/ws/me"
        async with connect(at, additional_headers=DEV) as websocket:
            assert "devuser" in str(await websocket.recv())
        with pytest.raises(InvalidStatus) as caught:
            await connect(at)
        assert caught.value.response.status_code == 401


async def test_pitfall_48_streams_of_one_connection_have_states_of_their_own(mock: Any) -> None:
    """Over HTTP/2, where hypercorn before 0.18 gave all streams one state."""
    seen: list[tuple[str, str | None, str | None]] = []
    ports: set[int] = set()
    arrived, go_on = anyio.Event(), anyio.Event()
    app = FastAPI()

    def note(request: Request) -> None:
        user = request.state.user
        seen.append((request.url.path, user and user.user_name, request.state.auth_error))

    @app.get("/{name}")
    async def route(request: Request, name: str) -> None:
        assert name
        ports.add(request.scope["client"][1])
        note(request)
        if len(seen) == 3:
            arrived.set()
        await go_on.wait()
        note(request)

    app.add_middleware(OxaigenAuthMiddleware)

    @app.middleware("http")
    async def outside(request: Request, call_next: Any) -> Any:
        request.state.touched = True
        response = await call_next(request)
        note(request)
        return response

    callers = {"/ada": DEV, "/nobody": {}, "/other": {"authorization": f"Bearer {TOKEN}"}}
    async with (
        serving(app, listen()) as url,
        AsyncClient(http1=False, http2=True, base_url=url) as http,
    ):
        assert (await http.get("/missing/path")).http_version == "HTTP/2"
        seen.clear()
        async with anyio.create_task_group() as group:
            for path, headers in callers.items():
                group.start_soon(partial(http.get, path, headers=headers))
            await arrived.wait()
            go_on.set()
    assert len(ports) == 1
    assert sorted(seen, key=str) == [
        *[("/ada", "devuser", None)] * 3,
        *[("/nobody", None, None)] * 3,
        *[("/other", None, "Invalid token")] * 3,
    ]
    assert mock.report()["total"] == 2


SERVERS = {
    "hypercorn asyncio": ["hypercorn", "--bind", "127.0.0.1:0"],
    "hypercorn trio": ["hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:0"],
    "uvicorn": ["uvicorn", "--port", "0"],
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("server", SERVERS)
async def test_pitfall_40_a_server_does_not_come_up_with_a_bad_setting(server: str) -> None:
    command = [sys.executable, "-m", *SERVERS[server], "docs.examples.app:app"]
    with anyio.fail_after(120):
        ended = await anyio.run_process(
            command,
            check=False,
            cwd=ROOT,
            env={**os.environ, "OXAIGEN_AUTH_DEV_MODE": "maybe"},
        )
    said = ended.stdout.decode() + ended.stderr.decode()
    assert "OXAIGEN_AUTH_DEV_MODE is 'maybe'" in said
    assert "startup complete" not in said.lower()
