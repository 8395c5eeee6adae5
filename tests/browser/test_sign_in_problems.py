"""What Chromium does with the cookies of a sign-in from another host, scheme or mock."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen_on_all
from oxaigen_auth_mock.server.tls import temporary_certificate
from tests.browser.conftest import Mock

StartMock = Callable[..., Mock]

SIGN_IN = """async (mock) => {
    const outcome = new Promise((resolve) => {
        addEventListener("message", ({ data }) => resolve(data.type));
    });
    const login = await (await fetch(`${mock}/_oxa_auth/login`)).json();
    window.open(new URL(login.authorize_url, mock), "sign-in", "popup");
    const type = await outcome;
    const app = await (await fetch("/cookies")).json();
    const options = { method: "POST", credentials: "include" };
    const refresh = await fetch(`${mock}/_oxa_auth/refresh`, options);
    return { type, app: app.length, refresh: refresh.status };
}"""


async def home(_request: Request) -> HTMLResponse:
    return HTMLResponse('<!doctype html><link rel="icon" href="data:,">')


async def cookies(request: Request) -> JSONResponse:
    return JSONResponse(list(request.cookies))


APP = Starlette(routes=[Route("/", home), Route("/cookies", cookies)])


@asynccontextmanager
async def serve_app(scheme: str) -> AsyncGenerator[str]:
    with temporary_certificate("localhost") as certificate:
        used = certificate if scheme == "https" else None
        async with serving(APP, *listen_on_all("localhost"), certificate=used) as url:
            yield url


@pytest.fixture
def page(
    browser: Browser,
    start_mock: StartMock,  # noqa: ARG001 - closed after the pages, because servers wait for them
) -> Iterator[Page]:
    with browser.new_context(ignore_https_errors=True) as context:
        yield context.new_page()


@pytest.mark.parametrize(
    ("page_at", "mock_at", "reached"),  # of the cookies: the app, and refresh
    [
        ("http://127.0.0.1", "http://127.0.0.1", (True, True)),
        ("http://localhost", "http://127.0.0.1", (False, False)),
        ("http://127.0.0.1", "http://localhost", (False, False)),
        ("https://localhost", "https://localhost", (True, True)),
        ("https://localhost", "https://127.0.0.1", (False, False)),
        ("https://localhost", "http://localhost", (True, False)),
        ("http://localhost", "https://localhost", (True, False)),
    ],
)
def test_login_warns_if_and_only_if_cookies_are_missing(  # noqa: PLR0913, PLR0917 - fixtures
    page: Page,
    start_mock: StartMock,
    portal: BlockingPortal,
    page_at: str,
    mock_at: str,
    reached: tuple[bool, bool],
) -> None:
    app_gets, refresh_gets = reached
    mock = start_mock(tls=mock_at.startswith("https"))
    mock_url = f"{mock_at}:{mock.url.rpartition(':')[2]}"
    with portal.wrap_async_context_manager(serve_app(page_at.partition(":")[0])) as app_url:
        page.goto(f"{page_at}:{app_url.rpartition(':')[2]}")
        with page.expect_popup() as popup:
            result: Any = page.evaluate(SIGN_IN, mock_url)
        warned = not (app_gets and refresh_gets)
        assert result == {
            "type": "OXA_AUTH_SUCCESS",
            "app": 2 if app_gets else 0,
            "refresh": 200 if refresh_gets else 401,
        }
        login = mock.do(lambda handle: handle.calls(endpoint="login"))[0]
        assert (login.warning is not None) == warned
        if warned:  # the window stays open, so that the warning can be read
            expect(popup.value.get_by_role("note")).to_have_text(f"Warning: {login.warning}.")
        page.context.close()  # before the app stops: it waits for connections with TLS


def test_two_mocks_on_one_host_need_a_suffix(page: Page, start_mock: StartMock) -> None:
    def sign_in(mock: Mock) -> int:
        page.goto(f"{mock.url}/health")
        with page.expect_navigation(url="**/health"):
            page.evaluate(
                """async () => {
                    const login = await (await fetch("/_oxa_auth/login?return_to=/health")).json();
                    location.href = login.authorize_url;
                }"""
            )
        refresh = "async () => (await fetch('/_oxa_auth/refresh', { method: 'POST' })).status"
        status: int = page.evaluate(refresh)
        return status

    def warnings(mock: Mock) -> set[str]:
        return {call.warning for call in mock.do(lambda handle: handle.calls()) if call.warning}

    for suffix, expected in ((None, 1), ("auto", 0)):
        one, two = (start_mock(strict=True, cookie_suffix=suffix) for _ in range(2))
        assert [sign_in(mock) for mock in (one, two)] == [200, 200]
        assert (len(warnings(one)), len(warnings(two))) == (0, expected)


def test_an_invalid_state_is_shown_as_a_page(page: Page, start_mock: StartMock) -> None:
    page.goto(f"{start_mock().url}/_oxa_auth/mock-authorize?state=forged")
    expect(page.get_by_role("heading")).to_have_text("The sign-in failed")
    expect(page.get_by_role("alert")).to_have_text("Invalid state")
