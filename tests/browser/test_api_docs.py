"""The Authorize button of Swagger UI at `/docs`, with the example app and a mock."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from importlib.resources import files
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from oxaigen_auth import CurrentUser, User, aclose_client
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen
from tests.browser.conftest import Mock

StartMock = Callable[..., Mock]
StartApp = Callable[..., str]

TOKEN = "mock-dev-token"
COOKIE = "OxaigenPlatformAuthAccessToken"


def make_app(**options: Any) -> FastAPI:
    app = FastAPI(**options)

    @app.get("/v1/me")
    async def me(user: CurrentUser) -> User:
        return user

    return app


@pytest.fixture
def start_app(
    portal: BlockingPortal, start_mock: StartMock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StartApp]:
    """Return a function that serves an app with a mock, and returns its URL."""
    with ExitStack() as running:

        def start(**options: Any) -> str:
            monkeypatch.setenv("OXAIGEN_AUTH_DEV_MODE", "1")
            monkeypatch.setenv("OXAIGEN_AUTH_DEV_PROXY_URL", start_mock().url)
            app = make_app(**options)
            return running.enter_context(portal.wrap_async_context_manager(_served(app)))

        yield start


@asynccontextmanager
async def _served(app: FastAPI) -> AsyncGenerator[str]:
    async with serving(app, listen()) as url:
        yield url
    await aclose_client()


def open_docs(page: Page, url: str) -> Locator:
    """Open `/docs`, with Swagger UI from a package instead of the CDN. Return the operation."""

    def fulfil(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        path = files("fastapi_offline") / "static" / name
        route.fulfill(body=path.read_bytes() if path.is_file() else b"")

    page.route(lambda requested: not requested.startswith(url), fulfil)
    page.goto(f"{url}/docs")
    operation = page.locator(".opblock", has_text="/v1/me")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    return operation


def authorize(page: Page, scheme: str) -> None:
    page.locator(".auth-wrapper .authorize").first.click()
    form = page.locator(".auth-container", has=page.get_by_role("heading", name=scheme))
    form.locator("input").fill(TOKEN)
    form.get_by_role("button", name="Apply credentials").click()
    form.get_by_role("button", name="Close").click()


def expect_response(operation: Locator, status: str, text: str) -> None:
    operation.get_by_role("button", name="Execute").click()
    response = operation.locator(".live-responses-table .response")
    expect(response.locator(".response-col_status")).to_contain_text(status)
    expect(response).to_contain_text(text)


def test_a_token_authorizes_requests(page: Page, start_app: StartApp) -> None:
    operation = open_docs(page, start_app())
    expect_response(operation, "401", "Not authenticated")
    authorize(page, "OxaigenBearer")
    expect_response(operation, "200", "devuser")


def test_a_signed_in_browser_needs_no_token(
    page: Page, context: BrowserContext, start_app: StartApp
) -> None:
    url = start_app()
    operation = open_docs(page, url)
    context.add_cookies([{"name": COOKIE, "value": TOKEN, "url": url}])
    expect_response(operation, "200", "devuser")


@pytest.mark.parametrize(("persists", "status"), [(True, "200"), (False, "401")])
def test_a_cookie_authorizes_requests_if_swagger_ui_may_keep_it(
    page: Page, start_app: StartApp, *, persists: bool, status: str
) -> None:
    operation = open_docs(page, start_app(swagger_ui_parameters={"persistAuthorization": persists}))
    authorize(page, "OxaigenCookie")
    expect_response(operation, status, "detail" if status == "401" else "devuser")
