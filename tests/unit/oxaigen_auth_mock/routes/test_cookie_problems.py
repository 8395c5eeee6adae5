"""The combinations below were tried in Chromium: tests/browser/test_sign_in_problems.py."""

import logging
import re
from html import unescape
from typing import Any

import pytest
from anyio import current_time
from attrs import define
from httpx import ASGITransport, AsyncClient

from oxaigen_auth_mock import MockApp, MockSettings, Persona, create_app
from oxaigen_auth_mock.journal.warnings import MAX_WARNINGS
from tests.support import virtual_time

pytestmark = pytest.mark.anyio

anyio_backend = virtual_time.anyio_backend

REFRESH = "OxaigenPlatformAuthRefreshToken"
HOSTS = "the app will not receive the cookies of the sign-in"
SCHEMES = "refresh and logout will not send the cookies"
OTHER = "another mock on this host has set the cookie"


@define(eq=False)
class Visitor:
    """Calls a mock as a browser does, and collects its warnings."""

    app: MockApp
    http: AsyncClient
    given: list[str]

    async def login(self, page: str, site: str | None = None) -> str:
        headers = {"Origin": page} | ({} if site is None else {"Sec-Fetch-Site": site})
        url: str = (await self.http.get("/_oxa_auth/login", headers=headers)).json()[
            "authorize_url"
        ]
        return url


def visit(*personas: Persona, url: str = "http://127.0.0.1:8765", **settings: Any) -> Visitor:
    given: list[str] = []
    app = create_app(
        MockSettings(**settings), personas=personas, clock=current_time, warn=given.append
    )
    http = AsyncClient(transport=ASGITransport(app), base_url=url, follow_redirects=True)
    return Visitor(app, http, given)


@pytest.mark.parametrize(
    ("page", "mock", "site", "expected"),
    [
        ("http://127.0.0.1:5173", "http://127.0.0.1:8765", "same-site", ""),
        ("http://127.0.0.1:5173", "http://127.0.0.1:8765", None, ""),
        ("http://127.0.0.1", "http://127.0.0.1:8765", None, ""),
        ("https://localhost:5173", "https://localhost:8765", "same-site", ""),
        ("http://localhost:5173", "http://127.0.0.1:8765", "cross-site", HOSTS),
        ("http://localhost:5173", "http://127.0.0.1:8765", None, HOSTS),
        ("http://127.0.0.1:5173", "http://localhost:8765", "cross-site", HOSTS),
        ("http://127.0.0.1:5173", "http://[::1]:8765", "cross-site", HOSTS),
        ("https://localhost:5173", "https://127.0.0.1:8765", "cross-site", HOSTS),
        ("https://localhost:5173", "http://127.0.0.1:8765", "cross-site", HOSTS),
        ("https://localhost:5173", "http://localhost:8765", "cross-site", SCHEMES),
        ("https://localhost:5173", "http://localhost:8765", None, SCHEMES),
        ("http://localhost:5173", "https://localhost:8765", "cross-site", SCHEMES),
        # a development server forwards the call and changes the Host header
        ("http://localhost:5173", "http://127.0.0.1:8765", "same-origin", ""),
        ("http://localhost:5173", "http://127.0.0.1:8765", "same-site", ""),
        ("null", "http://127.0.0.1:8765", "cross-site", ""),
    ],
)
async def test_login_warns_of_what_chromium_does_not_send(
    page: str, mock: str, site: str | None, expected: str
) -> None:
    visitor = visit(url=mock, pick=True)
    choose = await visitor.http.get(await visitor.login(page, site))
    (login, authorize) = visitor.app.control.calls()
    if not expected:
        assert (visitor.given, login.warning) == ([], None)
        assert "Warning:" not in choose.text
        return
    (warning,) = visitor.given
    assert expected in warning
    assert f"the page is at {page} and this mock at {mock}:" in warning
    assert (login.warning, authorize.warning) == (warning, None)
    assert f"<strong>Warning:</strong> {warning}." in unescape(choose.text)


@pytest.mark.parametrize(
    ("page", "mock", "advice"),
    [
        (
            "http://localhost:5173",
            "http://127.0.0.1:8765",
            "open the page at http://127.0.0.1:5173 or call the mock at http://localhost:8765",
        ),
        (
            "http://localhost",
            "https://[::1]:8765",
            "open the page at http://[::1] or call the mock at https://localhost:8765",
        ),
        ("https://localhost", "http://localhost:8765", "start the mock with --tls"),
        (
            "http://localhost",
            "https://localhost:8765",
            "open the page on https, or start the mock without --tls",
        ),
    ],
)
async def test_a_warning_ends_with_what_to_do(page: str, mock: str, advice: str) -> None:
    visitor = visit(url=mock)
    await visitor.login(page)
    assert visitor.given[0].endswith(f"; {advice}")


async def test_a_problem_is_given_once_and_each_call_shows_it() -> None:
    visitor = visit()
    for page in ("http://localhost:1", "http://localhost:2", "http://localhost:1"):
        await visitor.login(page)
    assert len(visitor.given) == 2
    assert [call.warning is None for call in visitor.app.control.calls()] == [False] * 3
    for number in range(MAX_WARNINGS):
        await visitor.login(f"http://host{number}:1")
    assert len(visitor.given) == MAX_WARNINGS


async def test_a_host_that_is_none_is_not_repeated() -> None:
    visitor = visit()
    headers = {"Origin": "http://localhost:1", "Host": "a b"}
    await visitor.http.get("/_oxa_auth/login", headers=headers)
    assert visitor.given == []


async def test_without_a_console_a_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(MockSettings())
    async with AsyncClient(transport=ASGITransport(app), base_url="http://127.0.0.1") as client:
        with caplog.at_level(logging.WARNING, "oxaigen_auth_mock"):
            await client.get("/_oxa_auth/login", headers={"Origin": "http://localhost:5173"})
    assert HOSTS in caplog.text


async def refresh_token_of(visitor: Visitor) -> str:
    callback = await visitor.http.get(await visitor.login("http://127.0.0.1:1"))
    grant = {name: callback.url.params[name] for name in ("code", "state")}
    await visitor.http.post("/_oxa_auth/token-exchange", json=grant)
    token = visitor.http.cookies[REFRESH]
    visitor.http.cookies.clear()
    return token


ADA = Persona(name="ada", token="adas-token")
PAIRS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"strict": True, "port": 1}, {"strict": True, "port": 2}, True),
    ({"strict": True, "port": 1}, {"strict": True, "port": 1}, False),  # a restart
    ({"strict": True}, {}, True),
    ({}, {"strict": True}, True),
    ({}, {}, False),  # they issue and accept the same tokens
    ({"refresh_token_value": "renewed"}, {}, True),
]


@pytest.mark.parametrize(("other", "own", "expected"), PAIRS)
async def test_a_refresh_cookie_of_another_mock_is_noticed(
    other: dict[str, Any], own: dict[str, Any], *, expected: bool
) -> None:
    token = await refresh_token_of(visit(**other))
    visitor = visit(pick=True, **own)
    visitor.http.cookies.set(REFRESH, token)
    choose = await visitor.http.get(await visitor.login("http://127.0.0.1:1"))
    callback = await visitor.http.get("/_oxa_auth/callback")
    assert (OTHER in choose.text, OTHER in callback.text) == (expected, expected)
    await visitor.http.post("/_oxa_auth/refresh")
    warned = [call.warning is not None for call in visitor.app.control.calls()]
    assert warned == [False, expected, expected, expected]
    assert len(visitor.given) == expected
    assert token not in "".join(visitor.given)
    assert all(re.search("--cookie-suffix auto$", warning) for warning in visitor.given)


async def test_the_tokens_of_a_persona_that_only_another_mock_has_are_noticed() -> None:
    other = visit(ADA, auto_login="ada")
    token = await refresh_token_of(other)
    for own, expected in ((visit(), 1), (visit(ADA), 0)):
        own.http.cookies.set(REFRESH, token)
        await own.http.post("/_oxa_auth/refresh")
        assert len(own.given) == expected


async def test_an_imported_session_is_not_foreign() -> None:
    other, own = visit(strict=True, port=1), visit(strict=True, port=2)
    token = await refresh_token_of(other)
    own.app.control.load(other.app.control.snapshot())
    own.http.cookies.set(REFRESH, token)
    assert (await own.http.post("/_oxa_auth/refresh")).status_code == 200
    assert own.given == []
