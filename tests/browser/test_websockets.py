"""The example chat in a browser, which sends its token as a sub-protocol."""

import importlib.util
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI, WebSocket
from playwright.sync_api import Page, expect

from oxaigen_auth import aclose_client, watch_user
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen
from tests.browser.conftest import Mock
from tests.support.paths import ROOT

EXAMPLE = ROOT / "docs/examples/chat.py"
SUBPROTOCOL = "base64url.bearer.authorization.oxaigen."


def load_example() -> ModuleType:
    """Import the example anew, to add a route to it."""
    spec = importlib.util.spec_from_file_location("chat", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: FastAPI = module.app

    @app.websocket("/silent")
    async def silent(websocket: WebSocket) -> None:
        """Select none of the sub-protocols."""
        async with watch_user(websocket):
            await websocket.accept()
            await websocket.receive()

    return module


@asynccontextmanager
async def served(module: ModuleType) -> AsyncGenerator[str]:
    async with serving(module.app, listen()) as url:
        yield url
    await aclose_client()


@pytest.fixture
def mock(start_mock: Callable[..., Mock], monkeypatch: pytest.MonkeyPatch) -> Mock:
    mock = start_mock()
    for name, value in {
        "DEV_MODE": "1",
        "DEV_PROXY_URL": mock.url,
        "CACHE_TTL_SECONDS": "0",
    }.items():
        monkeypatch.setenv(f"OXAIGEN_AUTH_{name}", value)
    return mock


@pytest.fixture
def chat(portal: BlockingPortal, mock: Mock, page: Page) -> Iterator[str]:  # noqa: ARG001 (order)
    with portal.wrap_async_context_manager(served(load_example())) as url:
        page.goto(url)
        yield url
        page.goto("about:blank")  # the server waits for its WebSockets


def expect_log(page: Page, text: str) -> None:
    expect(page.get_by_role("log")).to_contain_text(text)


def join(page: Page) -> None:
    page.get_by_role("button", name="Join").click()
    expect_log(page, "joined by chat")


@pytest.mark.usefixtures("chat")
def test_a_page_joins_with_its_token_and_leaves_by_signing_out(page: Page) -> None:
    join(page)
    page.get_by_label("Text").fill("hello")
    page.get_by_role("button", name="Say").click()
    expect_log(page, "devuser: hello")
    page.get_by_role("button", name="Sign out").click()
    expect_log(page, "closed: 1008 Token no longer valid")


@pytest.mark.usefixtures("chat")
def test_a_websocket_is_closed_when_its_token_is_revoked(page: Page, mock: Mock) -> None:
    join(page)
    mock.do(lambda handle: handle.revoke("mock-dev-token"))
    expect_log(page, "closed: 1008 Invalid token")


@pytest.mark.usefixtures("chat")
def test_a_refused_handshake_looks_like_a_failed_connection(page: Page) -> None:
    page.get_by_label("Token").fill("another")
    page.get_by_role("button", name="Join").click()
    expect_log(page, "closed: 1006")


@pytest.mark.usefixtures("chat")
def test_a_browser_gives_up_if_the_app_selects_no_sub_protocol(page: Page) -> None:
    code = page.evaluate(
        """(prefix) => new Promise((resolve) => {
            const url = new URL("/silent", location.href.replace(/^http/, "ws"));
            const socket = new WebSocket(url, [prefix + btoa("mock-dev-token").replace(/=+$/, "")]);
            socket.onopen = () => resolve("open");
            socket.onclose = ({ code }) => resolve(code);
        })""",
        SUBPROTOCOL,
    )
    assert code == 1006
