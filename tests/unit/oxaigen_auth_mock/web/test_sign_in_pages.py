import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from attrs import define
from httpx import ASGITransport, AsyncClient, Response
from jinja2 import UndefinedError

from oxaigen_auth_mock import MockSettings, Persona, create_app
from oxaigen_auth_mock.app import MockApp
from oxaigen_auth_mock.identity_provider.state_token import SignIn
from oxaigen_auth_mock.web.pages import render, static_files

pytestmark = pytest.mark.anyio

APP = "http://localhost:5173"
SCRIPT = (
    "</title></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;&#60;{{7*7}}"
)


class Page(HTMLParser):
    """The elements of a page, in order, with their texts."""

    VOID = ("meta", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[list[str]] = [[]]
        self.feed(text)
        self.close()
        assert len(self._open) == 1, "an element is left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        texts: list[str] = []
        self.elements.append((tag, {name: value or "" for name, value in attrs}, texts))
        if tag not in self.VOID:
            self._open.append(texts)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser's
        texts = self._open.pop()
        self._open[-1].extend(texts)

    def handle_data(self, data: str) -> None:
        self._open[-1].append(data)

    def all(self, tag: str, **attributes: str) -> list[tuple[dict[str, str], str]]:
        return [
            (found, " ".join("".join(texts).split()))
            for name, found, texts in self.elements
            if name == tag and attributes.items() <= found.items()
        ]

    def hidden(self) -> dict[str, str]:
        return {found["name"]: found["value"] for found, _ in self.all("input", type="hidden")}

    def told(self) -> dict[str, Any]:
        ((_, text),) = self.all("script", type="application/json")
        told: dict[str, Any] = json.loads(text)
        return told


@define(eq=False)
class Browser:
    app: MockApp
    http: AsyncClient

    def state(self, return_to: str = "/reports", origin: str | None = APP) -> str:
        return self.app.mock_state.signer.sign(SignIn(return_to, origin, ""))

    async def pick(self, state: str | None = None) -> Response:
        query = {"state": self.state() if state is None else state}
        return await self.http.get("/_oxa_auth/mock-authorize", params=query)

    async def callback(self, **query: str) -> Response:
        return await self.http.get("/_oxa_auth/callback", params=query)


@pytest.fixture
def browse() -> Callable[..., Browser]:
    def browser(*personas: Persona, **settings: Any) -> Browser:
        app = create_app(MockSettings(pick=True).model_copy(update=settings), personas=personas)
        return Browser(app, AsyncClient(transport=ASGITransport(app), base_url="http://mock"))

    return browser


Browse = Callable[..., Browser]


async def both(browser: Browser) -> tuple[Response, Response]:
    return await browser.pick(), await browser.callback(code="c", state=browser.state())


async def test_the_policy_allows_pages_only_their_own_script_and_style(browse: Browse) -> None:
    for response in await both(browse()):
        policy = response.headers["Content-Security-Policy"]
        directives: dict[str, str] = dict(re.findall(r"([a-z-]+) ([^;]+)", policy))
        assert directives["default-src"] == directives["base-uri"] == "'none'"
        assert directives["frame-ancestors"] == "'none'"
        nonces = {
            attrs["nonce"] for _, attrs, _ in Page(response.text).elements if "nonce" in attrs
        }
        (nonce,) = nonces
        assert directives["script-src"] == directives["style-src"] == f"'nonce-{nonce}'"
        assert "unsafe" not in policy


async def test_each_page_has_a_nonce_of_its_own(browse: Browse) -> None:
    browser = browse()
    policies = {
        response.headers["Content-Security-Policy"]
        for _ in range(3)
        for response in await both(browser)
    }
    assert len(policies) == 6


async def test_forms_and_calls_of_the_pages_go_only_to_the_mock(
    browse: Browse,
) -> None:
    pick, callback = await both(browse())
    assert "form-action 'self'" in pick.headers["Content-Security-Policy"]
    assert "form-action 'none'" in callback.headers["Content-Security-Policy"]
    assert "connect-src 'self'" in callback.headers["Content-Security-Policy"]


async def test_pages_are_not_cached_and_send_no_referrer(browse: Browse) -> None:
    for response in await both(browse()):
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "Cross-Origin-Opener-Policy" not in response.headers


async def test_pages_name_the_mock(browse: Browse) -> None:
    for response in await both(browse()):
        ((_, banner),) = Page(response.text).all("aside")
        assert banner.startswith("Mock. This sign-in is not real")
        assert response.headers["X-Oxaigen-Mock"] == "1"


async def test_pages_have_a_language_a_title_and_fit_a_phone(browse: Browse) -> None:
    for response in await both(browse()):
        shown = Page(response.text)
        assert shown.all("html", lang="en")
        assert shown.all("title")[0][1]
        assert shown.all("meta", name="viewport")
        assert len(shown.all("h1")) == 1


async def test_the_pick_page_offers_every_persona_and_denial_last(browse: Browse) -> None:
    zoe = Persona(name="Zoë", token="zoe", state="expired", roles=("owner", "analyst"), email=None)
    shown = Page((await browse(zoe).pick()).text)
    buttons = shown.all("button", name="as")
    assert [found["value"] for found, _ in buttons] == [
        "devuser", "guest", "user", "admin", "Zoë", "deny"
    ]  # fmt: skip
    assert buttons[0][1] == "devuser State: ok dev@localhost Roles: none Permissions: audit"
    assert buttons[4][1] == (
        "Zoë State: expired no email address Roles: owner, analyst Permissions: none"
    )
    assert buttons[5][1].startswith("Deny")


async def test_the_pick_page_works_without_a_script(browse: Browse) -> None:
    browser = browse(auth_code="c&d")
    state = browser.state()
    shown = Page((await browser.pick(state)).text)
    assert shown.all("script") == []
    ((form, _),) = shown.all("form")
    assert form["method"] == "get"
    assert shown.hidden() == {"code": "c&d", "state": state}
    response = await browser.http.get(form["action"], params={**shown.hidden(), "as": "guest"})
    assert response.status_code == 302
    assert "c%26d~guest" in response.headers["Location"]


async def test_the_form_has_the_name_of_its_heading(browse: Browse) -> None:
    shown = Page((await browse().pick()).text)
    ((form, _),) = shown.all("form")
    assert shown.all("h1", id=form["aria-labelledby"])[0][1] == "Choose a persona"


async def test_values_of_a_persona_are_escaped(browse: Browse) -> None:
    script = Persona(
        name=SCRIPT[:-1], token="x", email=SCRIPT, roles=(SCRIPT, "<b>"), user_name=SCRIPT,
        first_name=SCRIPT, last_name=SCRIPT, account_type=SCRIPT, extra={SCRIPT: SCRIPT},
    )  # fmt: skip
    settings = dict.fromkeys(("email", "user_name", "first_name", "auth_code"), SCRIPT)
    shown = Page((await browse(script, role_names=(SCRIPT,), **settings).pick()).text)
    assert {tag for tag, _, _ in shown.elements}.isdisjoint({"script", "img", "b"})
    assert [found["value"] for found, _ in shown.all("button")][-2:] == [SCRIPT[:-1], "deny"]
    assert SCRIPT in shown.all("button")[0][1]


async def test_parameters_of_the_callback_are_escaped(browse: Browse) -> None:
    browser = browse(return_to="/" + SCRIPT)
    for query in (
        {"code": SCRIPT, "state": SCRIPT},
        {"error": SCRIPT, "error_description": SCRIPT, "state": SCRIPT},
        {"code": SCRIPT, "state": browser.state("/" + SCRIPT)},
    ):
        response = await browser.callback(**query)
        shown = Page(response.text)
        assert response.status_code == 200
        assert len(shown.all("script")) == 2
        assert shown.all("img") == []
        assert SCRIPT not in response.text
        told = shown.told()
        assert SCRIPT in (told["code"], told["failure"])
        assert told["state"] == query["state"]


async def test_the_callback_page_has_the_code_and_the_target_origin(browse: Browse) -> None:
    browser = browse()
    state = browser.state()
    shown = Page((await browser.callback(code="c", state=state)).text)
    assert shown.told() == {
        "code": "c",
        "state": state,
        "origin": APP,
        "failure": None,
        "stay": False,
        "exchange": "/_oxa_auth/token-exchange",
    }
    assert shown.all("a", id="again")[0][0]["href"] == f"{APP}/reports"


async def test_without_another_origin_the_callback_uses_the_mocks_own(browse: Browse) -> None:
    browser = browse()
    shown = Page((await browser.callback(code="c", state=browser.state(origin=None))).text)
    assert shown.told()["origin"] is None
    assert shown.all("a", id="again")[0][0]["href"] == "/reports"


async def test_an_invalid_state_names_no_origin(browse: Browse) -> None:
    foreign = browse().state(origin="https://evil.example")
    shown = Page((await browse(return_to="/home").callback(code="c", state=foreign)).text)
    assert shown.told()["origin"] is None
    assert shown.all("a", id="again")[0][0]["href"] == "/home"


NOTHING = "There is no sign-in to complete."


@pytest.mark.parametrize(
    ("query", "failure"),
    [
        ({}, NOTHING),
        ({"code": "c"}, NOTHING),
        ({"state": "s"}, NOTHING),
        ({"error": "access_denied"}, "access_denied"),
        ({"error": "access_denied", "error_description": "Not today."}, "Not today."),
        ({"error": "access_denied", "error_description": ""}, "access_denied"),
        ({"error": "x", "code": "c", "state": "s"}, "x"),
        ({"code": "c", "state": "s"}, None),
    ],
)
async def test_the_callback_page_shows_a_failure(
    browse: Browse, query: dict[str, str], failure: str | None
) -> None:
    shown = Page((await browse().callback(**query)).text)
    assert shown.told()["failure"] == failure


async def test_a_failure_is_announced_to_screen_readers(browse: Browse) -> None:
    shown = Page((await browse().callback(error="x")).text)
    assert len(shown.all("p", role="alert")) == 1
    assert len(shown.all("p", role="status")) == 1
    assert len(shown.all("noscript")) == 1


def test_pitfall_34_no_message_goes_to_any_origin() -> None:
    script = static_files()["callback.js"]
    assert re.findall(r"postMessage\((.*)\)", script) == ["message, targetOrigin"]
    assert '"*"' not in script


def test_json_in_a_page_cannot_end_its_element() -> None:
    value = ["</script><!--", "\u2028", "é"]
    page = render("callback.html", nonce="n", app_url="/", warnings=[], sign_in=value)
    written = page.partition('id="sign-in">')[2].partition("</script>")[0]
    assert "<" not in written
    assert written.isascii()
    assert json.loads(written) == value


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="nonce"):
        render("callback.html", app_url="/", warnings=[], sign_in={})


def test_the_theme_supports_dark_mode_reduced_motion_and_the_keyboard() -> None:
    look = static_files()["theme.css"]
    for wanted in ("prefers-color-scheme: dark", "prefers-reduced-motion", ":focus-visible"):
        assert wanted in look
    names = ("ink", "paper", "card", "line", "accent", "good", "bad", "warn")
    assert all(look.count(f"--{name}: ") == 2 for name in names)
    assert "http" not in look
    assert "url(" not in look


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("ink", "paper"), ("ink", "card"), ("quiet", "paper"), ("quiet", "card"), ("good", "card"),
     ("bad", "card"), ("warn", "card"), ("warn", "warn-paper"), ("accent", "card"),
     ("accent", "paper"), ("on-accent", "accent")],
)  # fmt: skip
def test_every_text_contrasts_with_its_background(scheme: str, text: str, ground: str) -> None:
    light, dark = static_files()["theme.css"].split("@media (prefers-color-scheme: dark)")
    colours = dict(
        re.findall(r"--([a-z-]+): #([0-9a-f]{6});", light if scheme == "light" else dark)
    )
    lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def luminance(colour: str) -> float:
    """How bright WCAG 2.2 takes a colour to be, from 0 to 1."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("state=forged", 400, "Invalid state"),
        ("", 422, "The address of this page is not complete."),
    ],
)
@pytest.mark.parametrize("path", ["/_oxa_auth/mock-authorize", "/own/page"])
async def test_a_browser_shows_an_error_as_a_page(
    path: str, query: str, status: int, message: str
) -> None:
    app = create_app(MockSettings(authorize_path="/own/page"))
    client = AsyncClient(transport=ASGITransport(app), base_url="http://mock")
    response = await client.get(f"{path}?{query}", headers={"Accept": BROWSER})
    assert response.status_code == status
    assert Page(response.text).all("p", role="alert") == [
        ({"class": "bad", "role": "alert"}, message)
    ]
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.5"])
async def test_other_clients_get_the_error_as_json(accept: str) -> None:
    client = AsyncClient(
        transport=ASGITransport(create_app(MockSettings())), base_url="http://mock"
    )
    url = "/_oxa_auth/mock-authorize?state=forged"
    response = await client.get(url, headers={"Accept": accept})
    assert (response.status_code, response.json()) == (400, {"detail": "Invalid state"})
