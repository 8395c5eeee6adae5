"""The HTML report of the load tool, opened from a file in a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from oxaigen_auth_load.report.html.page import render_page
from tests.unit.oxaigen_auth_load.report.sample import (
    burst_report,
    closed_report,
    partial_report,
    sample_report,
    saturated_report,
)

Show = Callable[..., Page]
LINES = [
    *(".run-client", ".run-naive", ".arrivals", ".answers", ".upstream_calls"),
    *(".latency-p50", ".latency-p99", ".in_flight"),
    *(f".error-{name}" for name in (*range(5), "other")),
]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Show]:
    """Open the page of a report, which must neither write to the console nor load anything."""
    messages: list[str] = []
    requested: list[str] = []
    file = tmp_path / "report.html"
    contexts = []

    def show(report: dict[str, Any], **options: Any) -> Page:
        file.write_text(render_page(report), encoding="utf-8")
        context = browser.new_context(**options)
        contexts.append(context)
        context.on("console", lambda message: messages.append(message.text))
        context.on("weberror", lambda error: messages.append(str(error.error)))
        context.on("request", lambda request: requested.append(request.url))
        page = context.new_page()
        page.goto(file.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert messages == []
    assert requested == [file.as_uri()] * len(contexts)


def plot(page: Page, title: str) -> Locator:
    figure = page.locator("figure").filter(has=page.get_by_role("heading", name=title, exact=True))
    return figure.locator(".plot")


def hover(plot: Locator, part: float) -> None:
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": box["width"] * part, "y": box["height"] / 2})


def test_hovering_shows_the_values_there(show: Show) -> None:
    page = show(sample_report())
    latency = plot(page, "Latency by percentile")
    hover(latency, 0.999)
    expect(latency.get_by_role("status")).to_have_text(
        "maxclient127\N{NO-BREAK SPACE}msnaive167\N{NO-BREAK SPACE}ms"
    )
    expect(latency.locator("circle")).to_have_count(2)
    time = plot(page, "Rates of client")
    hover(time, 0.001)
    expect(latency.get_by_role("status")).to_be_hidden()
    expect(time.get_by_role("status")).to_contain_text("Upstream calls440")


def test_the_arrow_keys_show_the_values(show: Show) -> None:
    latency = plot(show(sample_report()), "Latency by percentile")
    values = latency.get_by_role("status")
    latency.focus()
    latency.press("ArrowRight")
    expect(values).to_contain_text("min")
    latency.press("End")
    expect(values).to_contain_text("max")
    latency.press("ArrowLeft")
    expect(values).to_contain_text("p99.9")
    latency.press("Home")
    expect(values).to_contain_text("min")
    latency.press("Escape")
    expect(values).to_be_hidden()


def test_values_shown_do_not_leave_the_page(show: Show) -> None:
    page = show(sample_report(), viewport={"width": 390, "height": 844})
    latency = plot(page, "Latency by percentile")
    for part in (0.01, 0.45, 0.55, 0.99):
        hover(latency, part)
        box = latency.get_by_role("status").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_a_phone_does_not_scroll_sideways(show: Show, runs: int) -> None:
    report = sample_report()
    report["runs"] = [*report["runs"], *partial_report()["runs"]][:runs]
    report["target"] = report["plan"]["scenario"] = "a" * 90
    page = show(report, viewport={"width": 390, "height": 844})
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def colliding(page: Page) -> list[str]:
    """Return the texts of each plot that overlap an earlier one."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
            const boxes = [...plot.querySelectorAll("text")]
                .map((text) => [text.textContent, text.getBoundingClientRect()])
                .filter(([, box]) => box.width > 0);
            const meet = (a, b) => a.left < b.right && b.left < a.right
                && a.top < b.bottom && b.top < a.bottom;
            return boxes
                .filter(([, box], index) => boxes.slice(0, index).some(([, b]) => meet(box, b)))
                .map(([text]) => text);
        })"""
    )
    return found


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_do_not_collide(show: Show, width: int) -> None:
    report = sample_report()
    last = 100 - 1e-5
    report["runs"][0]["distribution"].insert(-1, [last, report["runs"][0]["distribution"][-1][1]])
    for each in (report, burst_report(), saturated_report()):
        assert colliding(show(each, viewport={"width": width, "height": 844})) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_lines_contrast_with_their_background(show: Show, scheme: str) -> None:
    report = saturated_report()
    errors = report["runs"][0]["timeline"]["errors"]
    errors |= {"wrong_reject": [1] * 100, "status_500": [1] * 100}
    page = show(report | {"partial": "stopped"}, color_scheme=scheme)
    for selector in (
        ".banner.saturated li",
        "p.banner",
        "th .tag.bad",
        "h1",
        "dt",
        "td.bad",
        ".group",
        ".legend li",
        ".plot text",
        ".unit",
        "summary",
    ):
        assert contrast(page, selector) >= 4.5
    for selector in LINES:
        assert contrast(page, f".legend {selector}") >= 3


def test_light_and_dark_differ(show: Show) -> None:
    light = show(sample_report(), color_scheme="light")
    dark = show(sample_report(), color_scheme="dark")
    for selector in ("html", "figure", ".legend .run-client", ".legend .error-0"):
        assert colours(light, selector) != colours(dark, selector)


def colours(page: Page, selector: str) -> list[list[float]]:
    """Return the red, green and blue of an element and of its background."""
    found: list[list[float]] = page.locator(selector).first.evaluate(
        """(element) => {
            const style = getComputedStyle(element);
            const isClear = (each) => getComputedStyle(each).backgroundColor === "rgba(0, 0, 0, 0)";
            let behind = element;
            while (isClear(behind)) behind = behind.parentElement;
            const front = element.localName === "text" ? style.fill : style.color;
            const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
            return [numbers(front), numbers(getComputedStyle(behind).backgroundColor)];
        }"""
    )
    return found


def contrast(page: Page, selector: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    darker, lighter = sorted(map(luminance, colours(page, selector)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: list[float]) -> float:
    parts = (part / 255 for part in colour[:3])
    linear = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_partial_report_has_a_banner(show: Show) -> None:
    page = show(partial_report())
    expect(page.locator(".banner")).to_be_in_viewport()
    expect(page.locator(".banner")).to_contain_text("stopped after 3.2 s of 10 s")


def test_a_saturated_generator_has_a_banner_above_that_of_a_partial_report(show: Show) -> None:
    page = show(saturated_report() | {"partial": "stopped"})
    saturated, partial = page.locator(".banner").all()
    expect(saturated).to_be_in_viewport()
    expect(saturated).to_contain_text("the generator could not keep up")
    heights = [each.evaluate("(it) => it.offsetHeight") for each in (saturated, partial)]
    assert heights[0] > 2 * heights[1]


def test_the_warm_up_is_grey_and_where_lookups_queue_there_is_a_line(show: Show) -> None:
    warm_up = plot(show(closed_report()), "Rates of client").locator("rect.warmup")
    queueing = plot(show(saturated_report()), "Rates of client").locator("line.queueing")
    assert part_of_plot(warm_up, "right") == pytest.approx(0.1, abs=0.02)
    assert part_of_plot(queueing, "left") == pytest.approx(0.85, abs=0.02)


def part_of_plot(mark: Locator, side: str) -> float:
    """Return how far right in its plot the side of a mark is, from 0 to 1."""
    part: float = mark.evaluate(
        """(mark, side) => {
            const plot = mark.closest(".plot").getBoundingClientRect();
            return (mark.getBoundingClientRect()[side] - plot.left) / plot.width;
        }""",
        side,
    )
    return part


def test_the_numbers_of_a_plot_can_be_opened(show: Show) -> None:
    page = show(sample_report())
    numbers = page.get_by_role("region", name="Numbers: Latency by percentile")
    expect(numbers).to_be_hidden()
    page.get_by_text("Numbers of this plot").first.click()
    expect(numbers.get_by_role("row", name="p99.9 56.9 ms 104 ms")).to_be_visible()


def test_it_is_complete_without_its_script(show: Show) -> None:
    page = show(sample_report(), java_script_enabled=False)
    expect(plot(page, "Latency by percentile").locator("path")).to_have_count(2)
    expect(page.get_by_role("cell", name="127 ms").first).to_be_visible()
