"""Signing in as people do it: in a browser, with the documented front end at another origin."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Mock

StartMock = Callable[..., Mock]
StartFrontEnd = Callable[[Mock], str]

ACCESS = "OxaigenPlatformAuthAccessToken"
REFRESH = "OxaigenPlatformAuthRefreshToken"


def open_popup(page: Page) -> Page:
    with page.expect_popup() as popup:
        page.get_by_role("button", name="Sign in").click()
    return popup.value


def expect_status(page: Page, text: str) -> None:
    expect(page.get_by_role("status")).to_have_text(text)


def expect_answer(page: Page, text: str) -> None:
    expect(page.get_by_role("log")).to_contain_text(text)


def cookies(context: BrowserContext) -> dict[str, str]:
    return {cookie.get("name", ""): cookie.get("value", "") for cookie in context.cookies()}


def sign_in(page: Page) -> None:
    open_popup(page)
    expect_status(page, "Signed in as devuser.")


def test_a_popup_from_another_origin_signs_in(
    page: Page, context: BrowserContext, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    mock = start_mock()
    page.goto(start_front_end(mock))
    popup = open_popup(page)
    expect_status(page, "Signed in as devuser.")
    if not popup.is_closed():
        popup.wait_for_event("close")
    expect(page.get_by_text("dev@localhost")).to_be_visible()
    assert cookies(context) == {ACCESS: "mock-dev-token", REFRESH: "mock-dev-refresh-token"}
    assert page.evaluate("document.cookie") == f"{ACCESS}=mock-dev-token"


def test_the_app_takes_the_bearer_token_and_the_cookie(
    page: Page, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    page.goto(start_front_end(start_mock()))
    page.get_by_role("button", name="With the cookie").click()
    expect_answer(page, "401")
    sign_in(page)
    page.get_by_role("button", name="With the cookie").click()
    expect_answer(page, '200 {"is_authenticated":true')
    page.get_by_role("button", name="For the audit log").click()
    expect_answer(page, '200 {"seen_by":"dev@localhost"}')
    page.get_by_role("button", name="With the bearer token").click()
    expect_answer(page, '200 {"is_authenticated":true')


def test_a_popup_from_the_mocks_own_origin_signs_in(page: Page, start_mock: StartMock) -> None:
    mock = start_mock()
    page.goto(f"{mock.url}/health")
    message = page.evaluate("""async () => {
        const heard = new Promise((resolve) => {
            addEventListener("message", ({ origin, data }) => resolve({ origin, ...data }));
        });
        const popup = window.open("", "sign-in", "popup");
        const login = await (await fetch("/_oxa_auth/login?return_to=/dashboard")).json();
        popup.location = login.authorize_url;
        return heard;
    }""")
    assert message == {"origin": mock.url, "type": "OXA_AUTH_SUCCESS", "return_to": "/dashboard"}


def test_a_page_signs_in_and_comes_back(
    page: Page, context: BrowserContext, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    mock = start_mock()
    front_end = start_front_end(mock)
    page.goto(front_end)
    page.evaluate(
        """async (mock) => {
            const login = await fetch(`${mock}/_oxa_auth/login?return_to=/%3Fback=1`);
            location.href = new URL((await login.json()).authorize_url, mock);
        }""",
        mock.url,
    )
    page.wait_for_url("**/?back=1")
    assert page.url.startswith(front_end.partition("?")[0])
    assert cookies(context)[ACCESS] == "mock-dev-token"


def test_a_persona_is_picked_with_the_keyboard_alone(
    page: Page, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    page.goto(start_front_end(start_mock(pick=True)))
    popup = open_popup(page)
    guest = popup.get_by_role("button", name="guest")
    for _ in range(20):
        popup.keyboard.press("Tab")
        if guest.evaluate("(button) => button === document.activeElement"):
            break
    popup.keyboard.press("Enter")
    expect_status(page, "Signed in as guest.")


def test_a_denial_reaches_the_page(
    page: Page, context: BrowserContext, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    page.goto(start_front_end(start_mock(pick=True)))
    popup = open_popup(page)
    popup.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("status")).to_contain_text("denied")
    assert cookies(context) == {}


def test_a_second_click_opens_no_second_popup(
    page: Page, context: BrowserContext, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    page.goto(start_front_end(start_mock(pick=True)))
    popup = open_popup(page)
    popup.get_by_role("button", name="guest").wait_for()
    page.get_by_role("button", name="Sign in").click()
    assert len(context.pages) == 2
    popup.get_by_role("button", name="guest").click()
    expect_status(page, "Signed in as guest.")


def test_pitfall_34_a_page_believes_its_popup_alone(
    page: Page, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    page.goto(start_front_end(start_mock(pick=True)))
    popup = open_popup(page)
    guest = popup.get_by_role("button", name="guest")
    guest.wait_for()  # by now the page listens
    page.evaluate("postMessage({type: 'OXA_AUTH_FAILURE', message: 'forged'}, '*')")
    guest.click()
    expect_status(page, "Signed in as guest.")


def test_closing_the_popup_by_hand_ends_the_sign_in(
    page: Page, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    page.goto(start_front_end(start_mock(pick=True)))
    open_popup(page).close()
    expect_status(page, "The sign-in window was closed.")
    popup = open_popup(page)
    popup.get_by_role("button", name="guest").click()
    expect_status(page, "Signed in as guest.")


def test_signing_out_deletes_the_cookies(
    page: Page, context: BrowserContext, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    page.goto(start_front_end(start_mock()))
    sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    expect_status(page, "Signed out.")
    assert cookies(context) == {}
    page.get_by_role("button", name="With the cookie").click()
    expect_answer(page, "401")


def test_strict_an_expired_token_is_refreshed(
    page: Page, context: BrowserContext, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    mock = start_mock(strict=True)
    page.goto(start_front_end(mock))
    sign_in(page)
    first = cookies(context)
    mock.do(lambda handle: handle.advance(301))
    page.get_by_role("button", name="With the bearer token").click()
    expect_answer(page, "401")
    page.get_by_role("button", name="Refresh").click()
    expect_status(page, "Refreshed; the token lasts 300 seconds.")
    page.get_by_role("button", name="With the bearer token").click()
    expect_answer(page, "200")
    assert cookies(context)[ACCESS] != first[ACCESS]
    assert cookies(context)[REFRESH] != first[REFRESH]


def test_strict_a_reused_refresh_token_ends_the_session(
    page: Page, context: BrowserContext, start_mock: StartMock, start_front_end: StartFrontEnd
) -> None:
    mock = start_mock(strict=True)
    page.goto(start_front_end(mock))
    sign_in(page)
    stolen = cookies(context)[REFRESH]
    page.get_by_role("button", name="Refresh").click()
    expect_status(page, "Refreshed; the token lasts 300 seconds.")
    current = cookies(context)[ACCESS]
    context.add_cookies([{"name": REFRESH, "value": stolen, "url": mock.url}])
    page.get_by_role("button", name="Refresh").click()
    expect_status(page, "Refresh failed: invalid_grant")
    answer = page.request.get(
        f"{mock.url}/_oxa_auth/get-me", headers={"Authorization": f"Bearer {current}"}
    )
    assert answer.status == 401


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_a_persona_with_markup_in_its_name_is_shown_as_text(
    page: Page, start_mock: StartMock, start_front_end: StartFrontEnd, name: str
) -> None:
    mock = start_mock(pick=True, user_name=name, email=name, first_name=name, role_names=(name,))
    page.goto(start_front_end(mock))
    popup = open_popup(page)
    dialogs: list[str] = []
    popup.on("dialog", lambda dialog: dialogs.append(dialog.message))
    popup.get_by_role("button", name=name).click()
    expect_status(page, f"Signed in as {name}.")
    assert dialogs == []
