"""The cross-site guard: whose pages may use a visitor's cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    User,
    get_current_user,
    get_current_user_optional,
)
from oxaigen_auth._request.csrf import is_cross_site
from tests.support.apps import (
    COOKIE,
    GOOD,
    TestClient,
    WebSocketDenialResponse,
    make_app,
    serving_elsewhere,
)
from tests.support.fake_proxy import FakeProxy
from tests.support.raw_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

REFUSED = {"detail": "Cross-site request refused"}
TRUSTING: dict[str, Any] = {
    "trusted_origins": ("https://www.example.com", "https://*.partner.example")
}


def judged(headers: dict[str, str], method: str | None = "POST", /, **settings: Any) -> bool:
    scope = {"type": "http", "method": method} if method else {"type": "websocket"}
    raw = {"host": "app.example.com", **headers}
    found = {name.encode(): value.encode() for name, value in raw.items()}
    return is_cross_site(scope, found, OxaigenAuthSettings(**settings))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "ODD", None])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "https://app.example.com.evil.example"},
        {"origin": "https://evil.example/https://app.example.com"},
        {"origin": "https://app.example.com@evil.example"},
        {"origin": "https://app.example.com:8443"},
        {"origin": "https://sub.app.example.com"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "app.example.com"},
        {"origin": "file://"},
        {"origin": "chrome-extension://app.example.com"},
        {"origin": "https://app.example.com\nhttps://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "https://evil.example", "host": "bad host"},
        {"origin": "https://app.example.com", "host": "bad host"},
        {"origin": "https://app.example.com", "x-forwarded-host": "other.example.com"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-origin\ncross-site"},
    ],
)
def test_pitfall_32_an_unsafe_request_from_another_site_is_cross_site(
    headers: dict[str, str], method: str | None
) -> None:
    assert judged(headers, method)


@pytest.mark.parametrize("method", ["POST", "DELETE", None])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://app.example.com"},
        {"origin": "http://app.example.com"},
        {"origin": "https://APP.example.com:443"},
        {"origin": "https://app.example.com:8443", "host": "app.example.com:8443"},
        {"origin": "https://web.example.com", "x-forwarded-host": "web.example.com"},
        {"origin": "http://[::1]:8000", "host": "[::1]:8000"},
        {"origin": "https://app.example.com", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {},
    ],
)
def test_requests_of_the_apps_own_pages_and_of_other_programs_are_not_cross_site(
    headers: dict[str, str], method: str | None
) -> None:
    assert not judged(headers, method)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_safe_method_is_never_refused(method: str) -> None:
    assert not judged({"origin": "https://evil.example"}, method)


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("https://www.example.com", False),
        ("https://www.example.com:443", False),
        ("https://a.partner.example", False),
        ("https://a.b.partner.example", False),
        ("http://www.example.com", True),
        ("https://www.example.com:444", True),
        ("https://partner.example", True),
        ("https://evilpartner.example", True),
        ("https://other.example", True),
    ],
)
def test_a_trusted_origin_counts_as_the_apps_own(origin: str, *, refused: bool) -> None:
    assert judged({"origin": origin}, **TRUSTING) is refused


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://localhost:3000", False),
        ("http://app.localhost:3000", False),
        ("https://127.0.0.1:5173", False),
        ("http://127.1.2.3", False),
        ("http://[::1]:3000", False),
        ("http://128.0.0.1", True),
        ("http://localhost.example.com", True),
        ("http://evillocalhost", True),
        ("https://evil.example", True),
    ],
)
def test_in_dev_mode_every_loopback_origin_is_trusted(origin: str, *, refused: bool) -> None:
    assert judged({"origin": origin}, dev_mode=True) is refused
    assert judged({"origin": origin})


@pytest.mark.parametrize(
    ("forwarded", "refused_without_a_list", "refused_with_one"),
    [
        ("app.example.com, evil.example", True, False),
        ("app.example.com\nevil.example", True, False),
        ("evil.example, app.example.com", True, True),
        ("evil.example\napp.example.com", True, True),
        ("app.example.com", False, False),
    ],
)
def test_the_first_of_several_forwarded_hosts_counts_as_the_apps_own_if_it_is_allowed(
    forwarded: str, *, refused_without_a_list: bool, refused_with_one: bool
) -> None:
    for origin in ("https://app.example.com", "http://app.example.com"):
        headers = {"origin": origin, "x-forwarded-host": forwarded}
        assert judged(headers) is refused_without_a_list
        assert judged(headers, allowed_hosts=("app.example.com",)) is refused_with_one
    from_elsewhere = {"origin": "https://evil.example", "x-forwarded-host": forwarded}
    assert judged(from_elsewhere)
    assert judged(from_elsewhere, allowed_hosts=("app.example.com",))


def test_the_guard_can_be_switched_off() -> None:
    assert not judged({"origin": "https://evil.example"}, cross_site_guard=False)


# In an app.


def make_posting_app(*, middleware: bool) -> FastAPI:
    app = make_app()

    async def me(user: User = Depends(get_current_user)) -> Any:
        return {"user": user.user_name}

    async def maybe(user: User | None = Depends(get_current_user_optional)) -> Any:
        return {"user": user and user.user_name}

    app.post("/me")(me)
    app.post("/maybe")(maybe)
    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)
    return app


async def post(app: FastAPI, path: str, headers: dict[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example.com") as http:
        return await http.post(path, headers=headers)


EVIL = {"origin": "https://evil.example"}


@pytest.mark.parametrize("middleware", [True, False])
@pytest.mark.parametrize(
    ("headers", "path", "status", "body"),
    [
        ({**COOKIE, **EVIL}, "/me", 403, REFUSED),
        ({**COOKIE, "sec-fetch-site": "cross-site"}, "/me", 403, REFUSED),
        ({**COOKIE, **EVIL}, "/maybe", 200, {"user": None}),
        ({**COOKIE, "origin": "http://app.example.com"}, "/me", 200, {"user": "ada"}),
        (COOKIE, "/me", 200, {"user": "ada"}),
        ({**GOOD, **EVIL}, "/me", 200, {"user": "ada"}),
        ({**GOOD, **COOKIE, **EVIL}, "/me", 200, {"user": "ada"}),
        (EVIL, "/me", 401, {"detail": "Not authenticated"}),
    ],
)
async def test_only_a_token_from_a_cookie_is_refused(  # noqa: PLR0913, PLR0917 (a table)
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    path: str,
    status: int,
    body: object,
    middleware: bool,  # noqa: FBT001
) -> None:
    upstream = FakeProxy()
    async with serving(upstream) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        response = await post(make_posting_app(middleware=middleware), path, headers)
    assert (response.status_code, response.json()) == (status, body)
    assert upstream.endpoints == ["get-me"] * (body == {"user": "ada"})


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with serving_elsewhere(FakeProxy()) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        with TestClient(make_posting_app(middleware=True), "http://app.example.com") as browser:
            yield browser


def test_pitfall_32_a_websocket_from_another_site_is_refused(browser: TestClient) -> None:
    with pytest.raises(WebSocketDenialResponse) as caught:
        browser.websocket_connect("/ws/me", headers={**COOKIE, **EVIL}).__enter__()
    assert (caught.value.status_code, caught.value.json()) == (403, REFUSED)


@pytest.mark.parametrize("headers", [COOKIE | {"origin": "http://testserver"}, GOOD | EVIL])
def test_a_websocket_of_the_apps_own_pages_or_with_a_header_is_accepted(
    browser: TestClient, headers: dict[str, str]
) -> None:
    with browser.websocket_connect("/ws/me", headers=headers) as websocket:
        assert websocket.receive_json() == {"user": "ada"}


async def test_the_middleware_gives_the_reason_why_there_is_no_user() -> None:
    app = FastAPI()

    async def state(request: Request) -> Any:
        return {"user": request.state.user, "auth_error": request.state.auth_error}

    app.post("/state")(state)
    app.add_middleware(OxaigenAuthMiddleware)
    response = await post(app, "/state", COOKIE | EVIL)
    assert response.json() == {"user": None, "auth_error": "Cross-site request refused"}
