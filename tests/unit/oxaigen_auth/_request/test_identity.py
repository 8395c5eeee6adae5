"""One connection, several questions: whose verdict is reused, and what each app sees."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    ProxyAuthClient,
    User,
    aclose_client,
    get_current_user,
    require_permission,
)
from oxaigen_auth._request import identity as module
from oxaigen_auth._validation.verdict import Rejected
from tests.support.apps import COOKIE, GOOD, TestClient, get, make_app, serving_elsewhere
from tests.support.fake_proxy import Call, FakeProxy
from tests.support.raw_server import answer, serving
from tests.support.tokens import MARK, OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

BAD = {"authorization": f"Bearer {OTHER}"}


class ByToken(FakeProxy):
    """Accepts `TOKEN` only."""

    async def respond(self, call: Call) -> Any:
        reply = await super().respond(call)
        return reply if call.token == TOKEN else answer(401)


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "0")
    monkeypatch.setenv("OXAIGEN_AUTH_NEGATIVE_CACHE_TTL_SECONDS", "0")
    async with serving(ByToken()) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        yield server


@pytest.fixture
async def strict() -> AsyncIterator[ProxyAuthClient]:
    """A client whose proxy turns every token down."""
    async with serving(FakeProxy(answer(401))) as server, ProxyAuthClient(server.url) as client:
        yield client


def around(app: ASGIApp, change: Callable[[Scope], Scope | None]) -> ASGIApp:
    """Return an app that serves a scope as `change` returns or leaves it."""

    async def changed(scope: Scope, receive: Receive, send: Send) -> None:
        await app(change(scope) or scope, receive, send)

    return changed


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def test_pitfall_36_a_mounted_app_asks_its_own_proxy(
    proxy: Any, strict: ProxyAuthClient
) -> None:
    outer, inner = make_app(), make_app()
    outer.add_middleware(OxaigenAuthMiddleware)
    inner.add_middleware(OxaigenAuthMiddleware, client=strict)
    outer.mount("/inner", inner)
    for path in ("/inner/me", "/inner/audit"):
        assert (await get(outer, path, GOOD)).status_code == 401
    assert (await get(outer, "/inner/state", GOOD)).json()["auth_error"] == "Invalid token"
    assert (await get(outer, "/me", GOOD)).json() == {"user": "ada"}
    assert len(proxy.requests) == 4
    assert strict.stats().upstream_calls == 3


@pytest.mark.parametrize("stricter_inside", [True, False])
async def test_pitfall_36_a_dependency_asks_the_client_of_the_innermost_middleware(
    proxy: Any,
    strict: ProxyAuthClient,
    stricter_inside: bool,  # noqa: FBT001
) -> None:
    app, clients = make_app(), [strict, None]
    for client in clients if stricter_inside else reversed(clients):
        app.add_middleware(OxaigenAuthMiddleware, client=client)
    assert (await get(app, "/me", GOOD)).status_code == (401 if stricter_inside else 200)
    assert len(proxy.requests) == 1


async def test_each_client_validates_a_connection_once(proxy: Any, strict: ProxyAuthClient) -> None:
    app = make_app()
    for client in (None, strict, None, strict, None):
        app.add_middleware(OxaigenAuthMiddleware, client=client)
    assert (await get(app, "/me", GOOD)).json() == {"user": "ada"}
    assert len(proxy.requests) == 1
    assert strict.stats().upstream_calls == 1


def set_header(scope: Scope) -> None:
    MutableHeaders(scope=scope)["authorization"] = BAD["authorization"]


def change_in_place(scope: Scope) -> None:
    Request(scope).headers.__dict__["_list"][:] = raw(BAD)


def change_a_pair(scope: Scope) -> None:
    (pair,) = [it for it in scope["headers"] if it[0] == b"authorization"]
    pair[1] = BAD["authorization"].encode()


def copied(scope: Scope) -> Scope:
    return {**scope, "headers": raw(BAD)}


CHANGES = pytest.mark.parametrize("change", [set_header, change_in_place, change_a_pair, copied])


@CHANGES
@pytest.mark.parametrize("inner", [True, False])
async def test_pitfall_36_a_scope_with_other_headers_is_another_question(
    proxy: Any,
    change: Any,
    inner: bool,  # noqa: FBT001
) -> None:
    app = make_app()
    if inner:
        app.add_middleware(OxaigenAuthMiddleware)
    outer: ASGIApp = OxaigenAuthMiddleware(around(app, change))
    outer = around(outer, lambda scope: {**scope, "headers": [list(it) for it in scope["headers"]]})
    for path in ("/me", "/audit"):
        assert (await get(outer, path, GOOD)).status_code == 401
    assert (await get(outer, "/maybe", GOOD)).json() == {"user": None}
    assert len(proxy.requests) == 6


async def test_a_changed_scope_with_the_same_question_reuses_the_verdict(proxy: Any) -> None:
    def elsewhere(scope: Scope) -> Scope:
        more = [(b"x-more", b"1"), (b"host", b"other.example.com")]
        headers = [it for it in scope["headers"] if it[0] != b"host"]
        return {**scope, "root_path": "/else", "headers": (*headers, *more), "path": "/me"}

    app = make_app()
    app.add_middleware(OxaigenAuthMiddleware)
    assert (await get(OxaigenAuthMiddleware(around(app, elsewhere)), "/x", GOOD)).status_code == 200
    assert len(proxy.requests) == 1


async def test_another_host_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_SCHEME", "http")
    async with serving(FakeProxy()) as one, serving(FakeProxy(answer(401))) as other:
        host = other.url.removeprefix("http://").encode()

        def elsewhere(scope: Scope) -> Scope:
            return {**scope, "headers": [*raw(GOOD), (b"host", host)]}

        app = OxaigenAuthMiddleware(around(make_app(), elsewhere))
        headers = {**GOOD, "host": one.url.removeprefix("http://")}
        assert (await get(app, "/me", headers)).status_code == 401
    assert (len(one.requests), len(other.requests)) == (1, 1)


async def test_a_default_client_that_was_closed_meanwhile_is_another_question(
    proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = FastAPI()

    async def change_settings() -> None:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", other.url)
        await aclose_client()

    @app.get("/", dependencies=[Depends(get_current_user), Depends(change_settings)])
    async def route(_: User = Depends(get_current_user, use_cache=False)) -> None: ...

    app.add_middleware(OxaigenAuthMiddleware)
    async with serving(FakeProxy(answer(401))) as other:
        assert (await get(app, "/", GOOD)).status_code == 401
        assert len(other.requests) == 1
    assert len(proxy.requests) == 1


async def test_a_connection_keeps_a_limited_number_of_verdicts(proxy: Any) -> None:
    most = module.MAX_VERDICTS
    scope: Scope = {"type": "http", "headers": []}
    for number in (*range(most + 1), most, 0):
        scope["headers"] = [(b"authorization", f"Bearer {MARK}-{number}".encode())]
        identity = await module.identify(scope)
        assert len(identity.verdicts) <= most
    assert len(proxy.requests) == most + 2


async def test_a_token_that_middleware_adds_to_a_connection_without_one_counts(proxy: Any) -> None:
    scope: Scope = {"type": "http", "headers": []}
    assert (await module.identify(scope)).verdict is None
    scope["headers"] = [(b"authorization", f"Bearer {MARK}-1".encode())]
    identity = await module.identify(scope)
    assert isinstance(identity.verdict, Rejected)
    assert identity.verdicts == {}
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("middleware", [True, False])
async def test_pitfall_36_a_method_that_was_overridden_is_guarded_anew(
    proxy: Any,
    middleware: bool,  # noqa: FBT001
) -> None:
    app = FastAPI()

    @app.api_route("/", methods=["GET", "DELETE"])
    async def route(_: User = Depends(get_current_user)) -> str:
        return "done"

    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)

    def override(scope: Scope) -> None:
        scope["method"] = "DELETE"

    evil = {**COOKIE, "origin": "https://evil.example"}
    outer = OxaigenAuthMiddleware(around(app, override))
    refused = await get(outer, "/", evil)
    assert (refused.status_code, refused.json()) == (403, {"detail": "Cross-site request refused"})
    for headers in (GOOD | evil, COOKIE | {"origin": "https://app.example.com"}):
        assert (await get(outer, "/", headers)).json() == "done"
    assert len(proxy.requests) == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_websocket_is_validated_again_if_its_scope_changed(
    monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    with serving_elsewhere(ByToken()) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        app = make_app()

        @app.websocket("/ws/later")
        async def later(websocket: WebSocket) -> None:
            await websocket.accept()
            await get_current_user(websocket)
            websocket.scope["headers"][:] = raw(BAD)
            try:
                await get_current_user(websocket)
            except Exception as error:  # noqa: BLE001 (it is shown)
                await websocket.send_json(getattr(error, "status_code", 0))

        app.add_middleware(OxaigenAuthMiddleware)
        with TestClient(app, backend=backend).websocket_connect("/ws/later", headers=GOOD) as ws:
            assert ws.receive_json() == 1008  # in place of 401, as the WebSocket is open


# What stands in `request.state`.


def seen_outside(seen: list[Any], *, touch: bool) -> Callable[[ASGIApp], ASGIApp]:
    """Return a middleware that notes the user of the state after the call."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            request = HTTPConnection(scope)
            if touch:
                request.state.touched = True
            await app(scope, receive, send)
            user = request.state.user
            seen.append((user and user.user_name, request.state.auth_error))

        return served

    return wrap


@pytest.mark.parametrize("touch", [True, False])
@pytest.mark.usefixtures("proxy")
async def test_pitfall_36_what_a_mounted_app_learns_is_not_shown_outside(
    strict: ProxyAuthClient,
    touch: bool,  # noqa: FBT001
) -> None:
    seen: list[Any] = []
    inner = make_app()
    inner.add_middleware(OxaigenAuthMiddleware, client=strict)
    app = seen_outside(seen, touch=touch)(
        OxaigenAuthMiddleware(seen_outside(seen, touch=touch)(inner))
    )
    body = (await get(app, "/state", GOOD)).json()
    assert body == {"user": None, "auth_error": "Invalid token"}
    assert seen == [("ada", None), ("ada", None)]


@pytest.mark.usefixtures("proxy")
async def test_pitfall_36_the_outer_app_has_its_own_user_while_a_mounted_app_responds(
    strict: ProxyAuthClient,
) -> None:
    seen: list[Any] = []
    inner = make_app()
    inner.add_middleware(OxaigenAuthMiddleware, client=strict)
    app = FastAPI()
    app.mount("/in", inner)

    @app.middleware("http")
    async def log_access(request: Request, call_next: Callable[[Request], Any]) -> Any:
        response = await call_next(request)
        seen.append(request.state.user and request.state.user.user_name)
        return response

    app.add_middleware(OxaigenAuthMiddleware)
    body = (await get(app, "/in/state", GOOD)).json()
    assert body == {"user": None, "auth_error": "Invalid token"}
    assert seen == ["ada"]


async def serve(app: ASGIApp, state: dict[str, Any], headers: dict[str, str]) -> list[Message]:
    """Serve one request whose state the server has made."""
    sent: list[Message] = []

    async def receive() -> Any: ...

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "state": state}
    await app({**scope, "headers": raw(headers)}, receive, send)
    return sent


@pytest.mark.parametrize("touch", [True, False])
@pytest.mark.usefixtures("proxy")
async def test_pitfall_48_requests_after_each_other_may_share_the_servers_state(
    touch: bool,  # noqa: FBT001
) -> None:
    seen: list[Any] = []
    shared: dict[str, Any] = {"pool": "of the lifespan"}

    async def note(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
        state = HTTPConnection(scope).state
        seen.append((state.user and state.user.user_name, state.auth_error))
        assert state.pool == "of the lifespan"

    app = seen_outside(seen, touch=touch)(OxaigenAuthMiddleware(note))
    for headers in (GOOD, {}, BAD, GOOD):
        await serve(app, shared, headers)
        gc.collect()
    expected = [("ada", None), (None, None), (None, "Invalid token"), ("ada", None)]
    assert seen == [it for it in expected for _ in "inside and outside"[:2]]


@pytest.mark.usefixtures("proxy")
async def test_pitfall_48_requests_at_once_may_share_the_servers_state() -> None:
    seen: dict[str, list[Any]] = {"ada": [], "nobody": [], "other": []}
    shared: dict[str, Any] = {}
    arrived, go_on = anyio.Event(), anyio.Event()

    def note(scope: Scope, name: str) -> None:
        state = HTTPConnection(scope).state
        seen[name].append((state.user and state.user.user_name, state.auth_error))

    def app_for(name: str) -> ASGIApp:
        async def wait(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
            note(scope, name)
            arrived.set()
            await go_on.wait()
            note(scope, name)

        async def outside(scope: Scope, receive: Receive, send: Send) -> None:
            await OxaigenAuthMiddleware(wait)(scope, receive, send)
            note(scope, name)

        return outside

    async with anyio.create_task_group() as group:
        group.start_soon(serve, app_for("ada"), shared, GOOD)
        await arrived.wait()
        group.start_soon(serve, app_for("nobody"), shared, {})
        group.start_soon(serve, app_for("other"), shared, BAD)
        await anyio.wait_all_tasks_blocked()
        go_on.set()
    assert seen == {
        "ada": [("ada", None)] * 3,
        "nobody": [(None, None)] * 3,
        "other": [(None, "Invalid token")] * 3,
    }


@pytest.mark.usefixtures("proxy")
async def test_a_user_that_an_app_put_into_the_state_is_replaced() -> None:
    state: dict[str, Any] = {"user": "of the lifespan", "auth_error": 7}
    await serve(OxaigenAuthMiddleware(make_app()), state, GOOD)
    assert (state["user"].user_name, state["auth_error"]) == ("ada", None)


@pytest.mark.parametrize("dependency", [get_current_user, require_permission("audit")])
async def test_a_dependency_called_directly_needs_only_the_connection(
    proxy: Any, dependency: Any
) -> None:
    connection = HTTPConnection({"type": "http", "headers": raw(GOOD)})
    assert (await dependency(connection)).user_name == "ada"
    assert proxy.requests
