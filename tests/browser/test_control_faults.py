"""Breaking the mock on its control page, in a browser, and feeling it in real calls."""

import json
from collections.abc import Callable
from typing import Any, get_args

import httpx
import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from oxaigen_auth_mock import Persona
from oxaigen_auth_mock.faults.kinds import Fault
from tests.browser.conftest import Mock

ShowControl = Callable[..., Mock]

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"

on_asyncio = pytest.mark.parametrize("portal", ["asyncio"], indirect=True)
on_trio = pytest.mark.parametrize("portal", ["trio"], indirect=True)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def placed(page: Page) -> Locator:
    return page.locator("li[data-fault]")


def faults(mock: Mock) -> list[dict[str, Any]]:
    """Give the faults of the mock, of each field only what is not as it begins."""
    report = mock.do(lambda handle: handle.state.faults.faults)
    return [{"kind": each.kind, **each.model_dump(exclude_defaults=True)} for each in report]


def get_me(mock: Mock, token: str = "mock-dev-token", timeout: float = 60) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{mock.url}/_oxa_auth/get-me", headers=headers, timeout=timeout)


@pytest.mark.parametrize("portal", ["asyncio", "trio"], indirect=True)
def test_a_click_adds_a_fault(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    for name, error, timeout in (
        ("Hang", httpx.ReadTimeout, 0.4),
        ("Reset connection", httpx.ReadError, 60),
        ("Truncated", httpx.RemoteProtocolError, 60),
    ):
        press(page, name)
        expect(placed(page)).to_have_count(1)
        with pytest.raises(error):
            get_me(mock, timeout=timeout)
        press(page, "Remove all")
        expect(placed(page)).to_have_count(0)
    press(page, "503")
    expect(placed(page)).to_contain_text("every call: 503")
    assert get_me(mock).status_code == 503
    expect(placed(page)).to_contain_text("hit 1 of 1")
    press(page, "Remove every call: 503")
    expect(page.get_by_text("No faults: all calls are answered normally.")).to_be_visible()
    assert get_me(mock).status_code == 200
    press(page, "Slow 2 s")
    expect(placed(page)).to_contain_text("every call: fixed latency, 2 s")
    with pytest.raises(httpx.ReadTimeout):
        get_me(mock, timeout=0.4)


@on_asyncio
def test_a_fault_is_limited_to_an_endpoint_and_a_persona(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    page.get_by_label("Inject into endpoint").select_option("get-me")
    page.get_by_label("Inject into persona").select_option("guest")
    page.get_by_label("next call only").check()
    press(page, "503")
    expect(placed(page)).to_contain_text("every get-me by guest at most once: 503")
    assert faults(mock) == [
        {"kind": "status", "endpoint": "get-me", "persona": "guest", "times": 1}
    ]
    assert get_me(mock).status_code == 200
    assert get_me(mock, "mock-guest-token").status_code == 503
    expect(placed(page).get_by_text("exhausted")).to_be_visible()
    assert get_me(mock, "mock-guest-token").status_code == 200


@on_trio
def test_faults_are_removed_one_by_one_or_all_at_once(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    for name in ("503", "Hang", "Truncated"):
        press(page, name)
    expect(placed(page)).to_have_count(3)
    press(page, "Remove every call: no response")
    expect(placed(page)).to_have_count(2)
    expect(page.locator("#faults-title")).to_be_focused()
    assert [each["kind"] for each in faults(mock)] == ["status", "truncated-json"]
    press(page, "Remove all")
    expect(placed(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Remove all")).to_have_attribute("aria-disabled", "true")
    assert faults(mock) == []
    page.get_by_role("button", name="Remove all").dispatch_event("click")  # does nothing then
    expect(page.get_by_role("status")).to_have_text("All faults removed")


def label_of(kind: str) -> str:
    """Return how the form names a kind of fault: `Truncated JSON` for `truncated-json`."""
    return kind.replace("-", " ").capitalize().replace("json", "JSON").replace("Html", "HTML")


def add(page: Page, kind: str, **fields: str) -> None:
    """Add a fault with the form; a text is typed or chosen, as the field wants it."""
    press(page, "More kinds…")
    page.get_by_label("Kind").select_option(label=kind)
    for name, text in fields.items():
        field = page.locator(f"#fault-dialog [name={name}]")
        if field.evaluate("(element) => element instanceof HTMLSelectElement"):
            field.select_option(text)
        else:
            field.fill(text)
    press(page, "Add fault")


# What is filled in for a kind, and with which result. The other kinds are added as they are.
FILLED_IN: dict[str, list[tuple[dict[str, str], dict[str, Any]]]] = {
    "status": [({"status": "429", "retry_after": "7", "when": "after"}, {"status": 429})],
    "latency": [
        ({"seconds": "0.5", "probability": "0.25", "seed": "9"}, {"seconds": 0.5}),
        ({"distribution": "uniform", "low": "0", "high": "1"}, {"high": 1}),
        ({"distribution": "log-normal", "median": "1", "sigma": "2"}, {"sigma": 2}),
    ],
    "hang": [({"endpoint": "logout"}, {"endpoint": "logout"})],
    "reset": [({"persona": "guest"}, {"persona": "guest"})],
    "close": [({"every": "3", "times": "2"}, {"every": 3, "times": 2})],
    "drip": [({"chunk": "4", "seconds": "0.1"}, {"chunk": 4, "seconds": 0.1})],
    "wrong-shape": [({"shape": "null"}, {"shape": "null"})],
    "redirect": [
        ({"status": "307", "location": "/away"}, {"status": 307, "location": "/away"}),
    ],
    "oversized": [({"size": "1000"}, {"size": 1000})],
    "gzip-bomb": [({"size": "1000"}, {"size": 1000})],
    "set-cookie": [({"name": "crumb", "value": "dry"}, {"name": "crumb", "value": "dry"})],
}


@on_trio
def test_every_kind_is_in_the_form(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    kinds = [kind.model_fields["kind"].default for kind in get_args(get_args(Fault)[0])]
    number = 0
    for kind in kinds:
        for fields, expected in FILLED_IN.get(kind, [({}, {})]):
            number += 1
            add(page, label_of(kind), **fields)
            expect(placed(page)).to_have_count(number)
            assert faults(mock)[-1].items() >= {"kind": kind, **expected}.items()
    offered = page.locator("#fault-dialog [name=kind] option").all_text_contents()
    assert offered == [label_of(kind) for kind in kinds]


@on_asyncio
def test_a_fault_of_the_form_is_applied(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    felt: list[tuple[str, dict[str, str], Callable[[httpx.Response], bool]]] = [
        ("Status", {"retry_after": "7"}, lambda got: got.headers["Retry-After"] == "7"),
        ("Wrong shape", {"shape": "text"}, lambda got: isinstance(got.json(), str)),
        ("Redirect", {"location": "/away"}, lambda got: got.headers["Location"] == "/away"),
        ("Oversized", {"size": "5000"}, lambda got: len(got.content) == 5000),
        ("Set cookie", {"name": "crumb"}, lambda got: got.cookies["crumb"] == "crumbs"),
    ]
    for kind, fields, is_felt in felt:
        add(page, kind, **fields)
        expect(placed(page)).to_have_count(1)
        assert is_felt(get_me(mock))
        press(page, "Remove all")
        expect(placed(page)).to_have_count(0)


@on_trio
def test_errors_are_shown_at_their_fields(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    dialog = page.get_by_role("dialog", name="Add a fault")

    def problem(field: str) -> Locator:
        return dialog.locator(f"[data-field={field}] .problem")

    page.get_by_label("next call only").check()
    add(page, "Status", retry_after="soon", every="0")
    expect(problem("retry_after")).to_contain_text("valid integer")
    expect(problem("every")).to_contain_text("greater than or equal to 1")
    expect(problem("status")).to_be_hidden()
    expect(dialog.get_by_label("Retry after")).to_have_value("soon")
    expect(dialog.get_by_label("Retry after")).to_be_focused()
    expect(dialog.get_by_label("Times")).to_have_value("1")
    dialog.get_by_label("Kind").select_option("latency")
    expect(dialog.get_by_label("Every")).to_have_value("0")  # what fits the new kind stays
    dialog.get_by_label("Every").fill("2")
    dialog.get_by_label("Distribution").select_option("uniform")
    expect(dialog.get_by_label("Seconds")).to_be_hidden()
    dialog.get_by_label("Low").fill("2")
    dialog.get_by_label("High").fill("1")
    press(page, "Add fault")
    expect(dialog.get_by_text("low must not be greater than high")).to_be_visible()
    assert faults(mock) == []
    dialog.get_by_label("High").fill("3")
    press(page, "Add fault")
    expect(placed(page)).to_contain_text("every 2nd call at most once: uniform latency, 2 to 3 s")
    assert len(faults(mock)) == 1


def plan(text: str) -> FilePayload:
    return {"name": "plan.json", "mimeType": "application/json", "buffer": text.encode()}


PLAN = [{"kind": "status", "status": 500}, {"kind": "hang", "endpoint": "login"}]


@on_asyncio
def test_a_plan_replaces_the_faults(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    toml = (
        '[[faults]]\nkind = "status"\nstatus = 500\n[[faults]]\nkind = "hang"\nendpoint = "login"'
    )
    for text in (json.dumps({"faults": PLAN}), toml):
        press(page, "Truncated")
        expect(placed(page).get_by_text("truncated response")).to_be_visible()
        press(page, "Load plan")
        page.get_by_label("Or paste TOML or JSON").fill(text)
        press(page, "Load")
        expect(page.get_by_role("status")).to_contain_text("2 faults loaded from pasted")
        expect(placed(page)).to_have_count(2)
        expect(placed(page).nth(1)).to_contain_text("every login: no response")
        assert faults(mock) == PLAN
        assert get_me(mock).status_code == 500


@on_trio
def test_a_plan_with_mistakes_changes_nothing(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    press(page, "503")
    expect(placed(page)).to_have_count(1)
    press(page, "Load plan")
    for text, problem in (
        ("kind = 'hang'", "plan.json: Expecting value (at line 1, column 1)"),
        ("null", "plan.json: the file is null; expected a table"),
        (json.dumps({"faults": [{"kind": "status", "status": 2}]}), "faults[0].status is 2; it"),
        (json.dumps({"faults": [{"kind": MARKUP}]}), MARKUP),
        ("{}", "plan.json: faults is missing"),
    ):
        page.locator("#file-dialog [type=file]").set_input_files(plan(text))
        expect(page.locator("#file-problem")).to_contain_text(problem)
        expect(page.get_by_label("Or paste TOML or JSON")).to_have_value(text)
    page.get_by_label("Or paste TOML or JSON").fill("faults = []")
    expect(page.locator("#file-problem")).to_be_hidden()
    expect(page.locator("img, body script")).to_have_count(0)
    assert faults(mock) == [{"kind": "status"}]


@on_trio
def test_values_of_a_fault_are_shown_as_text(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    mock.do(lambda handle: handle.put(Persona(name=MARKUP, token="t")))
    expect(page.get_by_role("heading", name=MARKUP)).to_be_visible()
    address = "/<script>alert(1)</script><img/src=x/onerror=alert(2)>"
    add(page, "Redirect", location=address, persona=MARKUP)
    expect(placed(page)).to_contain_text(f"every call by {MARKUP}: 302 to {address}")
    add(page, "Status", detail=MARKUP, persona=MARKUP)
    expect(placed(page)).to_have_count(2)
    add(page, "Set cookie", name=MARKUP, value=MARKUP)
    expect(page.locator("#fault-dialog [data-field=name] .problem")).to_be_visible()
    expect(page.locator("#fault-dialog [data-field=value] .problem")).to_be_visible()
    press(page, "Cancel")
    press(page, "Discard")
    assert get_me(mock, "t").status_code == 302
    expect(page.locator("#calls tr")).to_contain_text(f"302 to {address}")
    expect(page.locator("img, body script")).to_have_count(0)
    assert len(faults(mock)) == 2
