from collections.abc import Callable

import pytest
from httpx import AsyncClient, Response

pytestmark = pytest.mark.anyio

Mock = Callable[..., AsyncClient]

COOKIE = "OxaigenPlatformAuthAccessToken"
TOKEN_ENDPOINTS = [
    ("GET", "/_oxa_auth/get-me"),
    ("POST", "/_oxa_auth/test-app-token"),
    ("POST", "/_oxa_auth/test-app-permission/audit"),
]
every_check = pytest.mark.parametrize(("method", "path"), TOKEN_ENDPOINTS)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def outcome(response: Response) -> tuple[int, object]:
    return response.status_code, response.json()


@every_check
async def test_a_call_without_a_token_is_not_authenticated(
    mock: Mock, method: str, path: str
) -> None:
    response = await mock().request(method, path)
    assert outcome(response) == (401, {"detail": "Not authenticated"})
    assert response.headers["WWW-Authenticate"] == "Bearer"


@every_check
async def test_an_unknown_token_is_invalid(mock: Mock, method: str, path: str) -> None:
    response = await mock().request(method, path, headers=bearer("who-is-this"))
    assert outcome(response) == (401, {"detail": "Invalid token"})
    assert response.headers["WWW-Authenticate"] == "Bearer"


@every_check
async def test_the_forbidden_token_is_not_for_this_app(mock: Mock, method: str, path: str) -> None:
    client = mock(forbidden_token="keep-out")
    response = await client.request(method, path, headers=bearer("keep-out"))
    assert outcome(response) == (403, {"detail": "Not allowed for this application."})
    assert "WWW-Authenticate" not in response.headers


@every_check
async def test_a_known_token_can_be_made_the_forbidden_one(
    mock: Mock, method: str, path: str
) -> None:
    client = mock(forbidden_token="mock-dev-token")
    response = await client.request(method, path, headers=bearer("mock-dev-token"))
    assert response.status_code == 403


@every_check
async def test_a_valid_token_is_accepted(mock: Mock, method: str, path: str) -> None:
    response = await mock().request(method, path, headers=bearer("mock-dev-token"))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"


async def test_get_me_returns_the_profile_and_forbids_caching(mock: Mock) -> None:
    response = await mock().get("/_oxa_auth/get-me", headers=bearer("mock-admin-token"))
    assert response.json()["user_name"] == "admin"
    assert response.headers["Cache-Control"] == "no-store"


async def test_test_app_token_answers_true(mock: Mock) -> None:
    response = await mock().post("/_oxa_auth/test-app-token", headers=bearer("mock-guest-token"))
    assert outcome(response) == (200, True)


@pytest.mark.parametrize("name", ["audit", "AUDIT", "work-space_1"])
async def test_a_granted_permission_is_true_however_its_name_is_written(
    mock: Mock, name: str
) -> None:
    client = mock(permissions=("Audit", "Work-Space_1"))
    response = await client.post(
        f"/_oxa_auth/test-app-permission/{name}", headers=bearer("mock-dev-token")
    )
    assert outcome(response) == (200, True)


async def test_a_permission_that_is_not_granted_is_missing(mock: Mock) -> None:
    response = await mock().post(
        "/_oxa_auth/test-app-permission/ownership", headers=bearer("mock-dev-token")
    )
    assert outcome(response) == (403, {"detail": "Missing permission."})


@pytest.mark.parametrize("name", ["a%20b", "%C3%A4", "audit%0A", "a%2Fb", "a.b", "", "a/b"])
async def test_a_bad_permission_name_is_not_found_even_without_a_token(
    mock: Mock, name: str
) -> None:
    response = await mock().post(f"/_oxa_auth/test-app-permission/{name}")
    assert outcome(response) == (404, {"detail": "Not Found"})


async def test_a_path_with_a_slash_too_many_is_not_found_instead_of_redirected(
    mock: Mock,
) -> None:
    response = await mock().get("/_oxa_auth/get-me/", headers=bearer("mock-dev-token"))
    assert outcome(response) == (404, {"detail": "Not Found"})


async def test_the_scheme_may_be_in_any_case(mock: Mock) -> None:
    response = await mock().get(
        "/_oxa_auth/get-me", headers={"Authorization": "bEARER  mock-dev-token "}
    )
    assert response.status_code == 200


async def test_the_header_comes_before_the_cookie(mock: Mock) -> None:
    response = await mock().get(
        "/_oxa_auth/get-me",
        headers={**bearer("mock-guest-token"), "Cookie": f"{COOKIE}=mock-admin-token"},
    )
    assert response.json()["user_name"] == "guest"


@pytest.mark.parametrize("header", ["Basic bW9jazptb2Nr", "Bearer", "Bearer ", "mock-dev-token"])
async def test_without_a_bearer_token_the_cookie_counts(mock: Mock, header: str) -> None:
    response = await mock().get(
        "/_oxa_auth/get-me",
        headers={"Authorization": header, "Cookie": f"{COOKIE}=mock-admin-token"},
    )
    assert response.json()["user_name"] == "admin"


async def test_an_empty_cookie_counts_as_none(mock: Mock) -> None:
    response = await mock().get("/_oxa_auth/get-me", headers={"Cookie": f"{COOKIE}="})
    assert outcome(response) == (401, {"detail": "Not authenticated"})


async def test_the_cookies_name_can_be_chosen(mock: Mock) -> None:
    client = mock(access_cookie_name="crumb")
    chosen = await client.get("/_oxa_auth/get-me", headers={"Cookie": "crumb=mock-dev-token"})
    usual = await client.get("/_oxa_auth/get-me", headers={"Cookie": f"{COOKIE}=mock-dev-token"})
    assert (chosen.status_code, usual.status_code) == (200, 401)


async def test_health_needs_no_token(mock: Mock) -> None:
    response = await mock().get("/health")
    assert outcome(response) == (200, {"status": "ok", "service": "oxaigen-auth-mock"})


async def test_the_openapi_document_names_every_endpoint(mock: Mock) -> None:
    document = (await mock().get("/_mock/api/openapi.json")).json()
    assert {
        path: set(operations)
        for path, operations in document["paths"].items()
        if not path.startswith("/_mock/api")
    } == {
        "/_oxa_auth/get-me": {"get"},
        "/_oxa_auth/test-app-token": {"post"},
        "/_oxa_auth/test-app-permission/{name}": {"post"},
        "/_oxa_auth/login": {"get"},
        "/_oxa_auth/mock-authorize": {"get"},
        "/_oxa_auth/callback": {"get"},
        "/_oxa_auth/token-exchange": {"post"},
        "/_oxa_auth/refresh": {"post"},
        "/_oxa_auth/logout": {"post"},
        "/health": {"get"},
    }
