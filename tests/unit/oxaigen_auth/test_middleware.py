from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oxaigen_auth import (
    OxaigenAuthConfigurationError,
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    ProxyAuthClient,
    User,
    aclose_client,
    get_current_user,
    require_permission,
)
from oxaigen_auth._default_client import default_client
from oxaigen_auth.observers import Observer
from tests.support.apps import (
    COOKIE,
    GOOD,
    TestClient,
    WebSocketDenialResponse,
    get,
    make_app,
    serving_elsewhere,
)
from tests.support.fake_proxy import FakeProxy, InMemory
from tests.support.raw_server import RawServer, answer, serving
from tests.support.tokens import MARK, TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def override(monkeypatch: pytest.MonkeyPatch) -> Callable[[RawServer], None]:
    return lambda server: monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)


def app_with_middleware(**options: Any) -> FastAPI:
    app = make_app(**options)
    app.add_middleware(OxaigenAuthMiddleware)
    return app


def state(user: str | None, error: str | None = None) -> dict[str, str | None]:
    return {"user": user, "auth_error": error}


@pytest.mark.parametrize(
    ("upstream", "headers", "expected"),
    [
        (FakeProxy(), GOOD, state("ada")),
        (FakeProxy(), COOKIE, state("ada")),
        (FakeProxy(), {}, state(None)),
        (FakeProxy(), {"authorization": "Basic YTpi"}, state(None)),
        (FakeProxy(), {"authorization": "Bearer a b"}, state(None, "Invalid token")),
        (
            FakeProxy(answer(401, b'{"detail": "Token expired"}')),
            GOOD,
            state(None, "Token expired"),
        ),
        (FakeProxy(answer(403)), GOOD, state(None, "Not allowed for this application")),
        (FakeProxy(answer(500)), GOOD, state(None, "Auth service unavailable")),
        (FakeProxy(answer(200, b"<html>")), GOOD, state(None, "Auth service unavailable")),
        (FakeProxy(None), GOOD, state(None, "Auth service unavailable")),
    ],
)
async def test_the_middleware_sets_the_user_and_refuses_no_request(
    override: Any, upstream: FakeProxy, headers: Any, expected: object
) -> None:
    async with serving(upstream) as server:
        override(server)
        response = await get(app_with_middleware(), "/state", headers)
    assert (response.status_code, response.json()) == (200, expected)


async def test_an_invalid_host_becomes_an_auth_error() -> None:
    response = await get(app_with_middleware(), "/state", {**GOOD, "host": "a b"})
    assert (response.status_code, response.json()) == (200, state(None, "Invalid host header"))
    behind = await get(app_with_middleware(), "/me", {**GOOD, "host": "a b"})
    assert behind.status_code == 400


@pytest.mark.parametrize(
    ("upstream", "headers", "path", "status"),
    [
        (FakeProxy(), {}, "/me", 401),
        (FakeProxy(), {}, "/maybe", 200),
        (FakeProxy(answer(401)), GOOD, "/me", 401),
        (FakeProxy(answer(401)), GOOD, "/maybe", 200),
        (FakeProxy(answer(403)), GOOD, "/me", 403),
        (FakeProxy(answer(503)), GOOD, "/me", 502),
        (FakeProxy(answer(503)), GOOD, "/maybe", 502),
        (FakeProxy(permission=answer(403)), GOOD, "/audit", 403),
        (FakeProxy(), GOOD, "/audit", 200),
    ],
)
async def test_a_dependency_behind_the_middleware_reuses_its_verdict(  # noqa: PLR0913, PLR0917 (a table)
    override: Any,
    monkeypatch: pytest.MonkeyPatch,
    upstream: FakeProxy,
    headers: Any,
    path: str,
    status: int,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "0")
    monkeypatch.setenv("OXAIGEN_AUTH_NEGATIVE_CACHE_TTL_SECONDS", "0")
    upstream.calls.clear()
    app = app_with_middleware()
    app.add_middleware(OxaigenAuthMiddleware)
    async with serving(upstream) as server:
        override(server)
        assert (await get(app, path, headers)).status_code == status
    assert upstream.endpoints.count("get-me") == bool(headers)


async def test_the_state_and_the_dependency_have_the_same_user(override: Any) -> None:
    app = FastAPI()
    app.add_middleware(OxaigenAuthMiddleware)

    @app.get("/")
    async def same(request: Request, user: User = Depends(get_current_user)) -> bool:
        return request.state.user is user

    async with serving(FakeProxy()) as server:
        override(server)
        assert (await get(app, "/", GOOD)).json() is True


async def test_the_dependencies_use_the_client_of_the_middleware(override: Any) -> None:
    async with serving(mine := FakeProxy()) as server, serving(other := FakeProxy()) as elsewhere:
        override(elsewhere)
        async with ProxyAuthClient(server.url) as client:
            app = make_app()
            app.add_middleware(OxaigenAuthMiddleware, client=client)
            assert (await get(app, "/audit", GOOD)).json() == {"user": "ada"}
            assert (await get(app, "/state", GOOD)).json() == state("ada")
            assert client.stats().upstream_calls == 2
    assert mine.endpoints == ["get-me", "test-app-permission/audit"]
    assert other.endpoints == []


async def test_the_settings_of_the_middlewares_client_apply_to_cookie_name_and_hosts() -> None:
    async with serving(FakeProxy()) as server:
        options = OxaigenAuthSettings(
            proxy_scheme="http", access_token_cookie_name="mine", allowed_hosts=("127.0.0.1:*",)
        )
        client = ProxyAuthClient(settings=options)
        app = make_app()
        app.add_middleware(OxaigenAuthMiddleware, client=client)
        headers = {"cookie": f"mine={TOKEN}", "host": server.url.removeprefix("http://")}
        assert (await get(app, "/me", headers)).json() == {"user": "ada"}
        assert (await get(app, "/me", {**headers, "host": "127.0.0.2"})).status_code == 400
        await client.aclose()


async def test_a_host_that_the_middleware_refused_is_refused_by_a_dependency(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_SCHEME", "http")
    strict = OxaigenAuthSettings(allowed_hosts=("app.example.com",))
    app = make_app()
    app.add_middleware(OxaigenAuthMiddleware, client=ProxyAuthClient(settings=strict))
    async with serving(evil := FakeProxy()) as server:
        headers = {**GOOD, "host": server.url.removeprefix("http://")}
        for path in ("/me", "/maybe", "/audit"):
            assert (await get(app, path, headers)).status_code == 400
    assert [it.levelname for it in caplog.records] == ["WARNING", "DEBUG", "DEBUG", "DEBUG"]
    assert evil.endpoints == []


def test_pitfall_39_a_subclass_with_the_published_hook_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^Mine\.dispatch would never be called: "):

        class Mine(OxaigenAuthMiddleware):
            async def dispatch(self) -> None: ...

    class Other(OxaigenAuthMiddleware):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    assert issubclass(Other, OxaigenAuthMiddleware)


async def test_mounted_apps_reuse_the_verdict_of_the_outer_middleware(
    override: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "0")
    outer = app_with_middleware()
    outer.mount("/plain", make_app())
    outer.mount("/guarded", app_with_middleware())
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        for path in ("/plain/state", "/plain/me", "/guarded/state", "/guarded/me"):
            proxy.calls.clear()
            response = await get(outer, path, GOOD)
            assert response.json()["user"] == "ada"
            assert proxy.endpoints == ["get-me"]


async def test_two_apps_with_their_own_clients_share_nothing() -> None:
    async with serving(FakeProxy()) as good, serving(FakeProxy(answer(401))) as bad:
        async with ProxyAuthClient(good.url) as one, ProxyAuthClient(bad.url) as other:
            first, second = make_app(), make_app()
            first.add_middleware(OxaigenAuthMiddleware, client=one)
            second.add_middleware(OxaigenAuthMiddleware, client=other)
            for _ in range(2):
                assert (await get(first, "/me", GOOD)).status_code == 200
                assert (await get(second, "/me", GOOD)).status_code == 401
        assert (len(good.requests), len(bad.requests)) == (1, 1)


def http_scope(headers: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/state",
        "query_string": b"",
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
        **more,
    }


async def nothing() -> Any: ...


async def ignore(_: Any) -> None: ...


async def test_a_middleware_outside_sees_the_user_after_the_call(override: Any) -> None:
    seen: list[str | None] = []
    app = app_with_middleware()

    @app.middleware("http")
    async def log(request: Request, call_next: Any) -> Any:
        request.state.touched = True
        response = await call_next(request)
        seen.append(request.state.user and request.state.user.user_name)
        return response

    async with serving(FakeProxy()) as server:
        override(server)
        for headers in (GOOD, {}):
            assert (await get(app, "/state", headers)).status_code == 200
    assert seen == ["ada", None]


async def test_other_scopes_pass_unchanged() -> None:
    seen: list[tuple[Scope, Receive, Send]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))
        await anyio.lowlevel.checkpoint()

    scope = {"type": "something.new"}
    await OxaigenAuthMiddleware(app)(scope, nothing, ignore)
    assert seen == [({"type": "something.new"}, nothing, ignore)]
    assert seen[0][0] is scope
    assert default_client.cache_info().currsize == 0


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"cookie", b"host", b"x-forwarded-host"]),
            st.binary(max_size=30) | st.binary(max_size=10).map(lambda text: b"Bearer " + text),
        ),
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_headers_of_any_bytes_reach_the_route(
    headers: list[tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_ALLOWED_HOSTS", "only.example.com")
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
        seen.append(scope["state"])
        await anyio.lowlevel.checkpoint()

    scope = {**http_scope({}), "headers": headers}
    await OxaigenAuthMiddleware(app)(scope, nothing, ignore)
    assert seen[0]["user"] is None
    assert seen[0]["auth_error"] is None or type(seen[0]["auth_error"]) is str


def lifespan_app(events: list[str], failure: Exception | None = None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        events.append("start")
        if failure is not None:
            raise failure
        yield {"pool": "the pool"}
        events.append("stop")

    app = make_app(lifespan=lifespan)

    @app.get("/pool")
    async def pool(request: Request) -> Any:
        return {"pool": request.state.pool, **state(request.state.user and "somebody")}

    app.add_middleware(OxaigenAuthMiddleware)
    return app


@BACKENDS
def test_the_lifespan_of_the_app_runs_inside_the_middleware(override: Any, backend: Any) -> None:
    events: list[str] = []
    with serving_elsewhere(proxy := FakeProxy()) as server:
        override(server)
        with TestClient(lifespan_app(events), backend=backend, headers=GOOD) as client:
            assert events == ["start"]
            assert client.get("/state").json() == state("ada")
            assert client.get("/audit").json() == {"user": "ada"}
            assert client.get("/pool").json() == {"pool": "the pool", **state("somebody")}
            assert client.get("/pool", headers={"authorization": ""}).json()["user"] is None
    assert events == ["start", "stop"]
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"]


@BACKENDS
def test_the_same_app_starts_and_stops_more_than_once(override: Any, backend: Any) -> None:
    app = app_with_middleware()
    with serving_elsewhere(FakeProxy()) as server:
        override(server)
        for _ in range(3):
            with TestClient(app, backend=backend, headers=GOOD) as client:
                assert client.get("/state").json() == state("ada")
        assert TestClient(app, backend=backend, headers=GOOD).get("/me").status_code == 200


@BACKENDS
def test_a_lifespan_that_fails_passes_its_own_exception_on(backend: Any) -> None:
    class Broken(Exception):  # noqa: N818 (a test's own)
        pass

    failure = Broken("no database")
    with pytest.raises(Broken) as caught, TestClient(lifespan_app([], failure), backend=backend):
        ...
    assert caught.value is failure


async def test_shutdown_is_complete_only_when_the_connections_are_closed() -> None:
    """A server may cancel the lifespan as soon as it hears of it; hypercorn does on asyncio."""
    events: list[str] = []

    class NotedEnd(InMemory):
        async def aclose(self) -> None:
            await anyio.lowlevel.checkpoint()
            events.append("closed")

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        events.append(message["type"])

    default_client().validator.open_upstream = lambda: NotedEnd(FakeProxy(), Observer())
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    await lifespan_app(events)({"type": "lifespan", "state": {}}, receive, send)
    assert events == [
        "start",
        "lifespan.startup.complete",
        "stop",
        "closed",
        "lifespan.shutdown.complete",
    ]


@BACKENDS
def test_without_lifespan_every_request_has_its_own_event_loop_and_leaves_nothing(
    override: Any, monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "0")
    client = TestClient(app_with_middleware(), backend=backend, headers=GOOD)
    with serving_elsewhere(proxy := FakeProxy()) as server:
        override(server)
        for _ in range(3):
            assert client.get("/audit").json() == {"user": "ada"}
        assert server.connections == 3
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"] * 3


@BACKENDS
@pytest.mark.parametrize("times", [1, 2])
def test_the_lifespan_may_close_the_default_client_itself(
    override: Any, backend: Any, times: int
) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await aclose_client()

    app = make_app(lifespan=lifespan)
    for _ in range(times):
        app.add_middleware(OxaigenAuthMiddleware)
    with serving_elsewhere(FakeProxy()) as server:
        override(server)
        for _ in range(2):
            with TestClient(app, backend=backend, headers=GOOD) as client:
                assert client.get("/state").json() == state("ada")
            assert default_client.cache_info().currsize == 0


@BACKENDS
def test_a_client_of_the_middleware_may_be_opened_by_the_lifespan(backend: Any) -> None:
    with serving_elsewhere(FakeProxy()) as server:
        auth = ProxyAuthClient(server.url)

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
            async with auth:
                yield

        app = make_app(lifespan=lifespan)
        app.add_middleware(OxaigenAuthMiddleware, client=auth)
        with TestClient(app, backend=backend, headers=GOOD) as client:
            assert client.get("/audit").json() == {"user": "ada"}
        assert auth.stats().upstream_calls == 2


@BACKENDS
def test_invalid_settings_prevent_the_start_of_the_app(
    monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_DEV_MODE", "maybe")
    with (
        pytest.raises(OxaigenAuthConfigurationError, match="OXAIGEN_AUTH_DEV_MODE"),
        TestClient(app_with_middleware(), backend=backend),
    ):
        ...


@BACKENDS
def test_a_websocket_has_the_same_state(override: Any, backend: Any) -> None:
    app = app_with_middleware()

    @app.websocket("/ws/state")
    async def tell(websocket: WebSocket) -> None:
        await websocket.accept()
        user, error = websocket.state.user, websocket.state.auth_error
        await websocket.send_json(state(user and user.user_name, error))
        await websocket.close()

    client = TestClient(app, backend=backend)
    with serving_elsewhere(proxy := FakeProxy()) as server:
        override(server)
        with client.websocket_connect("/ws/state", headers=GOOD) as websocket:
            assert websocket.receive_json() == state("ada")
        with client.websocket_connect("/ws/state") as websocket:
            assert websocket.receive_json() == state(None)
        with client.websocket_connect("/ws/me", headers=GOOD) as websocket:
            assert websocket.receive_json() == {"user": "ada"}
        bad = {"authorization": "Bearer a b"}
        with client.websocket_connect("/ws/state", headers=bad) as websocket:
            assert websocket.receive_json() == state(None, "Invalid token")
    assert proxy.endpoints == ["get-me"]


async def test_another_middleware_may_be_inside_or_outside(override: Any) -> None:
    app = make_app()
    seen: list[str | None] = []

    async def note(request: Request, call_next: Any) -> Any:
        request.state.noted = True
        response = await call_next(request)
        seen.append(getattr(Request(request.scope).state, "user", None))
        return response

    @app.get("/noted", dependencies=[Depends(require_permission("audit"))])
    async def noted(request: Request) -> bool:
        return bool(request.state.noted)

    app.middleware("http")(note)
    app.add_middleware(OxaigenAuthMiddleware)
    app.middleware("http")(note)
    async with serving(proxy := FakeProxy()) as server:
        override(server)
        assert (await get(app, "/noted", GOOD)).json() is True
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"]
    assert [isinstance(user, User) for user in seen] == [True, True]


async def test_an_exception_of_the_app_is_raised_unchanged(override: Any) -> None:
    app = app_with_middleware()
    failure = RuntimeError("a bug of the app")

    @app.get("/bug")
    async def bug() -> None:
        raise failure

    async with serving(FakeProxy()) as server:
        override(server)
        with pytest.raises(RuntimeError) as caught:
            await get(app, "/bug", GOOD)
    assert caught.value is failure


async def test_no_auth_error_or_log_line_shows_a_token(
    override: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = answer(401, b'{"detail": "no %s here"}' % TOKEN.encode())
    for upstream in (echo, answer(500), None):
        await aclose_client()
        async with serving(FakeProxy(upstream)) as server:
            override(server)
            response = await get(app_with_middleware(), "/state", GOOD)
            assert response.json()["auth_error"]
            assert MARK not in response.text
            assert server.url not in response.text
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("oxaigen_auth")]
    assert len(ours) == 3
    assert not [text for text in caplog.messages if MARK in text]


async def test_a_disconnected_caller_does_not_affect_others(override: Any) -> None:
    app: ASGIApp = app_with_middleware()
    asked, go_on = anyio.Event(), anyio.Event()
    answers: list[Any] = []

    async def slow(_: bytes) -> bytes | None:
        asked.set()
        await go_on.wait()
        return answer(200, b'{"user_name": "ada"}')

    async def leave(scope: anyio.CancelScope) -> None:
        with scope:
            answers.append(await get(app, "/state", GOOD))

    async def stay() -> None:
        answers.append((await get(app, "/state", GOOD)).json())

    async with serving(slow) as server:
        override(server)
        first = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(leave, first)
            await asked.wait()
            group.start_soon(stay)
            await anyio.wait_all_tasks_blocked()
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    assert answers == [state("ada")]
    assert len(server.requests) == 1


async def test_a_stale_user_is_served_with_an_auth_error(
    override: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "2")
    monkeypatch.setenv("OXAIGEN_AUTH_STALE_IF_ERROR_SECONDS", "60")
    upstream, app = FakeProxy(), app_with_middleware()
    async with serving(upstream) as server:
        override(server)
        # The first lookup of a process reads the certificates, which may take longer than the TTL.
        await get(app, "/state", {"authorization": f"Bearer {MARK}-first"})
        assert (await get(app, "/state", GOOD)).json() == state("ada")
        upstream.user = answer(503)
        await anyio.sleep(2.1)
        said = (await get(app, "/state", GOOD)).json()
        assert said == state("ada", "Auth service unavailable")
        assert (await get(app, "/me", GOOD)).json() == {"user": "ada"}


@pytest.mark.parametrize(("status", "calls", "throttled"), [(401, 3, 2), (403, 5, 0)])
async def test_pitfall_22_an_address_with_too_many_bad_tokens_costs_the_proxy_nothing(
    override: Any, monkeypatch: pytest.MonkeyPatch, status: int, calls: int, throttled: int
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MAX_REJECTED_PER_MINUTE", "2")
    upstream, app = FakeProxy(), app_with_middleware()
    async with serving(upstream) as server:
        override(server)
        assert (await get(app, "/me", GOOD)).status_code == 200
        upstream.user, upstream.calls = answer(status), []
        responses = [await get(app, "/me", headers) for headers in junk(5)]
        statuses = [response.status_code for response in responses]
        assert statuses == [status] * (5 - throttled) + [429] * throttled
        assert (await get(app, "/me", GOOD)).json() == {"user": "ada"}
    assert len(upstream.calls) == calls
    assert default_client().stats().rate_limited == throttled


def junk(count: int) -> list[dict[str, str]]:
    return [{"authorization": f"Bearer {MARK}-{number}"} for number in range(count)]


@BACKENDS
@pytest.mark.parametrize("middleware", [True, False])
def test_pitfall_44_a_throttled_address_is_told_so_by_every_dependency(
    override: Any,
    monkeypatch: pytest.MonkeyPatch,
    backend: Any,
    middleware: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MAX_REJECTED_PER_MINUTE", "2")
    app, upstream = make_app(), FakeProxy(answer(401))
    app.add_middleware(OxaigenAuthMiddleware)
    with serving_elsewhere(upstream) as server:
        override(server)
        bare = make_app() if not middleware else app
        client = TestClient(bare, backend=backend)
        for headers in junk(3):
            assert client.get("/me", headers=headers).status_code == 401
        upstream.user = answer(200, b'{"user_name": "ada"}')
        for headers in (GOOD, COOKIE, *junk(4)):
            for path in ("/me", "/maybe", "/audit"):
                response = client.get(path, headers=headers)
                assert response.status_code == 429
                assert response.json() == {"detail": "Too many rejected tokens"}
                assert 1 <= int(response.headers["retry-after"]) <= 60
                assert "www-authenticate" not in response.headers
                with pytest.raises(WebSocketDenialResponse) as denied:
                    client.websocket_connect(f"/ws{path}", headers=headers).__enter__()
                assert denied.value.status_code == 429
        told = TestClient(app, backend=backend).get("/state", headers=GOOD).json()
        assert told == state(None, "Too many rejected tokens")
        assert client.get("/maybe").json() == {"user": None}
    assert upstream.endpoints == ["get-me"] * 3


async def test_a_rate_limited_address_is_accepted_after_retry_after() -> None:
    now = 0.0
    options = OxaigenAuthSettings(max_rejected_per_minute=1, negative_cache_ttl_seconds=0)
    async with serving(upstream := FakeProxy(answer(401))) as server:
        client = ProxyAuthClient(server.url, settings=options, clock=lambda: now)
        app = make_app()
        app.add_middleware(OxaigenAuthMiddleware, client=client)
        for headers in junk(2):
            assert (await get(app, "/me", headers)).status_code == 401
        upstream.user = answer(200, b'{"user_name": "ada"}')
        for now, seconds in (  # noqa: B007 (the client reads it)
            (0.5, "60"),
            (59.0, "1"),
            (59.9, "1"),
        ):
            response = await get(app, "/me", GOOD)
            assert (response.status_code, response.headers["retry-after"]) == (429, seconds)
        now = 60.0
        assert (await get(app, "/me", GOOD)).status_code == 200
        await client.aclose()


@pytest.mark.parametrize(
    "address",
    [None, (), ("", 0), ("", None), (None, None), ("/run/app.sock", None), ("unix:", 0), ["@a", 0]],
)
async def test_pitfall_44_a_connection_without_a_network_address_is_not_throttled(
    override: Any, monkeypatch: pytest.MonkeyPatch, address: Any
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MAX_REJECTED_PER_MINUTE", "1")
    app = app_with_middleware()

    async def from_there(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": address}, receive, send)

    async with serving(FakeProxy(answer(401))) as server:
        override(server)
        for headers in junk(5):
            assert (await get(from_there, "/me", headers)).status_code == 401
    assert default_client().stats().rate_limited == 0


class Recorder:
    """A server's side of a lifespan: gives these messages, and notes what it is sent."""

    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        await anyio.lowlevel.checkpoint()
        return {"type": self.messages.pop(0)}

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent.append(message)


async def started(app: ASGIApp) -> Message:
    """Start an app that cannot start; return what it sends to the server."""
    server = Recorder("lifespan.startup")
    with pytest.raises(Exception) as caught:  # noqa: PT011 (any of them: the server hears of it)
        await app({"type": "lifespan", "state": {}}, server.receive, server.send)
    (message,) = server.sent
    assert server.messages == []
    assert message["message"] == str(caught.value)
    return message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEV_MODE", "maybe"),
        ("ALLOWED_HOSTS", "https://app.example.com"),
        ("PROXY_URL_OVERRIDE", "app.example.com"),
        ("CACHE_TTL_SECONDS", "-1"),
    ],
)
async def test_pitfall_40_a_bad_setting_fails_the_start_before_the_apps_own(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
) -> None:
    events: list[str] = []
    monkeypatch.setenv(f"OXAIGEN_AUTH_{variable}", value)
    for app in (lifespan_app(events), OxaigenAuthMiddleware(lifespan_app(events))):
        message = await started(app)
        assert message["type"] == "lifespan.startup.failed"
        assert f"OXAIGEN_AUTH_{variable} is" in message["message"]
        assert message["message"] in caplog.text
    assert events == []


async def test_pitfall_40_a_client_that_is_none_or_closed_fails_the_start() -> None:
    closed = ProxyAuthClient("https://app.example.com")
    await closed.aclose()
    wrong: Any = "https://app.example.com"
    for client, said in ((closed, "closed"), (wrong, "client=str")):
        app = make_app()
        app.add_middleware(OxaigenAuthMiddleware, client=client)
        message = await started(app)
        assert message["type"] == "lifespan.startup.failed"
        assert said in message["message"]


@BACKENDS
@pytest.mark.parametrize("path", ["/me", "/state", "/ws/me"])
def test_pitfall_40_without_a_lifespan_a_bad_setting_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch, backend: Any, path: str
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_DEV_MODE", "maybe")
    client = TestClient(app_with_middleware(), backend=backend)
    for headers in (GOOD, {}):
        with pytest.raises(OxaigenAuthConfigurationError, match="OXAIGEN_AUTH_DEV_MODE"):
            if "ws" in path:
                client.websocket_connect(path, headers=headers).__enter__()
            client.get(path, headers=headers)
    quiet = TestClient(app_with_middleware(), backend=backend, raise_server_exceptions=False)
    assert quiet.get("/me", headers=GOOD).status_code == 500
