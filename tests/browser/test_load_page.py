"""The page of a load in a real browser: it needs nothing but itself."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from oxaigen_auth_load.page import page
from tests.load.test_page import report, run_named


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1000])
def test_a_page_is_whole_in_any_light_on_any_screen(
    browser: Browser, tmp_path: Path, scheme: Any, width: int
) -> None:
    path = tmp_path / "load.html"
    path.write_text(page(report(run_named("client", [2, 0]), run_named("naive", [4, 2]))), "utf-8")
    said: list[str] = []
    asked: list[str] = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    tab = context.new_page()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    expect(tab.locator("svg")).to_have_count(3)
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    details = tab.locator("details").first
    details.locator("summary").click()
    expect(details.locator("table")).to_be_visible()
    point = tab.locator("svg circle").nth(6)  # of the run drawn last
    point.hover()
    assert "ms at 90 %" in (point.locator("title").text_content() or "")
    assert said == []
    assert asked == [path.as_uri()]
    context.close()
