from collections.abc import Callable
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from anyio import current_time, sleep
from attrs import define
from httpx import ASGITransport, AsyncClient, Response

from oxaigen_auth_mock import MockSettings, Persona, create_app
from oxaigen_auth_mock.app import MockApp
from oxaigen_auth_mock.identity_provider.state_token import SignIn
from oxaigen_auth_mock.identity_provider.static import StaticProvider
from oxaigen_auth_mock.identity_provider.strict import StrictProvider
from oxaigen_auth_mock.journal.counts import fingerprint
from tests.support import virtual_time
from tests.support.paths import ROOT

pytestmark = pytest.mark.anyio

anyio_backend = virtual_time.anyio_backend

ACCESS, REFRESH = "OxaigenPlatformAuthAccessToken", "OxaigenPlatformAuthRefreshToken"
APP = "http://localhost:5173"
FILE = str(ROOT / "docs/examples/personas.toml")
DENIED = {"error": "access_denied", "error_description": "The user denied the access."}


@define(eq=False)
class Visitor:
    """Calls a mock's endpoints; sends no cookies but those that a call names."""

    app: MockApp
    http: AsyncClient

    async def get(self, path: str, headers: dict[str, str] | None = None, **query: str) -> Response:
        url = path if path.startswith("/") else f"/_oxa_auth/{path}"
        return await self.http.get(url, params=query or None, headers=headers)

    async def post(self, endpoint: str, *, json: Any = None, cookie: str | None = None) -> Response:
        headers = {} if cookie is None else {"Cookie": f"{REFRESH}={cookie}"}
        return await self.http.post(f"/_oxa_auth/{endpoint}", json=json, headers=headers)

    async def authorize_url(self, *, origin: str | None = None, as_: str = "", **query: str) -> str:
        headers = {} if origin is None else {"Origin": origin}
        query |= {"as": as_} if as_ else {}
        response = await self.get("login", headers, **query)
        assert response.status_code == 200
        url: str = response.json()["authorize_url"]
        return url

    async def state(self) -> str:
        return query_of(await self.authorize_url())["state"]

    async def remembered(self, **query: Any) -> SignIn:
        url = await self.authorize_url(**query)
        return self.app.mock_state.signer.read(query_of(url)["state"])

    async def grant(self, **query: Any) -> dict[str, str]:
        """Sign in up to what the callback page exchanges."""
        response = await self.get(await self.authorize_url(**query))
        assert response.status_code == 302
        return query_of(response.headers["Location"])

    async def signed_in(self, **query: Any) -> dict[str, Morsel[str]]:
        response = await self.post("token-exchange", json=await self.grant(**query))
        assert response.status_code == 200
        return cookies_of(response)

    async def who(self, token: str) -> object:
        response = await self.get("get-me", {"Authorization": f"Bearer {token}"})
        answer = response.json()
        return answer["user_name"] if response.status_code == 200 else answer["detail"]


@pytest.fixture
def visit() -> Callable[..., Visitor]:
    """Build a new mock with these settings, in virtual time, and somebody who visits it."""

    def visitor(*personas: Persona, **settings: Any) -> Visitor:
        app = create_app(MockSettings(**settings), personas=personas, clock=current_time)
        return Visitor(app, AsyncClient(transport=ASGITransport(app), base_url="http://mock"))

    return visitor


Visit = Callable[..., Visitor]


def query_of(url: str) -> dict[str, str]:
    query = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in query.values())
    return {name: values[0] for name, values in query.items()}


def cookies_of(response: Response) -> dict[str, Morsel[str]]:
    headers = response.headers.get_list("Set-Cookie")
    cookies = SimpleCookie()
    for header in headers:
        cookies.load(header)
    assert len(cookies) == len(headers)
    return dict(cookies)


def set_cookies(response: Response) -> list[str]:
    return response.headers.get_list("Set-Cookie")


def outcome(response: Response) -> tuple[int, object]:
    return response.status_code, response.json()


def assert_cleared(response: Response) -> None:
    assert set_cookies(response) == [
        f'{ACCESS}=""; Max-Age=0; Path=/; SameSite=lax',
        f'{REFRESH}=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax',
    ]
    assert response.headers["Cache-Control"] == "no-store"


# login


async def test_login_returns_the_authorize_url_and_forbids_caching(visit: Visit) -> None:
    response = await visit().get("login", return_to="/reports")
    url = response.json()["authorize_url"]
    assert set(response.json()) == {"authorize_url"}
    assert urlsplit(url).path == "/_oxa_auth/mock-authorize"
    assert query_of(url).keys() == {"code", "state"}
    assert query_of(url)["code"] == "mock-auth-code"
    assert response.headers["Cache-Control"] == "no-store"


async def test_login_needs_no_return_to(visit: Visit) -> None:
    assert (await visit(return_to="/home").remembered()).return_to == "/home"


async def test_login_remembers_where_to_return(visit: Visit) -> None:
    goal = "/reports?page=2&q=ä#top"
    assert (await visit().remembered(return_to=goal)).return_to == goal


@pytest.mark.parametrize("path", ["https://evil.example", "//evil.example", "/\\evil.example"])
async def test_pitfall_35_login_returns_to_no_other_site(visit: Visit, path: str) -> None:
    assert (await visit(return_to="/home").remembered(return_to=path)).return_to == "/home"


async def test_the_longest_return_to_has_2048_characters(visit: Visit) -> None:
    visitor = visit()
    longest = "/" + 2047 * "a"
    assert (await visitor.remembered(return_to=longest)).return_to == longest
    response = await visitor.get("login", return_to=longest + "a")
    assert response.status_code == 422
    (mistake,) = response.json()["detail"]
    assert mistake["loc"] == ["query", "return_to"]
    assert "aaa" not in response.text


async def test_a_configured_authorize_url_is_handed_out_verbatim(visit: Visit) -> None:
    visitor = visit(login_authorize_url="https://idp.example.com/a?b=c#d")
    url = await visitor.authorize_url(origin=APP, return_to="/x", as_="guest")
    assert url == "https://idp.example.com/a?b=c#d"


async def test_login_remembers_the_origin_of_its_caller(visit: Visit) -> None:
    assert (await visit().remembered(origin=APP)).origin == APP
    assert (await visit().remembered()).origin is None
    assert (await visit().remembered(origin="null")).origin is None
    assert (await visit().remembered(origin="http://<script>")).origin is None


async def test_login_ignores_an_origin_that_is_not_allowed(visit: Visit) -> None:
    visitor = visit(cors_origins=(APP,))
    assert (await visitor.remembered(origin=APP)).origin == APP
    assert (await visitor.remembered(origin="http://localhost:1")).origin is None


async def test_login_passes_the_requested_persona_on(visit: Visit) -> None:
    url = await visit().authorize_url(as_="Zoë & co")
    assert query_of(url)["as"] == "Zoë & co"


# mock-authorize


async def test_the_default_user_signs_in_at_once(visit: Visit) -> None:
    visitor = visit()
    state = await visitor.state()
    response = await visitor.get("mock-authorize", state=state)
    assert response.status_code == 302
    assert response.headers["Location"] == (
        f"/_oxa_auth/callback?code=mock-auth-code&state={state}"
    )
    assert response.headers["Cache-Control"] == "no-store"


async def test_a_configured_exchange_path_is_served_and_recorded(visit: Visit) -> None:
    visitor = visit(authorize_path="/realms/d%C3%A4v/auth?client=mock#x", auth_code="a/code")
    url = await visitor.authorize_url()
    assert url.startswith("/realms/d%C3%A4v/auth?client=mock&code=a%2Fcode&state=")
    assert url.endswith("#x")
    there = await visitor.get(url)
    usual = await visitor.get("mock-authorize", state=query_of(url)["state"])
    assert there.headers["Location"] == usual.headers["Location"]
    assert query_of(usual.headers["Location"])["code"] == "a/code"
    assert [call.endpoint for call in visitor.app.mock_state.journal] == [
        "login", "mock-authorize", "mock-authorize"
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["", " ", "mock-state", "<script>", "ä"])
async def test_a_foreign_state_is_refused(visit: Visit, state: str) -> None:
    response = await visit().get("mock-authorize", state=state, code="mock-auth-code")
    assert outcome(response) == (400, {"detail": "Invalid state"})


async def test_without_a_state_the_call_has_the_wrong_shape(visit: Visit) -> None:
    assert (await visit().get("mock-authorize")).status_code == 422


PRECEDENCE: list[tuple[dict[str, Any], str, str]] = [
    ({}, "", "devuser"),
    ({}, "guest", "guest"),
    ({"auto_login": "admin"}, "", "admin"),
    ({"auto_login": "admin"}, "guest", "guest"),
    ({"auto_login": "admin", "pick": True}, "", "admin"),
    ({"auto_login": "deny"}, "", ""),
    ({"auto_login": "deny"}, "guest", "guest"),
    ({"auto_login": "admin"}, "deny", ""),
    ({"pick": True}, "guest", "guest"),
    ({"pick": True}, "deny", ""),
    ({"personas": FILE}, "user", "user"),
]


@pytest.mark.parametrize(("settings", "as_", "name"), PRECEDENCE)
async def test_the_automatic_sign_in_follows_the_precedence(
    visit: Visit, settings: dict[str, Any], as_: str, name: str
) -> None:
    visitor = visit(**settings)
    grant = await visitor.grant(as_=as_)
    if not name:
        assert grant == {**DENIED, "state": grant["state"]}
        return
    tokens = cookies_of(await visitor.post("token-exchange", json=grant))
    assert await visitor.who(tokens[ACCESS].value) == name


@pytest.mark.parametrize("settings", [{"pick": True}, {"personas": FILE}])
async def test_the_pick_page_is_shown_if_configured(visit: Visit, settings: dict[str, Any]) -> None:
    visitor = visit(**settings)
    response = await visitor.get(await visitor.authorize_url())
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_an_unknown_name_is_refused_with_the_known_ones(visit: Visit) -> None:
    visitor = visit(Persona(name="Zoë", token="zoe"))
    response = await visitor.get(await visitor.authorize_url(as_="nobody"))
    assert outcome(response) == (
        400,
        {
            "detail": "No persona is called 'nobody'; `as` can be one of: "
            "devuser, guest, user, admin, Zoë, deny."
        },
    )


@pytest.mark.parametrize("strict", [False, True])
async def test_without_personas_the_sign_in_is_refused(visit: Visit, strict: bool) -> None:  # noqa: FBT001
    visitor = visit(strict=strict)
    grant = await visitor.grant()
    visitor.app.mock_state.personas.replace(())
    response = await visitor.get("mock-authorize", state=grant["state"])
    assert outcome(response) == (
        400,
        {"detail": "There is no persona; `as` can be one of: deny."},
    )
    exchange = await visitor.post("token-exchange", json=grant)
    assert outcome(exchange) == (400, {"detail": "Invalid code"})


# token-exchange


async def test_the_exchange_answers_lifetimes_and_sets_both_cookies(visit: Visit) -> None:
    visitor = visit(expires_in=60, refresh_expires_in=900)
    response = await visitor.post("token-exchange", json=await visitor.grant(return_to="/reports"))
    assert outcome(response) == (
        200,
        {"return_to": "/reports", "expires_in": 60, "refresh_expires_in": 900},
    )
    assert set_cookies(response) == [
        f"{ACCESS}=mock-dev-token; Max-Age=60; Path=/; SameSite=lax",
        f"{REFRESH}=mock-dev-refresh-token; HttpOnly; Max-Age=900; Path=/; SameSite=lax",
    ]
    assert response.headers["Cache-Control"] == "no-store"


async def test_with_tls_pages_of_other_sites_may_use_the_cookies(visit: Visit) -> None:
    visitor = visit(tls=True)
    signed_in = await visitor.post("token-exchange", json=await visitor.grant())
    for response in (signed_in, await visitor.post("logout")):
        for cookie in set_cookies(response):
            assert cookie.endswith("; Path=/; SameSite=none; Secure")


async def test_cookies_and_tokens_are_those_of_the_settings(visit: Visit) -> None:
    visitor = visit(
        access_cookie_name="a",
        refresh_cookie_name="r",
        cookie_suffix="auto",
        access_token_value="token",
        refresh_token_value="refresh",
        auth_code="c",
    )
    cookies = await visitor.signed_in()
    assert {name: cookie.value for name, cookie in cookies.items()} == {
        "a-8765": "token", "r-8765": "refresh"
    }  # fmt: skip
    me = await visitor.get("get-me", {"Cookie": "a-8765=token"})
    assert me.json()["user_name"] == "devuser"
    headers = {"Cookie": "r-8765=refresh"}
    assert (await visitor.http.post("/_oxa_auth/refresh", headers=headers)).status_code == 200
    assert await visitor.who("token") == "devuser"


@pytest.mark.parametrize("token", ['a"b', "a;b", "a,b", "a\\b", "~!"])
async def test_any_token_comes_back_in_its_cookie(visit: Visit, token: str) -> None:
    visitor = visit(Persona(name="ada", token=token))
    cookies = await visitor.signed_in(as_="ada")
    jar = "; ".join(f"{name}={cookie.coded_value}" for name, cookie in cookies.items())
    me = await visitor.get("get-me", {"Cookie": jar})
    assert me.json()["user_name"] == "ada"


BLANK = {"detail": "Invalid token exchange payload"}


@pytest.mark.parametrize("grant", [("code", " "), ("state", "\t\n"), ("state", "\u2003")])
async def test_a_blank_grant_is_invalid(visit: Visit, grant: tuple[str, str]) -> None:
    body = {"code": "c", "state": "s", grant[0]: grant[1]}
    assert outcome(await visit().post("token-exchange", json=body)) == (400, BLANK)


@pytest.mark.parametrize("state", ["s", "mock-state", "ä", "\x00", "<script>", 8192 * "s"])
async def test_a_foreign_state_is_invalid(visit: Visit, state: str) -> None:
    response = await visit().post("token-exchange", json={"code": "c", "state": state})
    assert outcome(response) == (400, {"detail": "Invalid state"})
    assert set_cookies(response) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b"7", b"{", b'"text"',
        b'{"code": "c"}', b'{"state": "s"}',
        b'{"code": "", "state": "s"}', b'{"code": "c", "state": ""}',
        b'{"code": 1, "state": "s"}', b'{"code": null, "state": "s"}',
        b'{"code": ["c"], "state": {"s": "s"}}',
        b'{"code": NaN, "state": Infinity}', b'{"code": 1e999, "state": "s"}',
        b'{"code": "\\ud800", "state": "s"}', b'{"\\ud800": NaN}',
        b'{"code": "%s", "state": "s"}' % (4097 * b"c"),
        b'{"code": "c", "state": "%s"}' % (8193 * b"s"),
    ],
)  # fmt: skip
async def test_a_grant_of_the_wrong_shape_is_refused_and_not_repeated(
    visit: Visit, body: bytes
) -> None:
    response = await visit().http.post(
        "/_oxa_auth/token-exchange", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422
    assert all(each.keys() == {"type", "loc", "msg"} for each in response.json()["detail"])


@pytest.mark.parametrize("body", [b"\xff", b"[" * 100_000, b'{"code": "\xff", "state": "s"}'])
async def test_a_body_that_is_no_json_at_all_is_refused(visit: Visit, body: bytes) -> None:
    response = await visit().http.post(
        "/_oxa_auth/token-exchange", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code in (400, 422)
    assert "detail" in response.json()


@pytest.mark.parametrize(
    "query", ["return_to=%ff", "as=%00&as=%ff", "&&==&%", "return_to=%ed%a0%80"]
)
@pytest.mark.parametrize("endpoint", ["login", "mock-authorize", "callback"])
async def test_no_query_is_a_server_error(visit: Visit, endpoint: str, query: str) -> None:
    visitor = visit()
    with_state = f"{query}&state={await visitor.state()}"
    for text in (query, with_state):
        response = await visitor.get(f"/_oxa_auth/{endpoint}?{text}")
        assert response.status_code < 500


# refresh and logout


async def test_a_good_refresh_token_gives_both_cookies_again(visit: Visit) -> None:
    response = await visit().post("refresh", cookie="mock-dev-refresh-token~guest")
    assert outcome(response) == (200, {"expires_in": 300, "refresh_expires_in": 1800})
    assert set_cookies(response) == [
        f"{ACCESS}=mock-guest-token; Max-Age=300; Path=/; SameSite=lax",
        f"{REFRESH}=mock-dev-refresh-token~guest; HttpOnly; Max-Age=1800; Path=/; SameSite=lax",
    ]
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("cookie", [None, ""])
async def test_without_a_refresh_token_there_is_no_refresh(
    visit: Visit, cookie: str | None
) -> None:
    response = await visit().post("refresh", cookie=cookie)
    assert outcome(response) == (401, {"detail": "No refresh token"})
    assert_cleared(response)


@pytest.mark.parametrize("strict", [False, True])
async def test_a_wrong_refresh_token_is_an_invalid_grant(visit: Visit, strict: bool) -> None:  # noqa: FBT001
    response = await visit(strict=strict).post("refresh", cookie="wrong")
    assert outcome(response) == (401, {"detail": "Refresh failed: invalid_grant"})
    assert_cleared(response)


async def test_a_revoked_refresh_token_is_an_invalid_grant(visit: Visit) -> None:
    visitor = visit()
    visitor.app.mock_state.revoked.add(fingerprint("mock-dev-refresh-token"))
    response = await visitor.post("refresh", cookie="mock-dev-refresh-token")
    assert outcome(response) == (401, {"detail": "Refresh failed: invalid_grant"})
    assert_cleared(response)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("gone", ["expired", "removed"])
async def test_an_expired_or_removed_persona_gets_no_refresh(
    visit: Visit,
    strict: bool,  # noqa: FBT001
    gone: str,
) -> None:
    visitor = visit(strict=strict)
    tokens = await visitor.signed_in(as_="guest")
    if gone == "expired":
        visitor.app.mock_state.personas.put(Persona(name="guest", state="expired"))
    else:
        visitor.app.mock_state.personas.remove("guest")
    response = await visitor.post("refresh", cookie=tokens[REFRESH].value)
    assert outcome(response) == (401, {"detail": "Refresh failed: invalid_grant"})


async def test_an_expired_persona_signs_in_with_an_expired_token(visit: Visit) -> None:
    visitor = visit(Persona(name="ada", state="expired"), strict=True)
    tokens = await visitor.signed_in(as_="ada")
    assert await visitor.who(tokens[ACCESS].value) == "Token expired"


@pytest.mark.parametrize(
    ("cookie", "revoked"),
    [("mock-dev-refresh-token", True), ("x", True), (None, False), ("", False)],
)
async def test_logout_clears_the_cookies(visit: Visit, cookie: str | None, revoked: bool) -> None:  # noqa: FBT001
    response = await visit().post("logout", cookie=cookie)
    assert outcome(response) == (200, {"revoked": revoked})
    assert_cleared(response)


# strict


async def test_strict_tokens_are_fresh_and_expire(visit: Visit) -> None:
    visitor = visit(strict=True)
    first, second = await visitor.signed_in(), await visitor.signed_in(as_="admin")
    tokens = {cookies[name].value for cookies in (first, second) for name in (ACCESS, REFRESH)}
    assert len(tokens) == 4
    assert await visitor.who(second[ACCESS].value) == "admin"
    await sleep(299)
    assert await visitor.who(first[ACCESS].value) == "devuser"
    await sleep(1)
    assert await visitor.who(first[ACCESS].value) == "Token expired"


async def test_strict_tokens_of_a_removed_persona_are_invalid(visit: Visit) -> None:
    visitor = visit(strict=True)
    tokens = await visitor.signed_in(as_="guest")
    visitor.app.mock_state.personas.remove("guest")
    assert await visitor.who(tokens[ACCESS].value) == "Invalid token"


async def test_strict_refuses_used_and_expired_codes_with_the_reason(visit: Visit) -> None:
    visitor = visit(strict=True)

    async def reason(grant: dict[str, str]) -> object:
        response = await visitor.post("token-exchange", json=grant)
        assert response.status_code == 400
        return response.json()["detail"]

    used, fresh = await visitor.grant(), await visitor.grant()
    assert await reason({**used, "code": "mock-auth-code"}) == "Invalid code"
    assert await reason({**used, "code": fresh["code"]}) == "Invalid code"
    assert (await visitor.post("token-exchange", json=used)).status_code == 200
    assert await reason({**fresh, "code": used["code"]}) == "Code already used"
    assert await reason(used) == "State already used"
    again = await visitor.get("mock-authorize", state=used["state"])
    assert outcome(again) == (400, {"detail": "State already used"})
    await sleep(60)
    assert await reason(fresh) == "Expired code"
    await sleep(540)
    assert await reason(fresh) == "Expired state"
    late = await visitor.get("mock-authorize", state=fresh["state"])
    assert outcome(late) == (400, {"detail": "Expired state"})


async def test_strict_refresh_rotates_and_reuse_ends_the_session(visit: Visit) -> None:
    visitor = visit(strict=True)
    first = await visitor.signed_in()
    second = cookies_of(await visitor.post("refresh", cookie=first[REFRESH].value))
    assert await visitor.who(first[ACCESS].value) == "devuser"
    assert await visitor.who(second[ACCESS].value) == "devuser"
    reused = await visitor.post("refresh", cookie=first[REFRESH].value)
    assert outcome(reused) == (401, {"detail": "Refresh failed: invalid_grant"})
    assert_cleared(reused)
    assert await visitor.who(first[ACCESS].value) == "Invalid token"
    assert await visitor.who(second[ACCESS].value) == "Invalid token"
    after = await visitor.post("refresh", cookie=second[REFRESH].value)
    assert after.status_code == 401


async def test_strict_logout_ends_the_session(visit: Visit) -> None:
    visitor = visit(strict=True)
    tokens = await visitor.signed_in()
    await visitor.post("logout", cookie=tokens[REFRESH].value)
    assert await visitor.who(tokens[ACCESS].value) == "Invalid token"


async def test_strict_expiry_follows_the_clock_of_the_mock(visit: Visit) -> None:
    visitor = visit(strict=True)
    tokens = await visitor.signed_in()
    visitor.app.mock_state.clock.offset += 300
    assert await visitor.who(tokens[ACCESS].value) == "Token expired"


async def test_a_state_of_one_mock_is_invalid_at_another(visit: Visit) -> None:
    one, other = visit(), visit()
    response = await other.post("token-exchange", json=await one.grant())
    assert outcome(response) == (400, {"detail": "Invalid state"})


@pytest.mark.parametrize(("strict", "kind"), [(False, StaticProvider), (True, StrictProvider)])
def test_settings_choose_the_provider(visit: Visit, strict: bool, kind: type) -> None:  # noqa: FBT001
    assert isinstance(visit(strict=strict).app.mock_state.provider, kind)


# CORS


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,authorization",
}


async def preflight(visitor: Visitor, origin: str) -> Response:
    return await visitor.http.options(
        "/_oxa_auth/token-exchange", headers={**PREFLIGHT, "Origin": origin}
    )


@pytest.mark.parametrize("settings", [{}, {"cors_origins": (APP, "https://app.example.com")}])
async def test_an_allowed_origin_is_echoed_with_credentials(
    visit: Visit, settings: dict[str, Any]
) -> None:
    visitor = visit(**settings)
    before, after = await preflight(visitor, APP), await visitor.get("login", {"Origin": APP})
    assert (before.status_code, after.status_code) == (200, 200)
    for response in (before, after):
        assert response.headers["Access-Control-Allow-Origin"] == APP
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in response.headers["Vary"]
    assert "POST" in before.headers["Access-Control-Allow-Methods"]
    assert "content-type" in before.headers["Access-Control-Allow-Headers"].lower()


@pytest.mark.parametrize("origin", ["http://localhost:1", "null", f"{APP}.evil.example"])
async def test_another_origin_is_not_echoed(visit: Visit, origin: str) -> None:
    visitor = visit(cors_origins=(APP,))
    before, after = await preflight(visitor, origin), await visitor.get("login", {"Origin": origin})
    assert (before.status_code, after.status_code) == (400, 200)
    for response in (before, after):
        assert "Access-Control-Allow-Origin" not in response.headers


# OpenAPI


async def test_the_openapi_document_lists_every_status(visit: Visit) -> None:
    paths = (await visit().get("/_mock/api/openapi.json")).json()["paths"]
    statuses = {
        path.removeprefix("/_oxa_auth/"): set(operation["responses"])
        for path, operations in paths.items()
        for operation in operations.values()
    }
    expected = {
        "login": {"200", "422"},
        "mock-authorize": {"200", "302", "400", "422"},
        "callback": {"200", "422"},
        "token-exchange": {"200", "400", "422"},
        "refresh": {"200", "401"},
        "logout": {"200"},
    }
    assert {endpoint: statuses[endpoint] for endpoint in expected} == expected


async def test_the_openapi_document_lists_every_content_type(visit: Visit) -> None:
    paths = (await visit().get("/_mock/api/openapi.json")).json()["paths"]
    authorize = paths["/_oxa_auth/mock-authorize"]["get"]["responses"]
    contents = {status: [*each.get("content", {})] for status, each in authorize.items()}
    json = ["application/json"]
    assert contents == {"200": ["text/html"], "302": [], "400": ["text/html", *json], "422": json}
    assert [*paths["/_oxa_auth/callback"]["get"]["responses"]["200"]["content"]] == ["text/html"]
