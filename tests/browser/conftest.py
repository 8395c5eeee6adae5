"""Fixtures with Chromium, and with servers that run on event loops in threads of their own."""

import os
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import define
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from oxaigen_auth import aclose_client
from oxaigen_auth_mock import MockSettings, RunningMock, running_mock
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


TIMEOUT = 60_000  # milliseconds: longer than any page takes on a busy machine
expect.set_options(timeout=TIMEOUT)


def find_chromium() -> str:
    """Return the path of Chromium. If it is not installed, skip the test, or fail in CI."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = [path for path in map(shutil.which, names) if path is not None]
    if found:
        return found[0]
    reason = "no Chromium on this machine: install the package `chromium`"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser for one module: its event loop would disturb async tests of others."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(
    browser: Browser,
    start_mock: object,  # noqa: ARG001 - closed after the pages, because servers wait for them
    start_front_end: object,  # noqa: ARG001 - as above
) -> Iterator[BrowserContext]:
    """Open a new browser context; fail the test if a page had an error or violated its CSP."""
    errors: list[str] = []
    messages: list[str] = []
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT)
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda message: messages.append(message.text))
    yield context
    context.close()
    assert errors == []
    assert [text for text in messages if "Content Security Policy" in text] == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@define
class Mock:
    """A running mock, and access to its event loop from the thread of a test."""

    _portal: BlockingPortal
    handle: RunningMock
    stop: Callable[[], None]

    @property
    def url(self) -> str:
        return self.handle.url

    def do(self, action: Callable[[RunningMock], Any]) -> Any:
        """Call a function with the mock's handle on its event loop."""
        return self._portal.call(action, self.handle)


@pytest.fixture(params=["asyncio", "trio"])
def portal(request: pytest.FixtureRequest) -> Iterator[BlockingPortal]:
    with start_blocking_portal(request.param) as portal:
        yield portal


@pytest.fixture
def start_mock(portal: BlockingPortal) -> Iterator[Callable[..., Mock]]:
    """Return a function that starts mocks, which run until the end of the test."""
    with ExitStack() as running:

        def start(**settings: Any) -> Mock:
            manager = _served(portal, running_mock(MockSettings(**settings)))
            own = running.enter_context(ExitStack())
            return Mock(portal, own.enter_context(manager), own.close)

        yield start


@pytest.fixture
def show_control(start_mock: Callable[..., Mock], page: Page) -> Iterator[Callable[..., Mock]]:
    """Return a function that starts a mock and opens its control page.

    The page must only send requests to the mock, and open no dialogs of the browser.
    """
    requested: list[str] = []
    own: list[str] = []
    dialogs: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))

    def show(**settings: Any) -> Mock:
        mock = start_mock(**settings)
        own.extend((mock.url, f"blob:{mock.url}"))
        page.goto(f"{mock.url}/_mock/")
        expect(page.locator("#live")).to_have_attribute("data-live", "true")
        return mock

    yield show
    assert [url for url in requested if not url.startswith(tuple(own))] == []
    assert dialogs == []


@pytest.fixture
def start_front_end(
    portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Mock], str]]:
    """Return a function that serves the example front end for a mock, and returns its URL."""
    with ExitStack() as running:

        def start(mock: Mock) -> str:
            monkeypatch.setenv("OXAIGEN_AUTH_DEV_MODE", "1")
            monkeypatch.setenv("OXAIGEN_AUTH_DEV_PROXY_URL", mock.url)
            monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "0")
            url = running.enter_context(_served(portal, _front_end()))
            return f"{url}/?mock={mock.url}"

        yield start


@asynccontextmanager
async def _front_end() -> AsyncGenerator[str]:
    from docs.examples.frontend.app import app  # noqa: PLC0415 - after the environment was set

    async with serving(app, listen()) as url:
        yield url
    await aclose_client()


def _served(portal: BlockingPortal, manager: Any) -> AbstractContextManager[Any]:
    return portal.wrap_async_context_manager(manager)
