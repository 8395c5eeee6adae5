"""axe-core finds no violation on any page, in both color schemes and on narrow screens."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from oxaigen_auth_load.report.html.page import render_page
from oxaigen_auth_mock.snapshot import Snapshot
from tests.browser.conftest import Mock
from tests.unit.oxaigen_auth_load.report.sample import partial_report, sample_report

pytestmark = pytest.mark.parametrize("portal", ["asyncio"], indirect=True)

StartMock = Callable[..., Mock]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (1280, 390)


def violations(page: Page) -> list[str]:
    """Return what axe-core finds, with the rule and the elements of each."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {[node['html'][:150] for node in each['nodes']]}" for each in found]


def looks(page: Page) -> Iterator[str]:
    """Show the page in each color scheme and width."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            yield f"{scheme} at {width}"


def expect_no_violation(page: Page) -> None:
    assert {look: violations(page) for look in looks(page)} == {
        f"{scheme} at {width}": [] for scheme in SCHEMES for width in WIDTHS
    }


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_the_control_page(show_control: StartMock, page: Page) -> None:
    mock = show_control()
    mock.do(lambda handle: handle.load(Snapshot(personas=[])))
    expect(page.locator(".persona")).to_have_count(0)
    expect_no_violation(page)
    mock.do(lambda handle: handle.reset())
    expect(page.locator(".persona")).to_have_count(4)
    mock.do(lambda handle: handle.revoke("mock-guest-token"))
    mock.do(lambda handle: handle.fault("status", persona="guest", endpoint="get-me", times=1))
    for token in ("dev", "guest", "guest", "unknown"):
        headers = {"Authorization": f"Bearer mock-{token}-token"}
        page.request.get(f"{mock.url}/_oxa_auth/get-me", headers=headers)
    expect(page.locator("#calls tr")).to_have_count(4)
    page.get_by_text("Calls per token").click()
    page.get_by_label("Move the clock by").fill("soon")
    press(page, "Move")
    press(page, "Pause")
    page.get_by_label("Permission to add to guest").fill("a b")
    press(page, "Add permission to guest")
    expect(page.locator(".persona .problem").get_by_text("expected text")).to_be_visible()
    expect_no_violation(page)


def test_the_dialogs_of_the_control_page(show_control: StartMock, page: Page) -> None:
    show_control()
    for opener, action in (
        ("Add persona", "Save"),
        ("More kinds…", None),
        ("Load plan", "Load"),
        ("Delete guest", None),
    ):
        press(page, opener)
        dialog = page.locator("dialog[open]")
        if action:
            dialog.get_by_role("button", name=action).click()
            expect(dialog.locator(".problem:visible").first).not_to_be_empty()
        expect_no_violation(page)
        dialog.get_by_role("button", name="Cancel").click()


def test_the_control_page_of_a_mock_that_has_stopped(show_control: StartMock, page: Page) -> None:
    mock = show_control()
    mock.stop()
    expect(page.locator("#live")).to_have_attribute("data-live", "false")
    press(page, "+1 min on the clock")
    expect(page.get_by_text("The mock does not respond.")).to_be_visible()
    expect_no_violation(page)


def test_the_page_to_pick_a_persona(page: Page, start_mock: StartMock) -> None:
    mock = start_mock(pick=True, forbidden_token="no")
    login = page.request.get(f"{mock.url}/_oxa_auth/login?return_to=/").json()
    page.goto(f"{mock.url}{login['authorize_url'].removeprefix(mock.url)}")
    expect(page.get_by_role("heading", name="Choose a persona")).to_be_visible()
    expect_no_violation(page)
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", name="The sign-in failed")).to_be_visible()
    expect_no_violation(page)


@pytest.mark.parametrize("partial", [False, True])
def test_the_report_of_the_load_tool(page: Page, tmp_path: Path, *, partial: bool) -> None:
    report = partial_report() if partial else sample_report()
    file = tmp_path / "report.html"
    file.write_text(render_page(report), encoding="utf-8")
    page.goto(file.as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    expect_no_violation(page)
