import re
from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

from oxaigen_auth_load.generator import SATURATED
from oxaigen_auth_load.report.html.page import render_page
from oxaigen_auth_load.units import UNKNOWN
from tests.unit.oxaigen_auth_load.report.sample import (
    closed_report,
    partial_report,
    sample_report,
    saturated_report,
    shortened,
)

SCRIPT = (
    "</title></script></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;$title"
)
VOID = ("meta",)


class Document(HTMLParser):
    """The elements of a page, in order, with their texts; each must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "an element is left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        texts: list[str] = []
        self.elements.append((tag, {name: value or "" for name, value in attrs}, texts))
        if tag not in VOID:
            self._open.append((tag, texts))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        for _, texts in self._open:
            texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[str]:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            "".join(texts).replace("\N{NO-BREAK SPACE}", " ")
            for name, found, texts in self.elements
            if name == tag and wanted.items() <= found.items()
        ]

    def attributes(self, tag: str, name: str) -> list[str]:
        return [found[name] for each, found, _ in self.elements if each == tag and name in found]


def shown(report: dict[str, Any]) -> Document:
    return Document(render_page(report))


def row(document: Document, head: str) -> list[str]:
    """Return the cells of a row by its heading."""
    names = [(tag, "".join(texts)) for tag, found, texts in document.elements]
    start = names.index(("th", head)) + 1
    cells: list[str] = []
    for tag, text in names[start:]:
        if tag in {"tr", "tbody"}:
            break
        if tag == "td":
            cells.append(text.replace("\N{NO-BREAK SPACE}", " "))
    return cells


# Facts


def test_it_describes_the_load() -> None:
    document = shown(sample_report())
    assert document.all("h1") == document.all("title") == ["Load report: steady · client, naive"]
    assert document.all("time") == ["2026-11-24 02:40 UTC"]
    facts = dict(zip(document.all("dt"), document.all("dd"), strict=True))
    assert facts["Tokens"] == "100"
    assert facts["Backend"] == "asyncio"
    assert facts["HTTP library"] == "httpx2 2.1"
    assert "embedded mock, latency 20 ms" in render_page(sample_report())


def test_unknown_facts_are_left_out_and_the_others_formatted() -> None:
    report = sample_report()
    report["plan"] |= {
        "cold_start": True,
        "keep": False,
        "zipf": None,
        "seed": 20261124,
        "at": [1, 2.5],
    }
    document = shown(report)
    facts = dict(zip(document.all("dt"), document.all("dd"), strict=True))
    assert "Zipf" not in facts
    assert (facts["Cold start"], facts["Keep"], facts["Seed"]) == ("yes", "no", "20261124")
    assert facts["At"] == "1, 2.5"


def test_a_partial_report_is_marked() -> None:
    (banner,) = shown(partial_report()).all("p", class_="banner")
    assert banner.startswith("Partial report: stopped after 3.2 s of 10 s.")
    assert shown(sample_report()).all("p", class_="banner") == []


def test_a_closed_plan_has_no_number_of_lookups() -> None:
    document = shown(closed_report())
    facts = dict(zip(document.all("dt"), document.all("dd"), strict=True))
    assert "Lookups" not in facts
    assert facts["Warm-up seconds"] == "1"


# The load generator


def test_a_saturated_generator_is_the_first_thing_on_the_page() -> None:
    document = shown(saturated_report() | {"partial": "stopped"})
    shown_first = [text for tag, _, texts in document.elements if tag == "header" for text in texts]
    first = " ".join("".join(shown_first[: shown_first.index("Partial report")]).split())
    assert first == (
        f"client: {SATURATED} 1,204 lookups waited because all 64 connections were in use; "
        "raise --connections it used 98.2% of a processor core"
    )
    assert document.all("div", class_="banner saturated")
    assert shown(sample_report()).all("div", class_="banner saturated") == []


def test_the_figures_of_a_saturated_run_are_marked() -> None:
    document = shown(saturated_report())
    assert document.all("th", class_="saturated") == ["client saturated"] * 2
    assert "495" in document.all("td", class_="saturated")
    assert "492" not in document.all("td", class_="saturated")
    assert "✗ failed: 32.8 ms" in document.all("td", class_="bad saturated")
    assert shown(sample_report()).all("td", class_="saturated") == []


def test_the_facts_of_the_load_generator_have_a_table() -> None:
    document = shown(saturated_report())
    start = document.all("caption").index("Load generator of each run")
    assert start == len(document.all("caption")) - 1
    assert row(document, "Share of a processor core") == ["98.2%", "34%"]
    assert row(document, "Most connections allowed") == ["64", UNKNOWN]
    assert row(document, "Lookups that waited for a connection") == ["1,204", "0"]
    cells = document.all("td")[-10:-6]
    assert cells == ["400 µs", "400 µs", "2.1 ms", "2.1 ms"]


def test_all_that_is_shown_is_in_a_landmark() -> None:
    for report in (sample_report(), saturated_report() | {"partial": "stopped"}):
        body = render_page(report).partition("<body>")[2].partition("<script>")[0]
        outside = re.sub("<main>.*</main>", "", body, flags=re.DOTALL)
        outside = re.sub("<header>.*</header>", "", outside, flags=re.DOTALL)
        assert outside.strip() == ""


# Self-containment


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Change all texts in a report, except its keys and its time."""
    if isinstance(value, dict):
        return {key: with_texts(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [with_texts(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def test_no_text_becomes_markup() -> None:
    report = with_texts(sample_report(), lambda text: text + SCRIPT)
    report |= {"started": "2026-11-24T02:40:00Z", "partial": SCRIPT}
    report["plan"][SCRIPT] = SCRIPT
    for run in report["runs"]:
        run["errors"][SCRIPT] = 1
        run["latency_seconds"][SCRIPT] = 1.0
    document, usual = shown(report), shown(sample_report() | {"partial": "stopped"})
    assert SCRIPT in document.all("h1")[0]
    assert document.all("script") == usual.all("script")
    assert document.all("style") == usual.all("style")
    assert document.all("img") == []
    assert {tag for tag, _, _ in document.elements} == {tag for tag, _, _ in usual.elements}


def digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def test_its_policy_allows_its_own_script_and_style_and_nothing_else() -> None:
    text = render_page(sample_report())
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    (policy, *_) = Document(text).attributes("meta", "content")
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src {digest(style)}",
        f"script-src {digest(script)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_nothing_in_it_is_loaded_from_elsewhere() -> None:
    document = shown(sample_report())
    found = {name for _, attributes, _ in document.elements for name in attributes}
    assert found.isdisjoint({"src", "href", "style", "srcset", "action", "onclick"})


# Figures


def test_the_figures_of_runs_are_side_by_side() -> None:
    document = shown(sample_report())
    assert row(document, "Lookups") == ["5,000", "5,000"]
    assert row(document, "Duration") == ["10.1 s", "10.1 s"]
    assert row(document, "Cache hits") == ["4,700 (94 %)", "0"]
    assert row(document, "Upstream calls") == ["115", "4,883"]
    assert row(document, "max") == ["127 ms", "167 ms"]


def test_the_event_of_a_run_is_shown_with_its_workers() -> None:
    report = sample_report()
    report["plan"]["scenario"] = "revoke"
    worker = {
        "worker": "<1>",
        "lookups": 44,
        "stale_accepts": 5,
        "stale_seconds": 2.5,
        "first_rejection_seconds": None,
        "accepts_at_end": False,
    }
    event = {"description": "10 tokens were revoked at 5 s", "workers": [worker]}
    report["runs"][0] |= {"stale_accepts": 5, "stale_seconds": 2.5, "event": event}
    document = shown(report)
    assert row(document, "Stale accepts") == ["5", UNKNOWN]
    assert row(document, "Last stale accept after") == ["2.5 s", UNKNOWN]
    assert row(document, "<1>") == ["44", "5", "2.5 s", "none", "rejects"]
    assert "10 tokens were revoked at 5 s." in document.all("p")
    report["runs"][0]["event"] = {"description": "outage from 4 s to 8 s"}
    document = shown(report)
    assert "outage from 4 s to 8 s." in document.all("p")
    assert "Worker" not in document.all("th")


def test_unknown_numbers_are_dashes_and_not_drawn() -> None:
    document = shown(partial_report())
    for head in ("Cache hits", "Coalesced lookups", "Upstream calls"):
        assert row(document, head) == [UNKNOWN]
    assert document.all("path", class_="line upstream_calls") == []
    assert "The target does not count upstream calls over time." in document.all("p")


def test_errors_stand_out_and_so_do_figures_that_failed_expectations() -> None:
    document = shown(sample_report())
    assert document.all("td", class_="bad") == [
        "✗ failed",
        "✗ failed",
        "✗ failed: 32.8 ms",
        "✗ failed: 3 (0.06 %)",
        "3",
        "26",
    ]


def test_expectations_show_their_outcomes() -> None:
    document = shown(sample_report())
    assert document.all("span", class_="tag bad") == ["2 of 4 failed"]
    assert row(document, "p99 < 25ms") == [
        "client",
        "32.8 ms over 4,997 answers, without 3 errors",
        "✗ failed",
    ]
    assert row(document, "upstream_calls_per_token < 2") == ["client", "1.15", "✓ met"]


def test_met_expectations_are_summarized() -> None:
    report = sample_report()
    for each in report["expectations"]:
        each["met"] = True
    assert shown(report).all("span", class_="tag good") == ["all 4 met"]


def test_without_expectations_their_section_is_left_out() -> None:
    assert "Expectations" not in "".join(shown(partial_report()).all("h2"))


def test_an_expectation_of_an_unknown_number_has_failed() -> None:
    report = sample_report()
    expectation = {"text": "coalesced > 3", "figure": "coalesced", "run": "client", "met": False}
    document = shown(report | {"expectations": [expectation | {"measured": "unknown"}]})
    assert row(document, "coalesced > 3") == ["client", "unknown", "✗ failed"]


def test_pitfall_58_errors_have_latencies_of_their_own() -> None:
    document = shown(sample_report())
    groups = document.all("th", scope="rowgroup")
    assert groups[:5] == ["Load", "Latency of answers", "Errors", "Latency of errors", "Work saved"]
    assert document.all("td").count("500 ms") == 2 * 6


def test_pitfall_58_what_is_due_to_the_load_itself_is_said() -> None:
    report = sample_report()
    report["runs"][1]["notes"] = ["900 lookups waited"]
    assert "naive: 900 lookups waited." in shown(report).all("p", class_="quiet")


# Plots


def test_the_table_of_a_plot_has_its_numbers() -> None:
    document = shown(sample_report())
    assert row(document, "min")[1] == "20.5 ms"
    assert row(document, "0.1\N{NO-BREAK SPACE}s") == ["420", "420", "170"]


def test_a_run_without_a_percentile_shows_its_next_one() -> None:
    report = sample_report()
    report["runs"][0]["distribution"] = [[0.0, 0.001], [75.0, 0.003], [100.0, 0.004]]
    report["runs"][1]["distribution"] = [[0.0, 0.002], [50.0, 0.005]]
    document = shown(report)
    assert row(document, "p75") == ["3 ms", UNKNOWN]
    assert row(document, "min") == ["1 ms", "2 ms"]


def test_a_run_without_lookups_is_shown() -> None:
    report = partial_report()
    run = report["runs"][0]
    run |= {"distribution": [], "lookups": 0, "rejected": 0, "throughput_per_second": None}
    run |= {"errors": {}, "unfinished": 7}
    run["latency_seconds"] = dict.fromkeys(run["latency_seconds"])
    run["timeline"] = shortened(run["timeline"], 0)
    document = shown(report)
    assert row(document, "p50") == [UNKNOWN]
    assert row(document, "Unfinished lookups") == ["7"]
    assert "Latency of errors" not in document.all("th", scope="rowgroup")
    assert document.all("p").count("No lookup was answered, so there is nothing to draw.") == 2


def test_a_report_without_runs_is_a_page_too() -> None:
    report = sample_report() | {"runs": [], "expectations": []}
    assert shown(report).all("h3") == ["Latency by percentile"]


def test_a_run_of_another_name_has_a_colour_too() -> None:
    report = partial_report()
    other = deepcopy(report["runs"][0]) | {"name": "other"}
    assert 'class="line run-other"' in render_page(report | {"runs": [other]})
