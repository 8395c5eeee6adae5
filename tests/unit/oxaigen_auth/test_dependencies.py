from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security
from httpx import ASGITransport, AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from oxaigen_auth import (
    AuthClient,
    OxaigenAuthConfigurationError,
    OxaigenAuthMiddleware,
    ProxyAuthClient,
    User,
    aclose_client,
    get_auth_client,
    get_current_user,
    get_current_user_optional,
    require_permission,
)
from oxaigen_auth._default_client import default_client
from tests.support.apps import (
    COOKIE,
    GOOD,
    TestClient,
    WebSocketDenialResponse,
    get,
    make_app,
    serving_elsewhere,
)
from tests.support.fake_proxy import FakeProxy, refusal
from tests.support.raw_server import PROFILE, RawServer, answer, serving
from tests.support.tokens import MARK, OTHER, TOKEN
from tests.unit.oxaigen_auth.test_models import FIELDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from httpx import Response

pytestmark = pytest.mark.anyio

MULTIPLE = [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {OTHER}")]


@pytest.fixture
def override(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_override(server: RawServer) -> None:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)

    return set_override


def says(response: Response) -> tuple[int, str, str | None, str | None]:
    """Return status, detail, challenge and `Retry-After`: all that an answer consists of."""
    headers = response.headers
    detail = response.json()["detail"]
    return response.status_code, detail, headers.get("www-authenticate"), headers.get("retry-after")


NO_TOKEN = (401, "Not authenticated", "Bearer", None)
INVALID = (401, "Invalid token", 'Bearer error="invalid_token"', None)
UNAVAILABLE = (502, "Auth service unavailable", None, None)


# What the proxy answers to get-me, and what every dependency that wants a user says then.
REFUSALS = [
    (refusal(401, "Token expired"), (401, "Token expired", INVALID[2], None)),
    (answer(401, b"<html>"), INVALID),
    (refusal(401, "see https://proxy.internal/x"), INVALID),
    (refusal(401, "x" * 201), INVALID),
    (refusal(401, f"no {TOKEN} here"), INVALID),
    (refusal(401, ["a"]), INVALID),
    (refusal(403, "Not this app"), (403, "Not this app", None, None)),
    (answer(403), (403, "Not allowed for this application", None, None)),
    (answer(200, b'{"is_authenticated": false}'), (401, "Not authenticated", INVALID[2], None)),
]
OUTAGES = [
    (None, UNAVAILABLE),
    (answer(200, b"<html>"), UNAVAILABLE),
    (answer(200, b'{"id": "seven"}'), UNAVAILABLE),
    (answer(200, b'{"is_authenticated": "false"}'), UNAVAILABLE),
    (answer(302, location="/login"), UNAVAILABLE),
    (answer(404), UNAVAILABLE),
    (answer(429, retry_after="7"), (*UNAVAILABLE[:3], "7")),
    (refusal(500, "boom at https://proxy.internal"), UNAVAILABLE),
    (answer(503, retry_after="soon"), UNAVAILABLE),
    (answer(503, retry_after="0"), (*UNAVAILABLE[:3], "0")),
]


@pytest.mark.parametrize("headers", [GOOD, COOKIE], ids=["header", "cookie"])
async def test_a_valid_token_is_accepted_from_the_header_and_from_the_cookie(
    override: Any, headers: Any
) -> None:
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        for path in ("/me", "/maybe", "/audit"):
            response = await get(make_app(), path, headers)
            assert (response.status_code, response.json()) == (200, {"user": "ada"})
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"]
    assert all(f"Bearer {TOKEN}\r\n".encode() in request for request in server.requests)


async def test_without_a_token_the_proxy_is_not_called(override: Any) -> None:
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        for headers in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer "}):
            assert says(await get(make_app(), "/me", headers)) == NO_TOKEN
            assert says(await get(make_app(), "/audit", headers)) == NO_TOKEN
            assert (await get(make_app(), "/maybe", headers)).json() == {"user": None}
    assert proxy.endpoints == []


@pytest.mark.parametrize(("upstream", "expected"), REFUSALS)
async def test_a_rejected_token_is_answered_with_the_detail_of_the_proxy(
    override: Any, upstream: bytes, expected: object
) -> None:
    async with serving(proxy := FakeProxy(upstream)) as server:
        override(server)
        assert says(await get(make_app(), "/me", GOOD)) == expected
        assert says(await get(make_app(), "/audit", GOOD)) == expected
        assert (await get(make_app(), "/maybe", GOOD)).json() == {"user": None}
    assert proxy.endpoints == ["get-me"]


@pytest.mark.parametrize(("upstream", "expected"), OUTAGES)
@pytest.mark.parametrize("path", ["/me", "/maybe", "/audit"])
async def test_an_outage_is_neither_a_rejection_nor_an_anonymous_user(
    override: Any, upstream: bytes | None, expected: object, path: str
) -> None:
    async with serving(FakeProxy(upstream)) as server:
        override(server)
        response = await get(make_app(), path, GOOD)
        assert says(response) == expected
        assert server.url not in response.text


@pytest.mark.parametrize(("upstream", "expected"), OUTAGES)
async def test_an_outage_of_the_permission_check_is_not_a_missing_permission(
    override: Any, upstream: bytes | None, expected: object
) -> None:
    async with serving(FakeProxy(permission=upstream)) as server:
        override(server)
        assert says(await get(make_app(), "/audit", GOOD)) == expected


async def test_a_proxy_that_refuses_connections_is_an_outage(override: Any) -> None:
    async with serving(FakeProxy()) as server:
        override(server)
    assert says(await get(make_app(), "/me", GOOD)) == UNAVAILABLE
    assert says(await get(make_app(), "/maybe", GOOD)) == UNAVAILABLE


async def test_a_proxy_that_stays_silent_is_an_outage_after_the_timeout(
    override: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS", "0.05")

    async def silent(_: bytes) -> Any:
        await anyio.sleep_forever()

    async with serving(silent) as server:
        override(server)
        with anyio.fail_after(60):
            assert says(await get(make_app(), "/me", GOOD)) == UNAVAILABLE


async def test_a_missing_permission_is_named(override: Any) -> None:
    async with serving(proxy := FakeProxy(permission=refusal(403, "no"))) as server:
        override(server)
        for _ in range(2):
            assert says(await get(make_app(), "/audit", GOOD)) == (
                403,
                "Missing permission: audit",
                'Bearer error="insufficient_scope", scope="audit"',
                None,
            )
        assert (await get(make_app(), "/me", GOOD)).status_code == 200
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"]


async def test_a_token_revoked_before_the_permission_check_is_rejected_from_then_on(
    override: Any,
) -> None:
    async with serving(proxy := FakeProxy(permission=refusal(401, "Revoked"))) as server:
        override(server)
        revoked = (401, "Revoked", INVALID[2], None)
        assert says(await get(make_app(), "/audit", GOOD)) == revoked
        assert says(await get(make_app(), "/me", GOOD)) == revoked
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"]


async def test_a_cached_permission_still_needs_a_valid_user() -> None:
    now = 0.0
    app = make_app()
    async with (
        serving(proxy := FakeProxy()) as server,
        ProxyAuthClient(server.url, clock=lambda: now) as client,
    ):
        app.add_middleware(OxaigenAuthMiddleware, client=client)
        assert (await get(app, "/me", GOOD)).status_code == 200
        now = 20.0  # the permission is learnt later than the user, and kept longer
        assert (await get(app, "/audit", GOOD)).status_code == 200
        proxy.user = answer(401)
        now = 31.0
        assert says(await get(app, "/audit", GOOD)) == INVALID
    assert proxy.endpoints == ["get-me", "test-app-permission/audit", "get-me"]


@pytest.mark.parametrize(
    "headers",
    [
        MULTIPLE,
        {"authorization": "Bearer a b"},
        {"authorization": b"Bearer caf\xe9"},
        {"authorization": "Bearer " + "x" * 8193},
        {"cookie": "OxaigenPlatformAuthAccessToken=a b"},
        {"cookie": "OxaigenPlatformAuthAccessToken=a; OxaigenPlatformAuthAccessToken=b"},
    ],
    ids=["several", "space", "bytes", "long", "cookie", "cookies"],
)
async def test_a_malformed_token_is_rejected_without_a_call(override: Any, headers: Any) -> None:
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        for path in ("/me", "/audit"):
            response = await get(make_app(), path, headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert (await get(make_app(), "/maybe", headers)).json() == {"user": None}
    assert proxy.endpoints == []


@pytest.mark.parametrize("path", ["/me", "/maybe", "/audit"])
@pytest.mark.parametrize("host", ["evil.example.org", "bad host", "", "a@b"])
async def test_a_token_is_sent_to_no_host_that_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch, path: str, host: str
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_ALLOWED_HOSTS", "*.example.com")
    response = await get(make_app(), path, {**GOOD, "x-forwarded-host": host})
    assert says(response) == (400, "Invalid host header", None, None)
    assert default_client().stats().upstream_calls == 0


async def test_without_a_token_the_host_does_not_matter() -> None:
    assert says(await get(make_app(), "/me", {"host": "bad host"})) == NO_TOKEN
    assert (await get(make_app(), "/maybe", {"host": "bad host"})).json() == {"user": None}


async def test_the_host_of_the_request_determines_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_SCHEME", "http")
    async with serving(FakeProxy()) as one, serving(FakeProxy(answer(401))) as other:
        for server, status in ((one, 200), (other, 401), (one, 200)):
            host = server.url.removeprefix("http://")
            assert (await get(make_app(), "/me", {**GOOD, "host": host})).status_code == status
    assert (len(one.requests), len(other.requests)) == (1, 1)


async def test_several_dependencies_of_a_request_share_one_lookup(
    override: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "0")
    app = FastAPI(dependencies=[Depends(get_current_user_optional), Depends(get_current_user)])

    async def wants(user: User = Depends(get_current_user)) -> User:
        return user

    @app.get("/", dependencies=[Depends(require_permission("audit"))])
    async def all_of_them(
        first: User = Depends(wants),
        second: User = Security(require_permission("write")),
        third: User | None = Depends(get_current_user_optional, use_cache=False),
    ) -> list[bool]:
        return [first is second, second is third]

    async with serving(proxy := FakeProxy()) as server:
        override(server)
        response = await get(app, "/", GOOD)
        assert response.json() == [True, True]
        assert sorted(proxy.endpoints) == [
            "get-me",
            "test-app-permission/audit",
            "test-app-permission/write",
        ]
        await get(app, "/", GOOD)
        assert proxy.endpoints.count("get-me") == 2


async def test_changes_to_a_user_do_not_reach_another_request(override: Any) -> None:
    app = FastAPI()

    @app.get("/")
    async def vandal(user: User = Depends(get_current_user)) -> User:
        user.workspace_roles.clear()
        user.extra["deep"]["list"].append("x")
        user.extra["more"] = 1
        return user

    profile = b'{"workspace_roles": [{"name": "owner"}], "deep": {"list": []}}'
    async with serving(FakeProxy(answer(200, profile))) as server:
        override(server)
        bodies = [(await get(app, "/", GOOD)).json() for _ in range(3)]
    assert bodies[0]["extra"] == {"deep": {"list": []}}
    assert bodies[0] == bodies[1] == bodies[2]


WIRE = {
    "workspace_permissions": [{"id": "1", "name": "audit", "by": "eve"}],
    "theme": {"dark": True},
    "workspace_roles": None,
    "user_workspace": {"plan": "gold", "id": "w"},
    "id": 7,
}
WRITTEN = {
    **dict.fromkeys(FIELDS),
    "is_authenticated": True,
    "id": 7,
    "user_workspace": {"id": "w", "name": None, "plan": "gold"},
    "workspace_roles": [],
    "workspace_permissions": [{"id": 1, "name": "audit", "description": None, "by": "eve"}],
    "extra": {"theme": {"dark": True}},
}


async def test_a_user_is_serialized_the_same_however_a_route_returns_it(override: Any) -> None:
    app = FastAPI()

    @app.get("/bare")
    async def bare(user: User = Depends(get_current_user)):  # type: ignore[no-untyped-def]  # noqa: ANN202 (the documented form)
        return user

    @app.get("/declared")
    async def declared(user: User = Depends(get_current_user)) -> User:
        return user

    @app.get("/optional")
    async def optional(user: User = Depends(get_current_user)) -> User | None:
        return user

    @app.get("/model", response_model=User)
    async def model(user: User = Depends(get_current_user)) -> Any:
        return user

    @app.get("/dict")
    async def in_dict(user: User = Depends(get_current_user)) -> dict[str, User]:
        return {"it": user}

    @app.get("/any")
    async def in_any(user: User = Depends(get_current_user)) -> Any:
        return {"it": user}

    @app.get("/list")
    async def in_list(user: User = Depends(get_current_user)) -> list[User]:
        return [user]

    async with serving(FakeProxy(answer(200, json.dumps(WIRE).encode()))) as server:
        override(server)
        for path in ("/bare", "/declared", "/optional", "/model", "/dict", "/any", "/list"):
            response = await get(app, path, GOOD)
            assert response.status_code == 200
            body = response.json()
            user = body["it"] if path in {"/dict", "/any"} else body[0] if path == "/list" else body
            assert json.dumps(user) == json.dumps(WRITTEN), path
    schema = (await get(app, "/openapi.json")).json()["components"]["schemas"]["User"]
    assert list(schema["properties"]) == FIELDS


async def test_a_route_that_declares_no_user_may_return_none(override: Any) -> None:
    app = FastAPI()

    @app.get("/")
    async def nobody(user: User | None = Depends(get_current_user_optional)) -> User | None:
        return user

    async with serving(FakeProxy(answer(401))) as server:
        override(server)
        assert (await get(app, "/", GOOD)).json() is None


def test_equal_permission_names_share_one_dependency() -> None:
    assert require_permission("audit") is require_permission("audit")
    assert require_permission("audit") is not require_permission("write")
    assert require_permission("audit").all_of == ("audit",)


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "../get-me", "a%2fb", "a?x", "audit\n", "é", "a.b", 'a"', "\u0667"]
)
def test_a_bad_permission_name_is_a_value_error_where_the_route_is_declared(name: str) -> None:
    with pytest.raises(ValueError, match="is not a permission name"):
        require_permission(name)


async def test_dependencies_can_be_overridden() -> None:
    app = make_app()
    eve = User(user_name="eve")
    app.dependency_overrides[require_permission("audit")] = lambda: eve
    app.dependency_overrides[get_current_user] = lambda: eve
    app.dependency_overrides[get_current_user_optional] = lambda: None
    assert (await get(app, "/audit")).json() == {"user": "eve"}
    assert (await get(app, "/me")).json() == {"user": "eve"}
    assert (await get(app, "/maybe")).json() == {"user": None}


@pytest.mark.parametrize("place", ["route", "router", "app", "nested"])
async def test_pitfall_38_an_override_of_get_current_user_guards_permissions_too(
    override: Any, place: str
) -> None:
    permitted = Depends(require_permission("audit"))

    async def within(_: User = permitted) -> None: ...

    at: dict[str, Any] = {"nested": {"route": [Depends(within)]}}.get(place, {place: [permitted]})
    app = FastAPI(dependencies=at.get("app", []))
    router = APIRouter(dependencies=at.get("router", []))

    @router.get("/", dependencies=at.get("route", []))
    async def route() -> str:
        return "let in"

    app.include_router(router, prefix="/it")

    def refuse() -> None:
        raise HTTPException(451, "banned")

    async with serving(FakeProxy()) as server:
        override(server)
        assert (await get(app, "/it/", GOOD)).json() == "let in"
        app.dependency_overrides[get_current_user] = refuse
        for headers in (GOOD, {}):
            assert (await get(app, "/it/", headers)).status_code == 451


async def test_the_permission_is_checked_for_the_token_of_the_request(override: Any) -> None:
    app = make_app()
    eve = User(user_name="eve")
    app.dependency_overrides[get_current_user] = lambda: eve
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        assert (await get(app, "/audit", GOOD)).json() == {"user": "eve"}
        assert says(await get(app, "/audit")) == NO_TOKEN
        assert (await get(app, "/maybe", GOOD)).json() == {"user": "ada"}
        assert (await get(app, "/me")).json() == {"user": "eve"}
        proxy.permission = answer(403)
        await aclose_client()
        assert (await get(app, "/audit", GOOD)).status_code == 403
        proxy.user = answer(401)
        await aclose_client()
        assert says(await get(app, "/audit", GOOD)) == INVALID


async def test_an_overridden_permission_needs_no_user(override: Any) -> None:
    app = make_app()
    app.dependency_overrides[require_permission("audit")] = lambda: User(user_name="eve")
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        assert (await get(app, "/audit")).json() == {"user": "eve"}
    assert proxy.endpoints == []


async def test_the_result_of_an_override_is_passed_on(override: Any) -> None:
    app = FastAPI()

    @app.get("/")
    async def route(user: Any = Depends(require_permission("audit"))) -> Any:
        return {"user": user}

    async with serving(FakeProxy()) as server:
        override(server)
        for user in (None, "eve", {"name": "eve"}):
            app.dependency_overrides[get_current_user] = lambda user=user: user
            assert (await get(app, "/", GOOD)).json() == {"user": user}


async def test_two_apps_share_the_cached_verdict_of_a_token(override: Any) -> None:
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        outer, inner = make_app(), make_app()
        outer.mount("/inner", inner)
        assert (await get(outer, "/inner/me", GOOD)).json() == {"user": "ada"}
        assert (await get(outer, "/me", GOOD)).json() == {"user": "ada"}
        assert (await get(make_app(), "/me", GOOD)).json() == {"user": "ada"}
    assert proxy.endpoints == ["get-me"]


async def test_many_requests_at_once_make_one_call(override: Any) -> None:
    app = make_app()
    statuses: list[int] = []

    async def ask() -> None:
        statuses.append((await get(app, "/me", GOOD)).status_code)

    async with serving(proxy := FakeProxy()) as server:
        override(server)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask)
    assert statuses == [200] * 20
    assert proxy.endpoints == ["get-me"]


async def test_invalid_settings_fail_the_first_request_with_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_DEV_MODE", "maybe")
    with pytest.raises(OxaigenAuthConfigurationError, match="OXAIGEN_AUTH_DEV_MODE is 'maybe'"):
        await get(make_app(), "/me", GOOD)


@pytest.mark.parametrize("path", ["/me", "/maybe", "/audit"])
async def test_in_production_the_answers_of_a_mock_are_unavailable(
    override: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_ENVIRONMENT", "production")
    for status in (200, 401):
        async with serving(FakeProxy(answer(status, PROFILE, x_oxaigen_mock="1"))) as server:
            override(server)
            await aclose_client()
            assert says(await get(make_app(), path, GOOD)) == UNAVAILABLE


async def test_after_aclose_client_the_next_request_reads_the_settings_afresh(
    override: Any,
) -> None:
    async with serving(FakeProxy()) as one, serving(FakeProxy(answer(401))) as other:
        for server, status in ((one, 200), (other, 401)):
            override(server)
            await aclose_client()
            assert (await get(make_app(), "/me", GOOD)).status_code == status
        await aclose_client()
        await aclose_client()


async def test_a_request_during_which_the_client_is_closed_is_no_server_error(
    override: Any,
) -> None:
    app = FastAPI()

    @app.get("/")
    async def closing(
        _: User = Depends(get_current_user), __: None = Depends(aclose_client)
    ) -> Any:
        return {}

    @app.get("/audit", dependencies=[Depends(get_current_user), Depends(aclose_client)])
    async def audit(user: User = Depends(require_permission("audit"))) -> Any:
        return {"user": user.user_name}

    async with serving(FakeProxy()) as server:
        override(server)
        assert (await get(app, "/", GOOD)).status_code == 200
        response = await get(app, "/audit", GOOD)
        assert response.status_code in {200, 502}


def leaks(caplog: pytest.LogCaptureFixture, *texts: str) -> list[str]:
    said = [*texts, *(record.getMessage() for record in caplog.records)]
    said += [str(record.exc_text) for record in caplog.records]
    return [text for text in said if MARK in text]


@pytest.mark.parametrize("user", [answer(200, PROFILE), answer(401), answer(500), None])
async def test_no_response_log_line_or_repr_shows_a_token(
    override: Any, caplog: pytest.LogCaptureFixture, user: bytes | None
) -> None:
    caplog.set_level(logging.DEBUG, "oxaigen_auth")
    scopes: list[Any] = []
    app = make_app()

    @app.middleware("http")
    async def remember(request: Any, call_next: Any) -> Any:
        scopes.append(request.scope)
        return await call_next(request)

    async with serving(FakeProxy(user)) as server:
        override(server)
        response = await get(app, "/audit", GOOD)
        kept = [repr(v) for key, v in scopes[0].items() if key.startswith("oxaigen_auth")]
        assert kept
        shown = repr(default_client()) + repr(vars(default_client()))
        assert leaks(caplog, response.text, repr(response.headers), shown, *kept) == []


anything = st.lists(
    st.tuples(
        st.sampled_from([b"authorization", b"cookie", b"host", b"x-forwarded-host"]),
        st.binary(max_size=30)
        | st.binary(max_size=10).map(lambda text: b"Bearer " + text)
        | st.binary(max_size=10).map(lambda text: b"OxaigenPlatformAuthAccessToken=" + text),
    ),
    max_size=4,
)
APP = make_app()


@given(headers=anything)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@pytest.mark.parametrize("path", ["/me", "/maybe", "/audit"])
async def test_headers_of_any_bytes_never_give_a_server_error(
    headers: list[tuple[bytes, bytes]], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_ALLOWED_HOSTS", "only.example.com")
    statuses: list[int] = []

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": headers,
        "state": {},
    }
    await APP(scope, receive, send)
    assert statuses[0] in {200, 400, 401}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("with_lifespan", [True, False])
def test_a_test_client_works_with_and_without_lifespan(
    override: Any, backend: Any, *, with_lifespan: bool
) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await aclose_client()

    client = TestClient(make_app(lifespan=lifespan), backend=backend, headers=GOOD)
    with serving_elsewhere(proxy := FakeProxy()) as server:
        override(server)
        if with_lifespan:
            with client:
                bodies = [client.get("/audit").json() for _ in range(3)]
        else:
            bodies = [client.get("/audit").json() for _ in range(3)]
    assert bodies == [{"user": "ada"}] * 3
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_websocket_with_a_valid_token_is_accepted(override: Any, backend: Any) -> None:
    client = TestClient(make_app(), backend=backend)
    with serving_elsewhere(FakeProxy()) as server:
        override(server)
        for headers in (GOOD, COOKIE):
            for path in ("/ws/me", "/ws/maybe", "/ws/audit"):
                with client.websocket_connect(path, headers=headers) as websocket:
                    assert websocket.receive_json() == {"user": "ada"}
        with client.websocket_connect("/ws/maybe") as websocket:
            assert websocket.receive_json() == {"user": None}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("path", "proxy", "headers", "expected"),
    [
        ("/ws/me", FakeProxy(), {}, NO_TOKEN),
        ("/ws/audit", FakeProxy(), {}, NO_TOKEN),
        ("/ws/me", FakeProxy(answer(401)), GOOD, INVALID),
        ("/ws/me", FakeProxy(refusal(403, "No")), GOOD, (403, "No", None, None)),
        ("/ws/me", FakeProxy(answer(503, retry_after="7")), GOOD, (*UNAVAILABLE[:3], "7")),
        ("/ws/maybe", FakeProxy(answer(500)), GOOD, UNAVAILABLE),
        (
            "/ws/audit",
            FakeProxy(permission=answer(403)),
            GOOD,
            (
                403,
                "Missing permission: audit",
                'Bearer error="insufficient_scope", scope="audit"',
                None,
            ),
        ),
    ],
)
def test_a_websocket_is_denied_with_the_same_answers(  # noqa: PLR0913, PLR0917 (a table)
    override: Any, backend: Any, path: str, proxy: FakeProxy, headers: Any, expected: object
) -> None:
    client = TestClient(make_app(), backend=backend)
    with serving_elsewhere(proxy) as server:
        override(server)
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(path, headers=headers),
        ):
            ...
    assert says(denied.value) == expected  # type: ignore[arg-type]  # it is a response as well


def test_a_websocket_for_a_bad_host_is_denied() -> None:
    client = TestClient(make_app())
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect("/ws/me", headers={**GOOD, "x-forwarded-host": "a b"}),
    ):
        ...
    assert denied.value.status_code == 400


async def test_a_dependency_can_be_called_directly(override: Any) -> None:
    async with serving(FakeProxy()) as server:
        override(server)
        headers = [(key.encode(), value.encode()) for key, value in GOOD.items()]
        connection = HTTPConnection({"type": "http", "headers": headers})
        assert (await get_current_user(connection)).user_name == "ada"


class Name(str, Enum):  # noqa: UP042 (what is tested)
    AUDIT = "audit"


class Named(StrEnum):
    AUDIT = "audit"


@pytest.mark.parametrize("name", [Name.AUDIT, Named.AUDIT])
def test_the_value_of_an_enum_member_is_the_permission_name(name: Any) -> None:
    assert require_permission(name) is require_permission("audit")
    assert require_permission(permission_name="audit") is require_permission("audit")
    assert require_permission(name).all_of == ("audit",)
    assert type(require_permission(name).all_of[0]) is str


@pytest.mark.parametrize("name", [None, ["audit"], b"audit", 7])
def test_a_permission_name_must_be_a_string(name: Any) -> None:
    with pytest.raises(ValueError, match="is not a permission name"):
        require_permission(name)


async def test_the_client_of_a_route_is_that_of_the_innermost_middleware(override: Any) -> None:
    async def sign_out(client: AuthClient, token: str) -> Any:
        client.forget(token)
        return {"hits": client.stats().hits, "is_default": client is default_client()}

    outer, inner = FastAPI(), FastAPI()
    for app in (outer, inner):
        app.post("/sign-out")(sign_out)
        app.get("/me", dependencies=[Depends(get_current_user)])(lambda: "in")
    async with serving(proxy := FakeProxy()) as server, ProxyAuthClient(server.url) as client:
        override(server)
        inner.add_middleware(OxaigenAuthMiddleware, client=client)
        outer.mount("/inner", inner)
        for path, is_default in (("", True), ("/inner", False)):
            transport = ASGITransport(outer)
            async with AsyncClient(transport=transport, base_url="http://app") as caller:
                for _ in range(2):
                    assert (await caller.get(f"{path}/me", headers=GOOD)).status_code == 200
                out = await caller.post(f"{path}/sign-out", params={"token": TOKEN})
                assert out.json() == {"hits": 1, "is_default": is_default}
                assert (await caller.get(f"{path}/me", headers=GOOD)).status_code == 200
    assert proxy.endpoints == ["get-me"] * 4


@pytest.mark.parametrize("middleware", [True, False])
def test_scopes_are_refused_by_the_dependency_for_the_client_too(
    middleware: bool,  # noqa: FBT001
) -> None:
    app = FastAPI()

    @app.get("/stats")
    async def stats(_: ProxyAuthClient = Security(get_auth_client, scopes=["admin"])) -> None: ...

    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)
    with pytest.raises(OxaigenAuthConfigurationError, match="nothing checks the scopes 'admin'"):
        with TestClient(app) as client:
            client.get("/stats")
