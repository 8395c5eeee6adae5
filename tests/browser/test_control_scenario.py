"""Playing scenarios on the mock's control page, in a browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from oxaigen_auth_mock import Snapshot
from tests.browser.conftest import Mock

pytestmark = pytest.mark.parametrize("portal", ["trio"], indirect=True)

ShowControl = Callable[..., Mock]


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_a_ready_scenario_is_started_watched_and_stopped(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    section = page.get_by_role("region", name="Scenario", exact=True)
    steps = section.get_by_role("listitem")
    expect(section.locator("#scenario-status")).to_have_text("none plays")
    expect(steps).to_have_count(0)
    page.get_by_label("Ready scenario").select_option("flapping-proxy")
    expect(section).to_contain_text("The proxy fails for 5 s of every 10 s.")
    press(page, "Start")
    expect(steps).to_have_count(4)
    expect(section).to_contain_text("flapping-proxy: playing for")
    mock.do(lambda handle: handle.advance(17))
    expect(steps.nth(0)).to_have_text("done 5 to 10 s every call: 503", use_inner_text=True)
    expect(steps.nth(1)).to_contain_text("running")
    expect(steps.nth(2)).to_contain_text("coming")
    expect(page.locator("li[data-fault]")).to_have_count(1)
    expect(page.locator("#calls")).to_contain_text("flapping-proxy: every call: 503")
    press(page, "Stop")
    expect(section).to_contain_text("flapping-proxy: stopped after 1")
    expect(steps.nth(3)).to_contain_text("skipped")
    expect(page.locator("li[data-fault]")).to_have_count(0)
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_have_attribute("aria-disabled", "true")
    stop.click(force=True)
    assert mock.do(lambda handle: handle.state.play and handle.state.play.status) == "stopped"


def test_a_scenario_file_is_played_and_its_mistakes_are_shown(
    show_control: ShowControl, page: Page
) -> None:
    show_control()
    press(page, "Play file")
    page.get_by_label("Or paste TOML or JSON").fill('[[steps]]\nat = 60\nrevoke = "nobody"')
    press(page, "Load")
    expect(page.locator("#file-problem")).to_contain_text("steps[0].revoke is 'nobody', but no")
    page.get_by_label("Or paste TOML or JSON").fill('[[steps]]\nat = 60\nrevoke = "guest"')
    press(page, "Load")
    expect(page.get_by_role("status")).to_contain_text("Scenario of 1 step started from pasted")
    expect(page.locator("#scenario-status")).to_contain_text("pasted: playing for")
    expect(page.locator("#scenario-steps li")).to_contain_text("coming")


def test_the_page_shows_a_step_when_its_time_comes(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    mock.do(lambda handle: handle.play([{"at": 0.5, "revoke": "guest"}]))
    step = page.locator("#scenario-steps li")
    expect(step).to_contain_text("from 0.5 s")
    expect(step).to_contain_text("running")
    expect(page.locator(".persona", has_text="guest").first).to_contain_text("revoked")


def test_an_error_of_the_api_is_shown_and_goes_when_a_scenario_starts(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    mock.do(lambda handle: handle.load(Snapshot(personas=[])))
    page.get_by_label("Ready scenario").select_option("revoked-user")
    press(page, "Start")
    problem = page.locator("#scenario-problem")
    expect(problem).to_contain_text("no persona is called 'devuser'; there are none")
    page.get_by_label("Ready scenario").select_option("flapping-proxy")
    press(page, "Start")
    expect(problem).to_be_hidden()
