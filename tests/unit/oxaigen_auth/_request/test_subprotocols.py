"""A WebSocket's token among its sub-protocols: which is read, and that no app sends it back."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket

from oxaigen_auth import (
    OxaigenAuthConfigurationError,
    OxaigenAuthMiddleware,
    OxaigenAuthUnauthenticatedError,
    User,
    extract_bearer_token,
    get_current_user,
)
from oxaigen_auth._syntax.tokens import MAX_TOKEN
from tests.support.apps import (
    COOKIE,
    GOOD,
    TestClient,
    WebSocketDenialResponse,
    connection,
    get,
    serving_elsewhere,
)
from tests.support.fake_proxy import REVOKED, Call, FakeProxy
from tests.support.heap_search import Graph
from tests.support.tokens import MARK, OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PREFIX = "base64url.bearer.authorization.oxaigen."
each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def encoded(token: str) -> str:
    return urlsafe_b64encode(token.encode("latin-1")).decode().rstrip("=")


def offer(token: str) -> str:
    return PREFIX + encoded(token)


def token(*values: str, kind: str = "websocket", **others: str) -> str | None:
    offered = [("sec-websocket-protocol", value) for value in values]
    return extract_bearer_token(connection(*offered, *others.items(), kind=kind))


@pytest.mark.parametrize(
    "values",
    [
        [offer(TOKEN)],
        [f"chat, {offer(TOKEN)}"],
        [f"{offer(TOKEN)},chat"],
        [f" {offer(TOKEN)}\t, chat "],
        ["chat", offer(TOKEN)],
        [f"{offer(TOKEN)}, v2.chat", "v1.chat"],
        [f"chat, {PREFIX.upper()}{encoded(TOKEN)}"],
    ],
)
def test_the_token_is_one_of_the_offered_sub_protocols(values: list[str]) -> None:
    assert token(*values) == TOKEN


@pytest.mark.parametrize("text", ["a", "ab", "abc", "?>~|", "x" * MAX_TOKEN])
def test_any_token_can_be_offered(text: str) -> None:
    assert token(f"chat, {offer(text)}") == text


@pytest.mark.parametrize(
    "value",
    [
        "",
        "chat",
        TOKEN,
        PREFIX,
        PREFIX[:-1] + encoded(TOKEN),
        f"x{offer(TOKEN)}",
        offer(TOKEN).replace("oxaigen", "k8s"),
        f"chat;{offer(TOKEN)}",
    ],
)
def test_other_sub_protocols_and_an_empty_one_are_no_token(value: str) -> None:
    assert token(value) is None
    assert token(f"chat, {value}", cookie=f"OxaigenPlatformAuthAccessToken={OTHER}") == OTHER


@pytest.mark.parametrize(
    "value",
    [
        PREFIX + "a",
        PREFIX + encoded(TOKEN) + "=",
        PREFIX + "YQ==",
        PREFIX + "Pz5+",
        PREFIX + "Pz/-",
        PREFIX + "YW Jj",
        PREFIX + "YQ.YQ",
        PREFIX + "caf\xe9",
        offer("two words"),
        offer("caf\xe9"),
        offer("line\nbreak"),
        offer("x" * (MAX_TOKEN + 1)),
    ],
)
def test_a_malformed_token_is_refused_and_not_ignored(value: str) -> None:
    for others in ({}, {"cookie": f"OxaigenPlatformAuthAccessToken={OTHER}"}):
        with pytest.raises(OxaigenAuthUnauthenticatedError, match=r"^Invalid token$") as caught:
            token(f"chat, {value}", **others)
        assert caught.value.reason == "malformed_token"


@pytest.mark.parametrize(
    "values",
    [
        [f"{offer(TOKEN)}, {offer(OTHER)}"],
        [offer(TOKEN), offer(TOKEN)],
        [offer(TOKEN), f"chat, {PREFIX}"],
    ],
)
def test_several_tokens_among_the_sub_protocols_are_refused(values: list[str]) -> None:
    message = "More than one token among the sub"
    with pytest.raises(OxaigenAuthUnauthenticatedError, match=message) as caught:
        token(*values)
    assert caught.value.reason == "several_tokens"


def test_the_authorization_header_must_have_the_same_token() -> None:
    header = {"authorization": f"Bearer {TOKEN}"}
    assert token(offer(TOKEN), **header) == TOKEN
    with pytest.raises(OxaigenAuthUnauthenticatedError, match=r"^More than one token$") as caught:
        token(offer(OTHER), **header)
    assert caught.value.reason == "several_tokens"
    assert token(offer(TOKEN), authorization="Basic YWRhOng=") == TOKEN
    assert token(PREFIX, **header) == TOKEN


def test_a_server_may_leave_the_sub_protocols_in_the_scope_alone() -> None:
    given = connection(kind="websocket")
    given.scope["subprotocols"] = ["chat", offer(TOKEN)]
    assert extract_bearer_token(given) == TOKEN


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("middleware", [True, False])
def test_the_header_is_added_for_a_server_that_removes_it(middleware: bool) -> None:  # noqa: FBT001
    app = FastAPI()
    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)

    @app.websocket("/")
    async def route(websocket: WebSocket, user: User = Depends(get_current_user)) -> None:
        await websocket.accept(first(websocket))
        again = await get_current_user(websocket)
        known = extract_bearer_token(websocket) == TOKEN
        await websocket.send_json([user.user_name, again is user, known])
        await websocket.close()

    async def without_header(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"] = [it for it in scope["headers"] if it[0] != b"sec-websocket-protocol"]
        await app(scope, receive, send)

    with TestClient(without_header).websocket_connect("/", [offer(TOKEN), "chat"]) as websocket:
        assert websocket.accepted_subprotocol == "chat"
        assert websocket.receive_json() == ["ada", True, True]


def test_the_sub_protocol_comes_before_the_cookie() -> None:
    assert token(offer(TOKEN), cookie=f"OxaigenPlatformAuthAccessToken={OTHER}") == TOKEN


def test_http_requests_have_no_sub_protocols() -> None:
    assert token(offer(TOKEN), kind="http") is None


def test_a_refusal_keeps_no_token_in_its_traceback() -> None:
    for value in (f"{offer(TOKEN)}, {offer(TOKEN)}", offer(f"{TOKEN} b"), offer(TOKEN) + "="):
        given = connection(("sec-websocket-protocol", value), kind="websocket")
        with pytest.raises(OxaigenAuthUnauthenticatedError) as caught:
            extract_bearer_token(given)
        for text in (MARK, encoded(TOKEN)):
            assert Graph(text, is_end=partial(is_, given)).find(caught.value) == []


class ByToken(FakeProxy):
    """Accepts `TOKEN` only."""

    async def respond(self, call: Call) -> Any:
        reply = await super().respond(call)
        return reply if call.token == TOKEN else REVOKED


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProxy]:
    proxy = ByToken()
    with serving_elsewhere(proxy) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        yield proxy


def app_accepting(subprotocol: Any, *, middleware: bool) -> FastAPI:
    """Return an app that accepts `subprotocol(websocket)` and sends what it was offered."""
    app = FastAPI()
    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)

    @app.get("/")
    async def over_http(request: Request, user: User = Depends(get_current_user)) -> Any:
        return [user.user_name, request.headers["sec-websocket-protocol"]]

    @app.websocket("/")
    async def route(websocket: WebSocket, user: User = Depends(get_current_user)) -> None:
        await websocket.accept(subprotocol(websocket))
        await websocket.send_json([user.user_name, websocket.scope["subprotocols"]])
        await websocket.close()

    return app


def first(websocket: WebSocket) -> Any:
    return next(iter(websocket.scope["subprotocols"]), None)


@each_backend
@pytest.mark.parametrize("middleware", [True, False])
@pytest.mark.usefixtures("proxy")
def test_the_app_selects_from_the_other_sub_protocols(
    backend: Any,
    middleware: bool,  # noqa: FBT001
) -> None:
    client = TestClient(app_accepting(first, middleware=middleware), backend=backend)
    for others in ([], ["chat"], ["v2.chat", "v1.chat"]):
        offered = [offer(TOKEN), *others]
        with client.websocket_connect("/", subprotocols=offered) as websocket:
            assert websocket.accepted_subprotocol == (others[0] if others else None)
            assert websocket.receive_json() == ["ada", others]


@each_backend
@pytest.mark.parametrize(
    "echo",
    [
        lambda websocket: websocket.headers["sec-websocket-protocol"].split(", ")[0],
        lambda websocket: websocket.headers["sec-websocket-protocol"],
        lambda websocket: websocket.headers["sec-websocket-protocol"].split(", ")[0].upper(),
    ],
)
@pytest.mark.usefixtures("proxy")
def test_the_middleware_refuses_to_send_the_token_back(backend: Any, echo: Any) -> None:
    client = TestClient(app_accepting(echo, middleware=True), backend=backend)
    with pytest.raises(
        OxaigenAuthConfigurationError, match="send the caller's token back"
    ) as error:
        client.websocket_connect("/", subprotocols=[offer(TOKEN), "chat"]).__enter__()
    assert encoded(TOKEN) not in str(error.value)


@each_backend
@pytest.mark.parametrize("name", [b"sec-websocket-protocol", b"Sec-WebSocket-Protocol"])
@pytest.mark.parametrize("values", [list, iter])
def test_the_middleware_refuses_to_send_the_token_back_in_a_header(
    backend: Any, name: bytes, values: Callable[[list[Any]], Iterable[Any]]
) -> None:
    app = FastAPI()
    app.add_middleware(OxaigenAuthMiddleware, exclude=("/*",))

    @app.websocket("/")
    async def route(websocket: WebSocket) -> None:
        value = websocket.headers["sec-websocket-protocol"].encode()
        await websocket.accept(headers=values([(b"x-copied", b"1"), (name, value)]))
        await websocket.close()

    client = TestClient(app, backend=backend)
    with pytest.raises(OxaigenAuthConfigurationError, match="send the caller's token back"):
        client.websocket_connect("/", subprotocols=["chat", offer(TOKEN)]).__enter__()
    with client.websocket_connect("/", subprotocols=["chat"]) as websocket:
        assert websocket.accepted_subprotocol is None
        headers: Any = websocket.extra_headers
    assert dict(headers) == {b"x-copied": b"1", name: b"chat"}


@each_backend
@pytest.mark.parametrize("keeps_header", [True, False])
def test_the_token_is_hidden_on_excluded_paths_as_well(
    backend: Any,
    keeps_header: bool,  # noqa: FBT001
) -> None:
    app = FastAPI()
    app.add_middleware(OxaigenAuthMiddleware, exclude=("/*",))

    @app.websocket("/")
    async def route(websocket: WebSocket) -> None:
        await websocket.accept(first(websocket))
        await websocket.send_json(extract_bearer_token(websocket) == TOKEN)
        await websocket.close()

    async def server(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"] = [
            it for it in scope["headers"] if keeps_header or it[0] != b"sec-websocket-protocol"
        ]
        await app(scope, receive, send)

    client = TestClient(server, backend=backend)
    with client.websocket_connect("/", subprotocols=[offer(TOKEN), "chat"]) as websocket:
        assert websocket.accepted_subprotocol == "chat"
        assert websocket.receive_json() is True


@pytest.mark.parametrize("middleware", [True, False])
def test_a_websocket_with_a_bad_token_is_refused(
    proxy: FakeProxy,
    middleware: bool,  # noqa: FBT001
) -> None:
    client = TestClient(app_accepting(first, middleware=middleware))
    for offered, detail in (
        ([offer(OTHER), "chat"], "Token revoked"),
        ([offer(TOKEN) + "=", "chat"], "Invalid token"),
        ([offer(TOKEN), offer(TOKEN)], "More than one token among the sub-protocols"),
    ):
        with pytest.raises(WebSocketDenialResponse) as denied:
            client.websocket_connect("/", subprotocols=offered, headers={**COOKIE}).__enter__()
        response: Any = denied.value
        assert (response.status_code, response.json()) == (401, {"detail": detail})
    assert [call.token for call in proxy.calls] == [OTHER]


@pytest.mark.usefixtures("proxy")
def test_a_page_of_another_site_may_use_a_token_that_it_knows() -> None:
    foreign = {"origin": "https://evil.example"}
    client = TestClient(app_accepting(first, middleware=True))
    with pytest.raises(WebSocketDenialResponse) as denied:
        client.websocket_connect("/", headers={**foreign, **COOKIE}).__enter__()
    response: Any = denied.value
    assert response.status_code == 403
    with client.websocket_connect("/", [offer(TOKEN)], headers=foreign) as websocket:
        assert websocket.receive_json() == ["ada", []]


@pytest.mark.anyio
@pytest.mark.parametrize("middleware", [True, False])
@pytest.mark.usefixtures("proxy")
async def test_an_http_request_keeps_the_header_and_needs_another_token(
    middleware: bool,  # noqa: FBT001
) -> None:
    app = app_accepting(first, middleware=middleware)
    offered = {"sec-websocket-protocol": "chat"}
    assert (await get(app, "/", {"sec-websocket-protocol": offer(TOKEN)})).status_code == 401
    assert (await get(app, "/", {**offered, **GOOD})).json() == ["ada", "chat"]
