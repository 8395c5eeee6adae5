"""The control page in a browser: its live journal, its clock, the whole state, and how it looks."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from playwright.sync_api import Locator, Page, expect

from oxaigen_auth_mock import MockSettings, Persona, create_app
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen
from tests.browser.conftest import Mock

ShowControl = Callable[..., Mock]

DEV = {"Authorization": "Bearer mock-dev-token"}
GUEST = {"Authorization": "Bearer mock-guest-token"}
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"

on_asyncio = pytest.mark.parametrize("portal", ["asyncio"], indirect=True)
on_trio = pytest.mark.parametrize("portal", ["trio"], indirect=True)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def ask(mock: Mock, headers: dict[str, str] = DEV, *, times: int = 1) -> None:
    with httpx.Client(base_url=mock.url, headers=headers) as client:
        for _ in range(times):
            client.get("/_oxa_auth/get-me")


def rows(page: Page) -> Locator:
    return page.locator("#calls tr")


def offset(mock: Mock) -> float:
    seconds: float = mock.do(lambda handle: handle.state.clock.offset)
    return seconds


def count_of_calls(mock: Mock) -> int:
    return len(mock.do(lambda handle: handle.calls()))


# The journal


def test_a_call_appears_live(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    expect(page.get_by_text("No calls yet.")).to_be_visible()
    ask(mock, {**DEV, "User-Agent": "curious/1"})
    ask(mock, {"Authorization": "Bearer unknown"})
    expect(rows(page)).to_have_count(2)
    newest, oldest = rows(page).nth(0), rows(page).nth(1)
    (known, _) = mock.do(lambda handle: handle.calls())
    for words in ("get-me", "devuser", "accepted", "200", known.token, "curious/1"):
        expect(oldest).to_contain_text(words)
    expect(oldest.locator("[data-tone]")).to_have_attribute("data-tone", "good")
    for words in ("get-me", "none", "rejected", "401"):
        expect(newest).to_contain_text(words)
    expect(newest.locator("[data-tone]")).to_have_attribute("data-tone", "warn")
    expect(page.get_by_text("No calls yet.")).to_be_hidden()
    assert "mock-dev-token" not in page.get_by_role("region", name="Calls, newest").inner_text()


def test_a_burst_of_calls_keeps_the_page_small_and_its_totals_right(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    ask(mock, GUEST, times=100)
    ask(mock, DEV, times=400)
    expect(page.locator("#total")).to_have_text("500")
    expect(page.get_by_role("button", name="get-me 500")).to_be_visible()
    expect(rows(page)).to_have_count(300)
    report = mock.do(lambda handle: handle.state.journal.counts.report())
    assert (report["total"], report["endpoints"]) == (500, {"get-me": 500})
    expect(page.locator("#max-concurrency")).to_have_text(str(report["max_concurrency"]))
    page.get_by_label("Filter the journal").fill("guest accepted")
    expect(rows(page)).to_have_count(100)  # those that were not drawn are not forgotten


def test_a_running_call_is_shown(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    mock.do(lambda handle: handle.fault("hang"))
    page.evaluate("""() => {
        window.leaving = new AbortController();
        const options = { cache: "no-store", signal: window.leaving.signal };
        for (let index = 0; index < 3; index += 1) {
            fetch("/_oxa_auth/get-me", options).catch(() => {});
        }
    }""")
    expect(rows(page).locator("[data-tone=calm]")).to_have_text(["running"] * 3)
    expect(page.locator("#max-concurrency")).to_have_text("3")
    page.evaluate("window.leaving.abort()")
    expect(rows(page).locator("[data-tone=bad]")).to_have_text(["no answer"] * 3)
    assert {call.verdict for call in mock.do(lambda handle: handle.calls())} == {"no answer"}


@on_asyncio
def test_a_paused_journal_stops_and_keeps_counting(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    pause = page.get_by_role("button", name="Pause")
    ask(mock)
    expect(rows(page)).to_have_count(1)
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    ask(mock, times=3)
    expect(page.locator("#missed")).to_have_text("3 new calls")
    expect(page.locator("#total")).to_have_text("4")
    expect(rows(page)).to_have_count(1)
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#missed")).to_be_empty()
    expect(rows(page)).to_have_count(count_of_calls(mock))


@on_trio
def test_the_journal_is_filtered_by_words_and_by_endpoint(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    ask(mock, GUEST)
    ask(mock, DEV, times=2)
    httpx.post(f"{mock.url}/_oxa_auth/logout")
    expect(rows(page)).to_have_count(4)
    words = page.get_by_label("Filter the journal")
    words.fill("GUEST  get")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("guest")
    words.fill("guest 401")
    expect(page.get_by_text("No call matches the filter.")).to_be_visible()
    words.fill("")
    chip = page.get_by_role("button", name="get-me 3")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(rows(page)).to_have_count(3)
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    expect(rows(page)).to_have_count(4)
    assert count_of_calls(mock) == 4


@on_asyncio
@pytest.mark.parametrize("pauses", [0, 1])
def test_clearing_removes_the_calls(show_control: ShowControl, page: Page, pauses: int) -> None:
    mock = show_control()
    ask(mock, times=2)
    expect(rows(page)).to_have_count(2)
    for _ in range(pauses):
        press(page, "Pause")
    press(page, "Clear")
    expect(rows(page)).to_have_count(0)
    expect(page.get_by_text("No calls yet.")).to_be_visible()
    expect(page.locator("#total")).to_have_text("0")
    assert count_of_calls(mock) == 0


@on_trio
def test_a_token_is_revoked_among_the_totals(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    ask(mock, times=2)
    expect(page.locator("#token-count")).to_have_text("1")  # nothing moves under the click
    page.get_by_text("Calls per token").click()
    (call, _) = mock.do(lambda handle: handle.calls())
    row = page.locator(f"#tokens tr[data-token='{call.token}']")
    expect(row).to_contain_text("devuser")
    expect(row.locator("[data-part=total]")).to_have_text("2")
    press(page, f"Revoke {call.token}")
    expect(row.get_by_text("revoked")).to_be_visible()
    assert mock.do(lambda handle: handle.state.is_revoked("mock-dev-token"))
    press(page, f"Restore {call.token}")
    expect(row.get_by_text("revoked")).to_be_hidden()
    assert not mock.do(lambda handle: handle.state.revoked)


# The clock and the whole state


@on_asyncio
def test_the_clock_is_moved_and_brought_back(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    shown = page.locator("#clock-offset")
    for name in ("+1 min on the clock", "+5 min on the clock", "+1 h on the clock"):
        press(page, name)
    expect(shown).to_have_text("1 h 6 min ahead")
    assert offset(mock) == 3960
    page.get_by_label("Move the clock by").fill("-2h")
    press(page, "Move")
    expect(shown).to_have_text("54 min behind")
    expect(page.get_by_label("Move the clock by")).to_be_empty()
    assert offset(mock) == -3240
    press(page, "Reset clock")
    expect(shown).to_have_text("real time")
    assert offset(mock) == 0


@on_trio
def test_an_invalid_duration_does_not_move_the_clock(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    span = page.get_by_label("Move the clock by")
    span.fill(MARKUP)
    span.press("Enter")
    expect(page.locator("#top-problem")).to_contain_text(f"“{MARKUP}” is not a span of time")
    expect(span).to_have_value(MARKUP)
    span.fill("999999999999h")
    span.press("Enter")
    expect(page.locator("#top-problem")).to_contain_text("advance")
    assert offset(mock) == 0


@on_asyncio
def test_the_state_is_exported_and_imported(
    show_control: ShowControl, page: Page, tmp_path: Path
) -> None:
    mock = show_control()
    mock.do(lambda handle: handle.revoke("mock-guest-token"))
    mock.do(lambda handle: handle.fault("status", status=418))
    mock.do(lambda handle: handle.advance(60))
    mock.do(lambda handle: handle.sign_in_as("guest"))
    changed = mock.do(lambda handle: handle.snapshot())
    with page.expect_download() as download:
        press(page, "Export")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert json.loads(file.read_text()) == changed.model_dump(mode="json")
    mock.do(lambda handle: handle.reset())
    expect(page.locator("#clock-offset")).to_have_text("real time")
    with page.expect_file_chooser() as chooser:
        press(page, "Import")
    chooser.value.set_files(file)
    expect(page.get_by_role("status")).to_have_text(f"State of {file.name} imported")
    expect(page.locator("#faults")).to_contain_text("every call: 418")
    expect(page.get_by_label("Next sign-in: guest")).to_be_checked()
    assert mock.do(lambda handle: handle.snapshot()) == changed


@on_trio
def test_a_state_with_mistakes_is_not_imported(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    before = mock.do(lambda handle: handle.snapshot())
    name = f"{MARKUP.replace('/', '')}.json"
    for text, problem in (
        ("{", f"{name} is not JSON"),
        ('{"personas": [{}]}', "personas.0.name"),
    ):
        page.get_by_label("State to import").set_input_files(
            {"name": name, "mimeType": "application/json", "buffer": text.encode()}
        )
        expect(page.locator("#top-problem")).to_contain_text(problem)
    expect(page.locator("img, body script")).to_have_count(0)
    assert mock.do(lambda handle: handle.snapshot()) == before


@on_trio
def test_a_reset_asks_first(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    before = mock.do(lambda handle: handle.snapshot())
    mock.do(lambda handle: handle.remove("guest"))
    ask(mock)
    question = page.get_by_role("dialog", name="Reset the mock?")
    press(page, "Reset")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    assert mock.do(lambda handle: handle.state.personas.named("guest")) is None
    press(page, "Reset")
    question.get_by_role("button", name="Reset").click()
    expect(page.locator("[data-persona=guest]")).to_be_visible()
    expect(rows(page)).to_have_count(0)
    assert mock.do(lambda handle: handle.snapshot()) == before
    assert count_of_calls(mock) == 0


# The connection


@on_trio
def test_a_lost_connection_is_shown_and_restored(
    show_control: ShowControl, page: Page, portal: BlockingPortal
) -> None:
    mock = show_control()
    ask(mock)
    expect(rows(page)).to_have_count(1)
    mock.stop()
    expect(page.locator("#live")).to_have_attribute("data-live", "false")
    expect(page.locator("#live")).to_have_text("Disconnected, reconnecting")
    expect(page).to_have_title("(disconnected) Mock auth proxy")
    press(page, "+1 min on the clock")
    expect(page.locator("#top-problem")).to_contain_text("The mock does not respond.")
    page.get_by_label("Next sign-in: guest").click()
    expect(page.get_by_label("The default, devuser")).to_be_checked()
    listener = listen(port=httpx.URL(mock.url).port or 0)
    again = serving(create_app(MockSettings(user_name="another")), listener)
    with portal.wrap_async_context_manager(again):
        expect(page.locator("#live")).to_have_attribute("data-live", "true")
        expect(page.locator("[data-persona=another]")).to_be_visible()
        expect(rows(page)).to_have_count(0)
        expect(page).to_have_title("Mock auth proxy")
        page.close()


# How it looks, and who can reach what


def tab_to(page: Page, control: Locator) -> None:
    """Press Tab until the control has the focus."""

    def reached() -> bool:
        page.keyboard.press("Tab")
        return control.evaluate("(element) => element === document.activeElement") is True

    assert any(reached() for _ in range(80))


@on_trio
def test_main_controls_are_reached_with_the_keyboard_alone(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    add = page.get_by_role("button", name="Add persona")
    tab_to(page, add)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(add).to_be_focused()
    tab_to(page, page.get_by_label("State of guest"))
    page.keyboard.type("exp")
    expect(page.locator("[data-persona=guest]")).to_have_attribute("data-state", "expired")
    tab_to(page, page.get_by_role("button", name="503", exact=True))
    page.keyboard.press("Space")
    expect(page.locator("li[data-fault]")).to_have_count(1)
    tab_to(page, page.get_by_role("button", name="Pause"))
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
    assert mock.do(lambda handle: handle.state.personas.named("guest")).state == "expired"
    assert [fault.kind for fault in mock.do(lambda handle: handle.state.faults.faults)] == [
        "status"
    ]


@on_asyncio
def test_a_phone_scrolls_no_page_sideways(show_control: ShowControl, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    mock = show_control()
    long = "a" * 90
    mock.do(lambda handle: handle.permit("guest", long))
    mock.do(lambda handle: handle.add(Persona(name=long)))
    mock.do(lambda handle: handle.fault("status", detail=long, persona=long))
    ask(mock, {**DEV, "User-Agent": long * 3})
    expect(rows(page)).to_have_count(1)

    def expect_no_scrolling() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    expect_no_scrolling()
    page.get_by_text("Calls per token").click()
    expect_no_scrolling()
    for opener in ("Add persona", "More kinds…"):
        press(page, opener)
        dialog = page.locator("dialog[open]")
        expect(dialog).to_be_visible()
        assert dialog.evaluate("(dialog) => dialog.scrollWidth <= dialog.clientWidth")
        expect_no_scrolling()
        dialog.get_by_role("button", name="Cancel").click()


@on_trio
def test_at_1280_pixels_the_header_is_one_line_and_no_heading_is_cut(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    page.set_viewport_size({"width": 1280, "height": 844})
    mock.do(lambda handle: handle.advance(-7200))
    expect(page.locator("#clock-offset")).to_have_text("2 h behind")
    parts = page.locator(".bar > *:visible").all()
    boxes = [box for part in parts if (box := part.bounding_box())]
    assert len(boxes) == 3
    assert max(box["y"] for box in boxes) < min(box["y"] + box["height"] for box in boxes)
    for heading in page.locator(".calls th").all():
        assert heading.evaluate("(th) => th.scrollWidth <= th.clientWidth"), heading.inner_text()


@on_asyncio
def test_light_and_dark_themes_differ(show_control: ShowControl, page: Page) -> None:
    looks = (
        "[getComputedStyle(document.documentElement)].map((s) => [s.backgroundColor, s.color])[0]"
    )
    page.emulate_media(color_scheme="light")
    show_control()
    background, ink = page.evaluate(looks)
    page.emulate_media(color_scheme="dark")
    dark_background, dark_ink = page.evaluate(looks)
    assert background != dark_background
    assert ink != dark_ink


@on_trio
def test_a_user_agent_is_never_markup(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    ask(mock, {"User-Agent": MARKUP, "Authorization": f"Bearer {MARKUP}"})
    expect(rows(page)).to_contain_text(MARKUP)
    page.get_by_label("Filter the journal").fill(MARKUP)
    expect(rows(page)).to_have_count(1)
    expect(page.locator("img, body script")).to_have_count(0)
