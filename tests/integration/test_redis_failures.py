"""The Redis engine with a server, or a network, that fails."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic

import anyio
import anyio.abc
import pytest
from anyio import create_task_group, fail_after, move_on_after

from oxaigen_auth._shared.redis import RedisStore
from oxaigen_auth._shared.store import PutResult, SharedStoreError
from tests.support.redis_server import RedisServer, redis_server
from tests.support.redis_stores import (
    Log,
    Secret,
    entry_of,
    eventually,
    opened,
    recovered,
    redis_url,
)
from tests.support.shared_store_contract import ANN, SEALED, new_key, put, stored
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.anyio

NOTICED = 1.1  # seconds in which a forget is noticed if the push connection is lost in silence


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[TcpProxy]:
    with tcp_proxy(server.port) as proxy:
        yield proxy


@asynccontextmanager
async def behind(proxy: TcpProxy, log: Log) -> AsyncGenerator[RedisStore]:
    """Open an engine that reaches the server through the proxy, and wait until it is live."""
    async with opened(f"redis://127.0.0.1:{proxy.port}", log) as store:
        await eventually(lambda: log.live)
        yield store


async def test_a_reset_connection_is_replaced_at_once(server: RedisServer, proxy: TcpProxy) -> None:
    log = Log()
    async with behind(proxy, log) as store, opened(server.url) as other:
        key = await stored(store)
        await anyio.sleep(2.5)
        proxy.reset()
        reset_at = monotonic()
        await eventually(lambda: len(log.states) == 4 and log.live)
        assert log.states[2][0] is False
        assert log.states[2][1] - reset_at < 0.1
        other.forget([key.token_id])
        await eventually(lambda: log.events == [key.token_id])
        assert await entry_of(store, key) is None


@pytest.mark.parametrize("direction", ["up", "down", "both"])
async def test_a_connection_that_is_cut_in_silence_is_replaced(
    direction: str, proxy: TcpProxy
) -> None:
    log = Log()
    async with behind(proxy, log) as store:
        key = await stored(store)
        proxy.cut(up=direction != "down", down=direction != "up")
        cut_at = monotonic()
        with move_on_after(0.15) as scope:
            await store.read([key])
        assert scope.cancelled_caught
        await eventually(lambda: len(log.states) > 2)
        assert log.states[2][0] is False
        assert log.states[2][1] - cut_at < NOTICED
        await eventually(lambda: log.live)
        assert await entry_of(store, key) == SEALED


async def test_a_busy_event_loop_is_not_taken_for_a_silent_server(server: RedisServer) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        await eventually(lambda: log.live)
        for seconds in (1.5, 0.7, 0.7, 0.7):
            time.sleep(seconds)  # noqa: ASYNC251 (it makes the event loop busy)
            await anyio.sleep(0.05)
        await store.read([new_key()])
    assert [live for live, _ in log.states] == [False, True, False]


async def test_a_slow_network_is_not_taken_for_a_silent_server(proxy: TcpProxy) -> None:
    log = Log()
    async with behind(proxy, log) as store:
        proxy.delay = 0.1
        await anyio.sleep(1)
        began = monotonic()
        await store.read([new_key()])
        assert monotonic() - began >= 0.2
        assert log.live


async def test_a_stopped_server_is_noticed_and_used_again(server: RedisServer) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key = await stored(store)
        server.signal(signal.SIGSTOP)
        stopped_at = monotonic()
        try:
            await eventually(lambda: not log.live)
            assert monotonic() - stopped_at < NOTICED + 0.2  # on a busy machine
            store.forget([key.token_id])
            with (
                pytest.raises(SharedStoreError, match=r"did not answer|does not answer"),
                fail_after(5),
            ):
                while True:
                    with move_on_after(0.15):
                        await store.read([key])
        finally:
            server.signal(signal.SIGCONT)
        await eventually(lambda: log.live)
        await eventually(lambda: log.events == [key.token_id])
        assert await entry_of(store, key) is None


async def test_a_server_that_was_killed_has_forgotten_everything(server: RedisServer) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key, asking = await stored(store), new_key()
        asked = await store.read([asking])
        server.kill()
        await eventually(lambda: not log.live)
        store.forget_user([ANN])
        await fails(lambda: store.read([key]), "refused", "failed")
        server.start()
        await recovered(lambda: store.read([key]))
        assert await entry_of(store, key) is None
        assert await put(store, asking, asked) is PutResult.OUTDATED
        await eventually(lambda: log.events == [ANN])
        assert log.live


async def fails(call: Callable[[], Awaitable[object]], *reasons: str) -> None:
    """Call until it fails for one of the reasons."""
    with fail_after(5):
        while True:
            try:
                await call()
            except SharedStoreError as error:
                if any(reason in str(error) for reason in reasons):
                    return
            await anyio.sleep(0.005)


async def test_after_flushall_no_lookup_from_before_is_believed(server: RedisServer) -> None:
    async with opened(server.url) as store:
        key = await stored(store)
        asked = await store.read([key])
        server.command("FLUSHALL")
        assert await put(store, key, asked) is PutResult.LOST
        after = await store.read([key])
        assert after.found[0].entry is None
        assert after.epoch != asked.epoch
        assert after.count > asked.count
        assert await put(store, key, asked) is PutResult.LOST


@pytest.mark.parametrize("lost", ["oxa:1:{%s}:g", "oxa:1:fleet"])
async def test_what_the_server_has_lost_is_told_from_what_was_forgotten(
    lost: str, server: RedisServer
) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key = await stored(store)
        asked = await store.read([key])
        server.command("DEL", lost.replace("%s", key.token_id.hex()))
        assert await put(store, key, asked) is PutResult.LOST
        asked_again = await store.read([key])
        assert await put(store, key, asked) is PutResult.LOST
        assert await put(store, key, asked_again) is PutResult.STORED
        forget = (
            store.forget_all if lost == "oxa:1:fleet" else partial(store.forget, [key.token_id])
        )
        forget()
        await eventually(lambda: log.events != [])
        assert await put(store, key, asked_again) is PutResult.OUTDATED
        await store.read([key])
        assert await put(store, key, asked_again) is PutResult.OUTDATED
        assert await put(store, key, await store.read([key])) is PutResult.STORED


async def test_a_forgotten_user_is_known_even_if_everything_else_was_lost(
    server: RedisServer,
) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key = await stored(store)
        asked = await store.read([key])
        server.command("FLUSHALL")
        store.forget_user([ANN])
        await eventually(lambda: log.events == [ANN])
        assert await put(store, key, asked) is PutResult.OUTDATED


async def test_a_full_server_still_forgets(server: RedisServer) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key, other = await stored(store), await stored(store)
        server.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(SharedStoreError, match="no memory left"):
            await store.acquire([new_key()], b"me")
        assert await entry_of(store, key) == SEALED
        store.forget([key.token_id])
        await eventually(lambda: log.events == [key.token_id])
        with pytest.raises(SharedStoreError, match="no memory left"):
            await store.read([key])
        store.forget_user([ANN])  # cannot be marked, so everything is forgotten
        await eventually(lambda: "all" in log.events)
        server.command("CONFIG", "SET", "maxmemory", "0")
        assert await entry_of(store, other) is None


async def test_a_read_only_replica_is_reported_and_left(server: RedisServer) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        await store.read([new_key()])
        server.command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(SharedStoreError, match="read-only replica"):
            await store.acquire([new_key()], b"me")
        await eventually(lambda: len(log.states) > 2)  # another server may have the name now
        server.command("REPLICAOF", "NO", "ONE")
        await recovered(lambda: store.acquire([new_key()], b"me"))


async def test_what_a_read_only_replica_refuses_is_sent_later(server: RedisServer) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key = await stored(store)
        server.command("REPLICAOF", "127.0.0.1", "1")
        store.forget([key.token_id])
        store.forget_user([ANN])
        await eventually(lambda: len(log.states) > 2)
        server.command("REPLICAOF", "NO", "ONE")
        await eventually(lambda: log.events == [key.token_id, ANN])
        assert await recovered(lambda: entry_of(store, key)) is None


async def test_a_server_that_refuses_connections_is_reported(proxy: TcpProxy) -> None:
    proxy.refusing = True
    async with opened(f"redis://127.0.0.1:{proxy.port}") as store:
        with pytest.raises(SharedStoreError):
            await store.read([new_key()])
        proxy.refusing = False
        await recovered(lambda: store.read([new_key()]))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "RESP"),
        (b"-ERR unknown command 'HELLO'\r\n", "does not know a command"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
        (b"-ERR max number of clients reached\r\n", "max number of clients"),
        (b"+OK\r\n", "."),
        (b"$-x\r\n", "."),
    ],
)
async def test_what_is_no_usable_server_is_reported(
    answer: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def respond(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while await stream.receive():
                    await stream.send(answer)

    caplog.set_level(logging.DEBUG)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, create_task_group() as group:
        group.start_soon(listener.serve, respond)
        async with opened(f"redis://:secret@127.0.0.1:{port}") as store:
            with pytest.raises(SharedStoreError, match=reason) as caught:
                await store.read([new_key()])
            assert "secret" not in str(caught.value)
        group.cancel_scope.cancel()
    assert [record for record in caplog.records if record.name == "coredis"] == []


async def test_closing_takes_at_most_a_second(proxy: TcpProxy) -> None:
    log = Log()
    async with behind(proxy, log) as store:
        proxy.silent = True
        store.forget([os.urandom(16)])
        began = monotonic()
        await store.aclose()
        assert monotonic() - began < 1.1
        await store.aclose()
    assert not log.live
    assert (
        log.problems[0]
        == "tokens or users to forget (1) were not sent before the client was closed"
    )


async def test_closing_a_store_that_was_never_open_is_bounded_too(proxy: TcpProxy) -> None:
    proxy.silent = True
    store = RedisStore(redis_url(f"redis://127.0.0.1:{proxy.port}"), Secret())
    store.forget([os.urandom(16)])
    began = monotonic()
    await store.aclose()
    assert monotonic() - began < 1.1


async def test_what_is_forgotten_while_the_network_fails_is_sent_later(
    server: RedisServer, proxy: TcpProxy
) -> None:
    log = Log()
    async with behind(proxy, log) as store, opened(server.url) as other:
        keys = [await stored(other) for _ in range(300)]
        proxy.refusing = True
        proxy.reset()
        store.forget([key.token_id for key in keys])
        await anyio.sleep(0.3)
        assert await entry_of(other, keys[0]) == SEALED
        proxy.refusing = False
        await eventually(lambda: len(log.events) == 300)
        assert await entry_of(other, keys[0]) is None
        assert await entry_of(other, keys[-1]) is None


@pytest.mark.parametrize(
    "commands",
    [
        [("SET", "oxa:1:marks", "not a sorted set")],
        [("DEL", "oxa:1:fleet"), ("RPUSH", "oxa:1:fleet", "not a string")],
    ],
)
async def test_users_who_cannot_be_marked_are_forgotten_with_everything(
    commands: list[tuple[str, ...]], server: RedisServer
) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key = await stored(store)
        asked = await store.read([key])
        for command in commands:
            server.command(*command)
        store.forget_user([ANN])
        await eventually(lambda: log.events == ["all", ANN])
        assert await entry_of(store, key) is None
        assert await put(store, key, asked) is PutResult.OUTDATED
        assert log.problems == []
        store.forget_user([ANN])
        await eventually(lambda: log.events == ["all", ANN, ANN])


async def test_what_the_server_refuses_is_tried_again_and_keeps_nothing_else(
    server: RedisServer,
) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key = await stored(store)
        server.command("ACL", "SETUSER", "default", "-set")
        store.forget([key.token_id])
        store.forget_user([ANN])
        store.announce(b"t" * 16)
        await eventually(lambda: store.announced(b"t" * 16) == 1)
        await anyio.sleep(0.3)
        assert key.token_id not in log.events
        assert log.problems == ["the server's user lacks a permission"]  # once
        server.command("ACL", "SETUSER", "default", "+set")
        await eventually(lambda: key.token_id in log.events and ANN in log.events)
        await eventually(lambda: log.problems[1:] == [None])
        assert log.live


def test_a_native_cancellation_is_not_lost_with_the_connection(proxy: TcpProxy) -> None:
    """At the end of an event loop, asyncio cancels all tasks, perhaps as the connection is lost."""

    class Ending(Log):
        test: asyncio.Task[None] | None

        def on_listening(self, *, live: bool) -> None:
            if self.live and not live:
                asyncio.get_running_loop().call_soon(self.cancel_all)
            super().on_listening(live=live)

        def cancel_all(self) -> None:
            for task in asyncio.all_tasks() - {self.test}:
                task.cancel()

    async def serve() -> None:
        log = Ending()
        log.test = asyncio.current_task()
        async with behind(proxy, log) as store:
            proxy.reset()
            await fails(lambda: store.read([new_key()]), "not open in this event loop")

    anyio.run(serve, backend="asyncio")
