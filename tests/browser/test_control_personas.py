"""The personas on the control page, in a browser: each thing done there is done in the mock."""

import json
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from oxaigen_auth_mock import Persona
from tests.browser.conftest import Mock

ShowControl = Callable[..., Mock]

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"

on_asyncio = pytest.mark.parametrize("portal", ["asyncio"], indirect=True)
on_trio = pytest.mark.parametrize("portal", ["trio"], indirect=True)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def card(page: Page, name: str) -> Locator:
    return page.locator("li[data-persona]").filter(
        has=page.get_by_role("heading", name=name, exact=True)
    )


def persona(mock: Mock, name: str) -> Persona | None:
    found: Persona | None = mock.do(lambda handle: handle.state.personas.named(name))
    return found


def status(mock: Mock, token: str, path: str = "get-me") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    method = "GET" if path == "get-me" else "POST"
    return httpx.request(method, f"{mock.url}/_oxa_auth/{path}", headers=headers).status_code


def fill(page: Page, **fields: str) -> None:
    """Fill the persona form; `_` stands for a blank in a label, `__` for a hyphen."""
    for name, text in fields.items():
        label = name.replace("__", "-").replace("_", " ")
        page.get_by_role("dialog").get_by_label(label, exact=True).fill(text)


def problem(page: Page, field: str) -> Locator:
    return page.locator(f"dialog [data-field={field}] .problem")


@pytest.mark.parametrize("portal", ["asyncio", "trio"], indirect=True)
def test_a_persona_is_added_with_all_it_has(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    press(page, "Add persona")
    fill(page, Name="ada", Token="ada-1", Delay="0.5", Roles="owner\nauditor", Permissions="audit")
    fill(page, User_name="lovelace", E__mail="ada@example.org", First_name="Ada")
    fill(page, Account_type="external", Number="1815", Further_fields='{"floor": 3}')
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("State").select_option("slow")
    dialog.get_by_label("Last name is null").check()
    expect(dialog.get_by_label("Last name", exact=True)).to_be_disabled()
    dialog.get_by_label("Enabled").select_option("no")
    press(page, "Save")
    expect(card(page, "ada")).to_have_attribute("data-state", "slow")
    expect(dialog).to_be_hidden()
    assert persona(mock, "ada") == Persona(
        name="ada",
        token="ada-1",
        state="slow",
        delay=0.5,
        roles=("owner", "auditor"),
        permissions=("audit",),
        id=1815,
        user_name="lovelace",
        email="ada@example.org",
        account_type="external",
        enabled=False,
        first_name="Ada",
        last_name=None,
        extra={"floor": 3},
    )
    assert status(mock, "ada-1") == 200


@on_asyncio
def test_a_name_is_all_that_a_persona_needs(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    press(page, "Add persona")
    fill(page, Name="bob")
    page.keyboard.press("Enter")
    expect(card(page, "bob")).to_contain_text("bob@localhost")
    assert persona(mock, "bob") == Persona(name="bob", first_name=None)


@pytest.mark.parametrize("portal", ["asyncio", "trio"], indirect=True)
def test_a_name_that_is_taken_is_replaced_only_after_a_question(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    before = persona(mock, "guest")
    press(page, "Add persona")
    fill(page, Name=" guest ", Token="t", First_name="Gus")
    press(page, "Save")
    question = page.get_by_role("dialog", name="Replace guest?")
    expect(question).to_contain_text("A persona called guest already exists.")
    assert persona(mock, "guest") == before
    question.get_by_role("button", name="Cancel").click()
    expect(problem(page, "name")).to_have_text("a persona called 'guest' already exists")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    expect(page.get_by_role("textbox", name="Token")).to_have_value("t")
    press(page, "Save")
    expect(question).to_be_visible()
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    assert persona(mock, "guest") == before
    press(page, "Save")
    question.get_by_role("button", name="Replace").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    replaced = persona(mock, "guest")
    assert replaced is not None
    assert (replaced.token, replaced.first_name, replaced.roles) == ("t", "Gus", ())


@on_asyncio
def test_a_persona_that_replaces_another_cannot_take_a_used_token(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    before = persona(mock, "guest")
    press(page, "Add persona")
    fill(page, Name="guest", Token="mock-admin-token")
    press(page, "Save")
    page.get_by_role("button", name="Replace", exact=True).click()
    expect(problem(page, "token")).to_contain_text("'admin' already has the token of 'guest'")
    assert persona(mock, "guest") == before


@on_trio
def test_a_persona_is_edited_and_keeps_its_name(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    before = persona(mock, "guest")
    assert before is not None
    press(page, "Edit guest")
    name = page.get_by_role("dialog").get_by_label("Name", exact=True)
    expect(name).not_to_be_editable()
    fill(page, First_name="Gus", Last_name="")
    page.get_by_label("E-mail is null").check()
    press(page, "Save")
    expect(card(page, "guest")).to_contain_text("no email")
    changed = {"first_name": "Gus", "last_name": "", "email": None}
    assert persona(mock, "guest") == before.model_copy(update=changed)


@on_asyncio
def test_errors_of_the_mock_are_shown_at_their_field(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    press(page, "Add persona")
    fill(page, Name="ada", Token="mock-guest-token", Delay="soon", Number="-1", Permissions="a b")
    fill(page, Further_fields="{")
    press(page, "Save")
    expect(problem(page, "extra")).to_contain_text("This is not JSON")
    expect(page.get_by_label("Further fields")).to_be_focused()
    fill(page, Further_fields='{"id": 1}')
    press(page, "Save")
    expect(problem(page, "extra")).to_contain_text("sets fields of the persona itself: id")
    expect(problem(page, "delay")).to_contain_text("valid number")
    expect(problem(page, "id")).to_contain_text("greater than or equal to 1")
    expect(problem(page, "permissions")).to_contain_text("0 expected text of 1 to 200 letters")
    expect(page.get_by_label("Delay")).to_be_focused()
    expect(page.get_by_label("Delay")).to_have_value("soon")
    fill(page, Further_fields="", Delay="", Number="", Permissions="a\n b ")
    press(page, "Save")
    expect(problem(page, "token")).to_contain_text("'guest' already has the token of 'ada'")
    expect(problem(page, "delay")).to_be_hidden()
    expect(page.get_by_label("Token", exact=True)).to_have_value("mock-guest-token")
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    assert persona(mock, "ada") is None
    fill(page, Token="")
    press(page, "Save")
    expect(card(page, "ada")).to_be_visible()
    assert persona(mock, "ada") == Persona(name="ada", permissions=("a", "b"))


@on_trio
def test_unsaved_input_is_discarded_only_after_a_question(
    show_control: ShowControl, page: Page
) -> None:
    mock = show_control()
    form = page.get_by_role("dialog", name="Add a persona")
    question = page.get_by_role("dialog", name="Discard changes?")
    press(page, "Add persona")
    page.keyboard.press("Escape")
    expect(form).to_be_hidden()
    press(page, "Add persona")
    fill(page, Name="ada")
    page.keyboard.press("Escape")
    question.get_by_role("button", name="Cancel").click()
    expect(question).to_be_hidden()
    expect(page.get_by_label("Name", exact=True)).to_have_value("ada")
    form.get_by_role("button", name="Cancel").click()
    press(page, "Discard")
    expect(form).to_be_hidden()
    assert persona(mock, "ada") is None


@on_asyncio
def test_a_persona_is_deleted_after_a_question(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    press(page, "Delete guest")
    page.get_by_role("dialog", name="Delete guest?").get_by_role("button", name="Cancel").click()
    assert persona(mock, "guest") is not None
    press(page, "Delete guest")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(card(page, "guest")).to_have_count(0)
    expect(page.locator("#personas-title")).to_be_focused()
    assert persona(mock, "guest") is None
    assert status(mock, "mock-guest-token") == 401


@on_asyncio
def test_the_last_persona_can_be_deleted(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    for name in ("devuser", "guest", "user", "admin"):
        press(page, f"Delete {name}")
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(card(page, name)).to_have_count(0)
    assert mock.do(lambda handle: list(handle.state.personas)) == []


@on_trio
def test_a_state_is_chosen_on_the_card(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    for state, answer in (("rejected", 401), ("expired", 401), ("not-allowed", 403), ("ok", 200)):
        page.get_by_label("State of guest").select_option(state)
        expect(card(page, "guest")).to_have_attribute("data-state", state)
        assert status(mock, "mock-guest-token") == answer


@on_trio
def test_a_permission_is_flipped(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    permission = "workspaceOwnership"
    toggle = card(page, "guest").get_by_role("button", name=permission)
    check = f"test-app-permission/{permission}"
    expect(toggle).to_have_attribute("aria-pressed", "false")
    assert status(mock, "mock-guest-token", check) == 403
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    assert status(mock, "mock-guest-token", check) == 200
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    assert status(mock, "mock-guest-token", check) == 403


@on_asyncio
def test_a_permission_is_added(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    typed = page.get_by_label("Permission to add to guest")
    typed.fill(MARKUP)
    press(page, "Add permission to guest")
    expect(card(page, "guest").get_by_role("alert")).to_contain_text("permission")
    expect(typed).to_have_value(MARKUP)
    typed.fill("audit")
    typed.press("Enter")
    toggle = card(page, "guest").get_by_role("button", name="audit")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(typed).to_be_empty()
    expect(card(page, "guest").get_by_role("alert")).to_have_count(0)
    assert status(mock, "mock-guest-token", "test-app-permission/audit") == 200


@on_trio
def test_a_token_is_revoked_and_restored(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    press(page, "Revoke token of guest")
    expect(card(page, "guest")).to_have_attribute("data-state", "revoked")
    assert status(mock, "mock-guest-token") == 401
    press(page, "Restore token of guest")
    expect(card(page, "guest")).to_have_attribute("data-state", "ok")
    assert status(mock, "mock-guest-token") == 200
    expect(card(page, "guest")).to_contain_text("2 calls")


@on_asyncio
def test_token_and_curl_line_are_copied(
    show_control: ShowControl, page: Page, context: BrowserContext
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    mock = show_control()
    press(page, "Copy token of guest")
    expect(page.get_by_role("status")).to_have_text("Token of guest copied")
    assert page.evaluate("navigator.clipboard.readText()") == "mock-guest-token"
    mock.do(lambda handle: handle.put(Persona(name="quoted", token="it's")))
    press(page, "Copy curl for quoted")
    expect(page.get_by_role("status")).to_have_text("curl command for quoted copied")
    assert page.evaluate("navigator.clipboard.readText()") == (
        rf"curl -H 'Authorization: Bearer it'\''s' {mock.url}/_oxa_auth/get-me"
    )


@on_trio
def test_without_a_clipboard_a_text_is_shown_for_copying(
    show_control: ShowControl, page: Page
) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    show_control()
    press(page, "Copy token of guest")
    text = page.get_by_role("textbox", name="Copy this text")
    expect(text).to_have_value("mock-guest-token")
    press(page, "Close")
    expect(text).to_be_hidden()


def signs_in(mock: Mock) -> str:
    """Say what signing in leads to."""
    with httpx.Client(base_url=mock.url) as client:
        answer = client.get(client.get("/_oxa_auth/login").json()["authorize_url"])
        query = answer.next_request.url.params if answer.next_request else httpx.QueryParams()
        if "code" not in query:
            return str(query.get("error", "asks"))
        client.post("/_oxa_auth/token-exchange", json=dict(query))
        name: str = client.get("/_oxa_auth/get-me").json()["user_name"]
        return name


def choose(page: Page, radio: str) -> None:
    """Choose the next sign-in, and wait until the mock has confirmed it."""
    with page.expect_response("**/auto-login"):
        page.get_by_label(radio).check()
    expect(page.get_by_label(radio)).to_have_attribute("data-shown", "true")


@on_trio
def test_the_next_sign_in_is_chosen(show_control: ShowControl, page: Page) -> None:
    mock = show_control(strict=True)  # or all would have the one token of the wire
    for radio, outcome in (
        ("Next sign-in: guest", "guest"),
        ("Deny", "access_denied"),
        ("The default, devuser", "devuser"),
        ("Next sign-in: admin", "admin"),
    ):
        choose(page, radio)
        assert signs_in(mock) == outcome
        expect(page.get_by_role("radio", checked=True)).to_have_accessible_name(radio)


@on_asyncio
def test_ask_each_time_is_shown_and_can_be_chosen(show_control: ShowControl, page: Page) -> None:
    mock = show_control(pick=True)
    expect(page.get_by_label("Ask each time")).to_be_checked()
    choose(page, "Next sign-in: guest")
    expect(page.get_by_label("Ask each time")).not_to_be_checked()
    choose(page, "Ask each time")
    expect(page.get_by_label("Next sign-in: guest")).not_to_be_checked()
    assert mock.do(lambda handle: handle.state.auto_login) is None
    assert signs_in(mock) == "asks"


@on_asyncio
def test_values_of_a_persona_are_shown_as_text(show_control: ShowControl, page: Page) -> None:
    mock = show_control()
    press(page, "Add persona")
    fill(page, Name=MARKUP, Token="<script>alert(3)</script>", Roles=MARKUP, Permissions=MARKUP)
    fill(page, User_name=MARKUP, E__mail=MARKUP, First_name=MARKUP, Last_name=MARKUP)
    fill(page, Account_type=MARKUP, Delay=MARKUP, Number=MARKUP)
    fill(page, Further_fields=json.dumps({MARKUP: MARKUP}))
    press(page, "Save")
    expect(problem(page, "permissions")).to_be_visible()
    fill(page, Permissions="audit", Delay="", Number="")
    press(page, "Save")
    shown = card(page, MARKUP)
    expect(shown.get_by_role("heading")).to_have_text(MARKUP)
    expect(shown.locator("[data-part=email]")).to_have_text(MARKUP)
    expect(shown.locator("[data-part=roles]")).to_have_text(MARKUP)
    choose(page, f"Next sign-in: {MARKUP}")
    press(page, f"Edit {MARKUP}")
    expect(page.get_by_role("heading", name=f"Edit {MARKUP}")).to_be_visible()
    press(page, "Cancel")
    press(page, f"Delete {MARKUP}")
    expect(page.get_by_role("dialog", name=f"Delete {MARKUP}?")).to_be_visible()
    expect(page.locator("img, body script")).to_have_count(0)
    assert mock.do(lambda handle: handle.state.auto_login) == MARKUP
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(shown).to_have_count(0)
    assert persona(mock, MARKUP) is None
