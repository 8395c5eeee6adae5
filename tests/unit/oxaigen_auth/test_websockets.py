"""watch_user in virtual time: what ends the block, when, and what the client gets."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import define, field
from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketException
from starlette.requests import Request

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    ProxyAuthClient,
    watch_user,
)
from tests.support.fake_proxy import (
    BASE,
    DENIED,
    DOWN,
    GRANTED,
    REVOKED,
    Call,
    FakeProxy,
    profile,
)
from tests.support.tokens import MARK, TOKEN
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from starlette.types import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

TTL = 30.0  # seconds
LONGEST = TTL * 1.1
EPOCH = 1.7e9

Endpoint = "Callable[[WebSocket], Awaitable[None]]"


@define(eq=False)
class Socket:
    """A WebSocket to an endpoint behind the middleware, as a server would run it."""

    client: ProxyAuthClient
    endpoint: Callable[[WebSocket], Awaitable[None]]
    token: str = TOKEN
    denies: bool = True
    sent: list[Message] = field(factory=list)

    async def run(self) -> None:
        extensions: dict[str, object] = {"websocket.http.response": {}} if self.denies else {}
        headers = [(b"authorization", f"Bearer {self.token}".encode())]
        scope = {"type": "websocket", "headers": headers, "extensions": extensions}
        middleware = OxaigenAuthMiddleware(self._app, client=self.client)
        await middleware(scope, self._receive, self._send)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.endpoint(WebSocket(scope, receive, send))

    async def _receive(self) -> Message:
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def closed(self) -> tuple[int, str] | None:
        found = [it for it in self.sent if it["type"] == "websocket.close"]
        return (found[0]["code"], found[0]["reason"]) if found else None


@define(eq=False)
class Moody(FakeProxy):
    """Rejects a token once for each of `rejections`, then answers as usual."""

    rejections: int = 0

    async def respond(self, call: Call) -> Any:
        reply = await super().respond(call)
        if self.rejections:
            self.rejections -= 1
            return REVOKED
        return reply


@pytest.fixture
def proxy() -> Moody:
    return Moody()


@pytest.fixture
async def client(request: pytest.FixtureRequest, proxy: Moody) -> AsyncIterator[ProxyAuthClient]:
    settings = OxaigenAuthSettings(**getattr(request, "param", {}))
    clock, started = anyio.current_time, anyio.current_time()

    def wall_clock() -> float:
        return EPOCH + clock() - started

    async with proxy.client(BASE, settings=settings, clock=clock, wall_clock=wall_clock) as client:
        yield client
    assert client.validator.store.watches._watches == {}  # noqa: SLF001 (nothing is left)


@define(eq=False)
class Room:
    """An endpoint that waits in its block; notes how and when that ended."""

    permissions: tuple[str, ...] = ()
    options: dict[str, Any] = field(factory=dict)
    seen: list[str] = field(factory=list)
    ended: float | None = None

    async def __call__(self, websocket: WebSocket) -> None:
        async with watch_user(websocket, *self.permissions, **self.options) as user:
            await websocket.accept()
            self.seen.append(f"hello {user.user_name}")
            try:
                await anyio.sleep_forever()
            finally:
                self.ended = anyio.current_time()
        self.seen.append("after")


async def start(group: Any, *sockets: Socket) -> float:
    """Run sockets in the background; return the time when they have opened."""
    for socket in sockets:
        group.start_soon(socket.run)
    await anyio.sleep(0.001)
    return anyio.current_time()


async def test_websockets_of_one_token_share_a_lookup_when_the_verdict_expires(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    sockets = [Socket(client, Room()) for _ in range(5)]
    async with anyio.create_task_group() as group:
        await start(group, *sockets)
        assert len(proxy.calls) == 1
        await anyio.sleep(TTL - 1)
        assert len(proxy.calls) == 1
        await anyio.sleep(LONGEST - TTL + 2)
        assert len(proxy.calls) == 2
        await anyio.sleep(10 * LONGEST)
        assert 11 <= len(proxy.calls) <= 13
        assert all(socket.closed is None for socket in sockets)
        group.cancel_scope.cancel()


async def test_the_block_ends_when_the_proxy_rejects_the_token(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    socket = Socket(client, room := Room())
    async with anyio.create_task_group() as group:
        opened = await start(group, socket)
        proxy.user = REVOKED
    assert room.seen == ["hello ada", "after"]
    assert socket.closed == (1008, "Token revoked")
    assert TTL - 1 <= (room.ended or 0) - opened <= LONGEST


@pytest.mark.parametrize("reply", [DENIED, REVOKED])
async def test_the_block_ends_when_a_permission_is_denied(
    client: ProxyAuthClient, proxy: FakeProxy, reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "oxaigen_auth")
    socket = Socket(client, room := Room(("read", "audit")))
    async with anyio.create_task_group() as group:
        await start(group, socket)
        assert proxy.endpoints == [
            "get-me",
            *(f"test-app-permission/{n}" for n in room.permissions),
        ]
        proxy.permission = reply
    assert room.seen == ["hello ada", "after"]
    expected = "Missing permission: read" if reply is DENIED else "Token revoked"
    assert socket.closed == (1008, expected)
    assert ("Caller refused: permission_denied" in caplog.messages) == (reply is DENIED)


async def test_forget_ends_the_blocks_of_the_token_at_once(
    client: ProxyAuthClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "oxaigen_auth")
    rooms = [Room() for _ in range(3)]
    sockets = [Socket(client, room) for room in rooms]
    other = Socket(client, Room(), token=f"{TOKEN}-of-another")
    async with anyio.create_task_group() as group:
        await start(group, *sockets, other)
        client.forget("unknown")
        now = anyio.current_time()
        client.forget(TOKEN)
        await anyio.sleep(0.001)
        assert [(room.ended or 0) - now < 0.001 for room in rooms] == [True] * 3
        assert [it.closed for it in sockets] == [(1008, "Token no longer valid")] * 3
        assert other.closed is None
        assert caplog.messages == ["Caller refused: invalid_token"] * 3
        group.cancel_scope.cancel()


async def test_forget_does_not_wait_for_a_running_validation(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    socket = Socket(client, room := Room())
    async with anyio.create_task_group() as group:
        await start(group, socket)
        proxy.delay = 4
        await anyio.sleep(LONGEST + 0.1)
        assert len(proxy.calls) == 2
        now = anyio.current_time()
        client.forget(TOKEN)
    assert (room.ended or 0) - now < 0.001
    assert anyio.current_time() - now < 0.001


@pytest.mark.parametrize("permissions", [(), ("audit",)])
@pytest.mark.parametrize("what", ["token", "user", "all"])
async def test_what_another_worker_forgets_in_a_store_of_one_host_ends_the_block_within_a_second(
    proxy: FakeProxy, tmp_path: Path, what: str, permissions: tuple[str, ...]
) -> None:
    settings = OxaigenAuthSettings(shared_store=f"sqlite:///{tmp_path}/auth.db")
    ours, other = (
        proxy.client(BASE, settings=settings, clock=anyio.current_time) for _ in range(2)
    )
    proxy.user = profile(id=1, user_name="ada")
    async with ours, other, anyio.create_task_group() as group:
        socket = Socket(ours, room := Room(permissions))
        await start(group, socket)
        await anyio.sleep(5)
        assert len(proxy.calls) == 1 + len(permissions)  # it is validated, by the cached verdict
        proxy.user, now = REVOKED, anyio.current_time()
        if what == "token":
            other.forget(TOKEN)
        elif what == "user":
            other.forget_user(1)
        else:
            other.forget_all()
        await anyio.sleep(1.2)
        assert room.ended is not None
        assert room.ended - now < 1.1
        assert socket.closed == (1008, "Token revoked")


async def test_a_user_who_is_forgotten_when_no_longer_cached_is_validated_at_once(
    proxy: FakeProxy,
) -> None:
    settings = OxaigenAuthSettings(cache_max_entries=1)
    proxy.user = profile(id=1)
    async with proxy.client(BASE, settings=settings, clock=anyio.current_time) as client:
        async with anyio.create_task_group() as group:
            socket = Socket(client, Room())
            await start(group, socket)
            await client.get_me(f"{TOKEN}-of-another")
            proxy.user = REVOKED
            client.forget_user(1)
            await anyio.sleep(0.001)
            assert socket.closed == (1008, "Token revoked")
            group.cancel_scope.cancel()


async def test_forget_in_another_thread_ends_the_block(client: ProxyAuthClient) -> None:
    socket = Socket(client, Room())
    async with anyio.create_task_group() as group:
        await start(group, socket)
        await anyio.to_thread.run_sync(client.forget, TOKEN)
    assert socket.closed == (1008, "Token no longer valid")


@pytest.mark.parametrize("client", [{}, {"negative_cache_ttl_seconds": 0}], indirect=True)
async def test_a_rejection_that_another_request_receives_ends_the_block(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    socket = Socket(client, room := Room())
    async with anyio.create_task_group() as group:
        await start(group, socket)
        proxy.user = REVOKED
        now = anyio.current_time()
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(TOKEN, fresh=True)
    assert (room.ended or 0) - now < 0.001
    assert socket.closed == (1008, "Token revoked")


@pytest.mark.parametrize("client", [{"negative_cache_ttl_seconds": 0}], indirect=True)
async def test_a_rejection_that_the_proxy_does_not_repeat_ends_no_block(
    client: ProxyAuthClient, proxy: Moody
) -> None:
    socket = Socket(client, Room())
    async with anyio.create_task_group() as group:
        await start(group, socket)
        for _ in range(2):
            proxy.rejections = 1
            with pytest.raises(OxaigenAuthUnauthenticatedError):
                await client.get_me(TOKEN, fresh=True)
            await anyio.sleep(1)
        assert len(proxy.calls) == 5
        assert socket.closed is None
        group.cancel_scope.cancel()


async def test_an_outage_does_not_end_the_block(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    socket = Socket(client, room := Room(("audit",)))
    async with anyio.create_task_group() as group:
        await start(group, socket)
        proxy.user = proxy.permission = DOWN
        await anyio.sleep(600)
        assert socket.closed is None
        proxy.user, now = REVOKED, anyio.current_time()
    assert socket.closed == (1008, "Token revoked")
    assert (room.ended or 0) - now <= 5 * 1.1 + 0.1


async def test_an_outage_may_be_limited(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    rooms = [Room(options={"max_outage_seconds": seconds}) for seconds in (0, 12)]
    sockets = [Socket(client, room) for room in rooms]
    async with anyio.create_task_group() as group:
        opened = await start(group, *sockets)
        await anyio.sleep(100)  # verdicts come, so nothing is counted
        proxy.user = DOWN
    assert [it.closed for it in sockets] == [(1013, "Auth service unavailable")] * 2
    first, second = ((room.ended or 0) - opened for room in rooms)
    assert 100 <= first <= 100 + LONGEST
    assert 12 <= second - 100 <= 12 + LONGEST


@pytest.mark.parametrize("client", [{"cache_ttl_seconds": 0}], indirect=True)
async def test_without_a_cache_the_token_is_validated_once_a_second(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async with anyio.create_task_group() as group:
        await start(group, Socket(client, Room()))
        proxy.calls.clear()
        await anyio.sleep(10.5)
        assert 9 <= len(proxy.calls) <= 10
        group.cancel_scope.cancel()


serving_stale = pytest.mark.parametrize(
    "client", [{"stale_if_error_seconds": 100.0}], indirect=True
)


@serving_stale
@pytest.mark.parametrize("seconds", [0, 12, 200])
async def test_stale_verdicts_do_not_end_an_outage(
    client: ProxyAuthClient, proxy: FakeProxy, seconds: float
) -> None:
    room = Room(("audit",), options={"max_outage_seconds": seconds})
    socket = Socket(client, room)
    async with anyio.create_task_group() as group:
        opened = await start(group, socket)
        proxy.permission = DOWN  # the user's verdict is new, that on the permission is stale
    assert socket.closed == (1013, "Auth service unavailable")
    assert TTL + seconds <= (room.ended or 0) - opened <= LONGEST + seconds + 0.1


@serving_stale
async def test_a_stale_verdict_at_the_beginning_counts_as_an_outage(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    await client.get_me(TOKEN)
    await anyio.sleep(TTL + 1)
    proxy.user = DOWN
    rooms = [Room(options={"max_outage_seconds": seconds}) for seconds in (0, 12)]
    refused, socket = (Socket(client, room) for room in rooms)
    with pytest.raises(HTTPException, match="Auth service unavailable") as caught:
        await refused.run()
    assert (caught.value.status_code, rooms[0].seen) == (502, [])
    async with anyio.create_task_group() as group:
        opened = await start(group, socket)
    assert socket.closed == (1013, "Auth service unavailable")
    assert (rooms[1].ended or 0) - opened == pytest.approx(12, abs=0.1)


async def test_stale_verdicts_do_not_keep_a_block_open_beyond_the_expiry_of_a_jwt(
    proxy: FakeProxy,
) -> None:
    """The token expires by the wall clock, which is fast here, before its cached verdict does."""
    started = anyio.current_time()
    client = proxy.client(
        BASE,
        settings=OxaigenAuthSettings(stale_if_error_seconds=100.0),
        clock=anyio.current_time,
        wall_clock=lambda: EPOCH + 1.01 * (anyio.current_time() - started),
    )
    socket = Socket(client, room := Room(), token=jwt(EPOCH + 50))
    async with anyio.create_task_group() as group:
        with anyio.move_on_after(1000):
            opened = await start(group, socket)
            proxy.user = DOWN
            await anyio.sleep(200)
        group.cancel_scope.cancel()
    assert socket.closed == (1013, "Auth service unavailable")
    assert 49 <= (room.ended or 0) - opened <= 51
    await client.aclose()


def jwt(exp: float) -> str:
    claims = urlsafe_b64encode(json.dumps({"exp": exp, "mark": MARK}).encode()).decode().rstrip("=")
    return f"{MARK}.{claims}.x"


@pytest.mark.parametrize(
    ("reply", "closed"),
    [
        (REVOKED, (1008, "Token revoked")),
        (DOWN, (1013, "Auth service unavailable")),
        (profile(user_name="ada"), None),
    ],
)
async def test_a_jwt_is_validated_when_it_expires(
    client: ProxyAuthClient, proxy: FakeProxy, reply: bytes, closed: Any
) -> None:
    """If the proxy still accepts it, the clock of this machine is wrong."""
    socket = Socket(client, Room(), token=jwt(EPOCH + 10))
    async with anyio.create_task_group() as group:
        await start(group, socket)
        await anyio.sleep(9.9)
        assert len(proxy.calls) == 1
        proxy.user = reply
        await anyio.sleep(0.3)
        assert len(proxy.calls) == 2
        await anyio.sleep(1)
        assert socket.closed == closed
        if closed is None:
            proxy.user = DOWN
            await anyio.sleep(300)
            assert socket.closed is None
        group.cancel_scope.cancel()


async def leave_block(client: ProxyAuthClient) -> None:
    async with client:
        ...


@pytest.mark.parametrize("close", [ProxyAuthClient.aclose, leave_block])
async def test_a_client_that_is_closed_ends_the_block_at_once(
    proxy: FakeProxy, close: Callable[[ProxyAuthClient], Awaitable[None]]
) -> None:
    client = proxy.client(BASE, settings=OxaigenAuthSettings(), clock=anyio.current_time)
    socket = Socket(client, room := Room())
    async with anyio.create_task_group() as group:
        await start(group, socket)
        now = anyio.current_time()
        await close(client)
    assert socket.closed == (1013, "Auth service unavailable")
    assert room.seen == ["hello ada", "after"]
    assert (room.ended or 0) - now < 0.001
    assert len(proxy.calls) == 1


async def test_a_client_that_was_closed_refuses_the_caller(proxy: FakeProxy) -> None:
    client = proxy.client(BASE, settings=OxaigenAuthSettings(), clock=anyio.current_time)
    room = Room()

    async def late(websocket: WebSocket) -> None:
        await client.aclose()
        await room(websocket)

    with pytest.raises(HTTPException, match="Auth service unavailable"):
        await Socket(client, late).run()
    assert room.seen == []


# How the block ends.


async def test_an_exception_of_the_block_is_raised_as_it_is(client: ProxyAuthClient) -> None:
    async def fails(websocket: WebSocket) -> None:
        async with watch_user(websocket):
            await websocket.accept()
            await anyio.sleep(40)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await Socket(client, fails).run()


async def test_an_exception_of_the_clean_up_comes_out_and_the_websocket_is_closed(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async def fails(websocket: WebSocket) -> None:
        async with watch_user(websocket):
            await websocket.accept()
            try:
                proxy.user = REVOKED
                await anyio.sleep_forever()
            finally:
                raise KeyError("mine")

    socket = Socket(client, fails)
    with pytest.raises(KeyError, match="mine"):
        await socket.run()
    assert socket.closed == (1008, "Token revoked")


async def test_a_clean_up_that_takes_a_while_is_waited_for(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async def slow(websocket: WebSocket) -> None:
        async with watch_user(websocket):
            await websocket.accept()
            try:
                proxy.user = REVOKED
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(3)
                    await websocket.send_text("good-bye")

    socket = Socket(client, slow)
    await socket.run()
    types = ["websocket.accept", "websocket.send", "websocket.close"]
    assert [message["type"] for message in socket.sent] == types
    assert socket.closed == (1008, "Token revoked")


async def test_a_block_that_closes_the_websocket_itself_keeps_its_code(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async def closes(websocket: WebSocket) -> None:
        async with watch_user(websocket):
            await websocket.accept()
            try:
                proxy.user = REVOKED
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await websocket.close(4401, "bye")

    socket = Socket(client, closes)
    await socket.run()
    assert socket.closed == (4401, "bye")
    assert len(socket.sent) == 2


async def test_cancellation_from_outside_passes_through(client: ProxyAuthClient) -> None:
    room = Room()
    with anyio.move_on_after(10) as scope:
        await Socket(client, room).run()
    assert scope.cancelled_caught
    assert room.seen == ["hello ada"]


async def test_cancellation_from_outside_during_the_clean_up_still_closes(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    socket: Socket

    async def slow(websocket: WebSocket) -> None:
        async with watch_user(websocket):
            await websocket.accept()
            try:
                proxy.user = REVOKED
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(50)

    socket = Socket(client, slow)
    with anyio.move_on_after(LONGEST + 1) as scope:
        await socket.run()
    assert scope.cancelled_caught
    assert socket.closed == (1008, "Token revoked")


async def test_a_block_that_has_ended_is_not_cancelled(client: ProxyAuthClient) -> None:
    async def short(websocket: WebSocket) -> None:
        async with watch_user(websocket):
            await websocket.accept()
        client.forget(TOKEN)
        await anyio.sleep(LONGEST)
        await websocket.close(1000, "done")

    socket = Socket(client, short)
    await socket.run()
    assert socket.closed == (1000, "done")


@define(eq=False)
class Gone(Socket):
    """A server whose client has disconnected without a message to the app."""

    error: type[Exception] = OSError

    async def _send(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            raise self.error
        await super()._send(message)


@pytest.mark.parametrize("error", [OSError, RuntimeError])
async def test_a_caller_who_has_disconnected_is_not_closed_again(
    client: ProxyAuthClient, proxy: FakeProxy, error: type[Exception]
) -> None:
    socket = Gone(client, room := Room(), error=error)
    async with anyio.create_task_group() as group:
        await start(group, socket)
        proxy.user = REVOKED
    assert room.seen == ["hello ada", "after"]


async def test_a_server_that_does_not_close_delays_the_end_by_a_second(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    class Stuck(Socket):
        async def _send(self, message: Message) -> None:
            if message["type"] == "websocket.close":
                await anyio.sleep_forever()

    socket = Stuck(client, room := Room())
    async with anyio.create_task_group() as group:
        await start(group, socket)
        proxy.user = REVOKED
    assert room.ended == pytest.approx(anyio.current_time() - 1, abs=0.1)


# Refused at the beginning.


async def enter(websocket: WebSocket) -> None:
    async with watch_user(websocket, "audit"):
        ...


@pytest.mark.parametrize(
    ("user", "permission", "status", "code"),
    [
        (REVOKED, GRANTED, 401, 1008),
        (DOWN, GRANTED, 502, 1013),
        (None, DENIED, 403, 1008),
        (None, DOWN, 502, 1013),
    ],
)
@pytest.mark.parametrize("denies", [True, False])
async def test_a_caller_is_refused_as_by_the_dependencies(  # noqa: PLR0913, PLR0917 (a table)
    client: ProxyAuthClient,
    proxy: FakeProxy,
    user: Any,
    permission: Any,
    status: int,
    code: int,
    denies: bool,  # noqa: FBT001
) -> None:
    proxy.user, proxy.permission = user or proxy.user, permission
    with pytest.raises(HTTPException) as caught:
        await Socket(client, enter, denies=denies).run()
    assert caught.value.status_code == (status if denies else code)
    assert getattr(caught.value, "code", None) == (None if denies else code)


async def test_a_caller_is_refused_with_a_close_code_after_accept(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async def accepts_first(websocket: WebSocket) -> None:
        await websocket.accept()
        await enter(websocket)

    for proxy.user, code in ((REVOKED, 1008), (DOWN, 1013)):
        client.forget(TOKEN)
        with pytest.raises(WebSocketException) as caught:
            await Socket(client, accepts_first).run()
        assert caught.value.code == code


async def test_a_token_that_was_forgotten_before_the_block_is_validated_again(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async def forgotten(websocket: WebSocket) -> None:
        client.forget(TOKEN)
        proxy.user = REVOKED
        await enter(websocket)

    with pytest.raises(HTTPException, match="Token revoked"):
        await Socket(client, forgotten).run()


@pytest.mark.parametrize("denies", [True, False])
async def test_a_handshake_that_takes_too_long_is_refused(
    client: ProxyAuthClient,
    proxy: FakeProxy,
    denies: bool,  # noqa: FBT001
) -> None:
    async def slow(websocket: WebSocket) -> None:
        async with watch_user(websocket):
            proxy.user = REVOKED
            await anyio.sleep_forever()

    socket = Socket(client, slow, denies=denies)
    with pytest.raises(HTTPException, match="Token revoked") as caught:
        await socket.run()
    assert socket.sent == []
    assert getattr(caught.value, "code", None) == (None if denies else 1008)


# Misuse.


async def test_a_request_is_not_watched() -> None:
    request: Any = Request({"type": "http", "headers": []})
    with pytest.raises(
        TypeError, match=r"not Request; for a request, write Depends\(get_current_u"
    ):
        async with watch_user(request):
            ...


async def test_invalid_arguments_are_refused(client: ProxyAuthClient) -> None:
    async def bad_name(websocket: WebSocket) -> None:
        async with watch_user(websocket, "a/b"):
            ...

    async def bad_limit(websocket: WebSocket) -> None:
        async with watch_user(websocket, max_outage_seconds=-1):
            ...

    with pytest.raises(ValueError, match="not a permission name"):
        await Socket(client, bad_name).run()
    with pytest.raises(ValueError, match="max_outage_seconds is -1; expected 0 or more"):
        await Socket(client, bad_limit).run()


def test_it_is_no_dependency() -> None:
    async def route(websocket: WebSocket, user: Any = Depends(watch_user)) -> None: ...

    with pytest.raises(TypeError, match="async with watch_user"):
        FastAPI().websocket("/")(route)
