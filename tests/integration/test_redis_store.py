"""The Redis engine with a server that works."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from random import Random
from threading import Event, Thread
from time import time

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio import create_task_group, fail_after, move_on_after

from oxaigen_auth._shared.redis import RedisStore
from oxaigen_auth._shared.redis.address import RedisAddress
from oxaigen_auth._shared.redis.sender import RedisSender
from oxaigen_auth._shared.store import Entry, EntryKey, PutResult, SharedStoreError
from tests.support.redis_server import PROGRAMS, RedisServer, free_port, redis_server, tls
from tests.support.redis_stores import (
    Log,
    Secret,
    entry_of,
    eventually,
    opened,
    recovered,
    redis_url,
    wait_until,
)
from tests.support.shared_store_contract import (
    ANN,
    SEALED,
    SharedStoreContract,
    new_key,
    put,
    stored,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=PROGRAMS)
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), program=request.param) as server:
        yield server


@pytest.fixture
async def store(server: RedisServer) -> AsyncGenerator[RedisStore]:
    async with opened(server.url) as store:
        await store.read([new_key()])  # it has subscribed then
        yield store


@pytest.fixture
async def other(server: RedisServer) -> AsyncGenerator[RedisStore]:
    async with opened(server.url) as store:
        await store.read([new_key()])  # it has subscribed then
        yield store


class TestContract(SharedStoreContract):
    async def test_the_listener_is_called_instead_of_a_changed_stamp(
        self, store: RedisStore
    ) -> None:
        assert store.pushes
        assert store.stamp(os.urandom(16)) == 0


async def test_events_reach_the_listeners_of_all_processes(server: RedisServer) -> None:
    token, user = os.urandom(16), os.urandom(16)
    mine, others = Log(), Log()
    async with opened(server.url, mine) as store, opened(server.url, others):
        await eventually(lambda: mine.live and others.live)
        store.forget([token])
        store.forget_user([user])
        store.forget_all()
        await eventually(lambda: "all" in others.events and "all" in mine.events)
    assert set(mine.events) == set(others.events) == {token, user, "all"}


async def test_a_message_that_is_not_signed_is_dropped(server: RedisServer) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        await eventually(lambda: log.live)
        server.command("PUBLISH", "oxa:1:events:0", b"oxaigen event 1 a")
        await eventually(lambda: store.rejected_messages == 1)
        store.on_message(Secret().sign(b"of another format"))
    assert log.events == []


async def test_what_this_process_forgot_is_gone_before_the_server_knows(
    store: RedisStore,
) -> None:
    key = await stored(store)
    asked = await store.read([key])
    assert asked.found[0].entry == SEALED
    store.forget([key.token_id])
    assert await entry_of(store, key) is None
    assert await put(store, key, asked) is PutResult.OUTDATED
    store.forget_user([ANN])
    store.forget_all()
    assert await put(store, key, asked) is PutResult.OUTDATED


async def test_what_is_not_authentic_is_replaced(server: RedisServer, store: RedisStore) -> None:
    key = await stored(store)
    before = await store.read([key])
    generation = b"oxa:1:{%b}:g" % key.token_id.hex().encode()
    server.command("SET", generation, b"forged")
    after = await store.read([key])
    assert after.found[0].entry is None
    assert after.found[0].generation not in (b"forged", before.found[0].generation)
    assert after.epoch == before.epoch
    assert store.rejected_values == 1
    for fleet in (b"1:forged", b"none:" + before.epoch, b"forged", b"9" * 17 + b":" + before.epoch):
        server.command("SET", "oxa:1:fleet", fleet)
        with pytest.raises(SharedStoreError, match="another secret"):
            await store.read([key])
        assert (await store.read([key])).epoch != before.epoch


async def test_the_generation_of_another_token_is_not_authentic(
    server: RedisServer, store: RedisStore
) -> None:
    key, other = new_key(), new_key()
    server.command(
        "SET",
        b"oxa:1:{%b}:g" % key.token_id.hex().encode(),
        (await store.read([other])).found[0].generation,
    )
    assert (await store.acquire([key], b"me")).leads
    assert store.rejected_values == 1


async def test_workers_with_other_secrets_are_reported(server: RedisServer) -> None:
    secret = Secret()
    store = RedisStore(redis_url(server.url), secret)
    store.open(Log())
    secret.verify = lambda signed: None  # type: ignore[method-assign]  # noqa: ARG005
    with pytest.raises(SharedStoreError, match="another secret"):
        await store.read([new_key()])
    await store.aclose()


async def test_two_fleets_in_one_database_are_reported(server: RedisServer) -> None:
    async with opened(server.url) as one, opened(server.url, secret=b"other") as other:
        key = new_key()
        await one.read([key])
        for _ in range(3):
            for store in (other, one):
                with pytest.raises(SharedStoreError, match="another secret"):
                    await store.read([key])


async def test_lost_marks_count_as_forgotten(server: RedisServer, store: RedisStore) -> None:
    key = await stored(store)
    asked = await store.read([key])
    store.forget_user([os.urandom(16)])
    while (await store.read([key])).count == asked.count:  # noqa: ASYNC110 (a server)
        await anyio.sleep(0.005)
    assert (await store.read([key])).found[0].mark <= asked.count  # that of an earlier test
    server.command("DEL", "oxa:1:marks")
    after = await store.read([key])
    assert after.found[0].mark == after.count > asked.count
    assert await put(store, key, asked) is PutResult.LOST


async def test_users_are_forgotten_without_an_epoch_too(server: RedisServer) -> None:
    log = Log()
    server.command("FLUSHALL")
    async with opened(server.url, log) as store:
        store.forget_user([ANN])
        await eventually(lambda: log.events == [ANN])


@pytest.mark.parametrize(("memory", "hours"), [(0.2, 24), (48 * 3600, 48)])
async def test_old_marks_are_dropped_when_no_worker_needs_them(
    memory: float, hours: int, server: RedisServer
) -> None:
    log = Log()
    server.command("FLUSHALL")
    async with opened(server.url, log, memory_seconds=memory) as store:
        await store.read([new_key()])
        for user, age in (("kept", hours - 1), ("dropped", hours + 1)):
            forgotten_at = round((time() - age * 3600) * 1e6)
            server.command("ZADD", "oxa:1:marks", str(forgotten_at), user)
        store.forget_user([ANN])
        await eventually(lambda: log.events == [ANN])
        assert server.command("ZSCORE", "oxa:1:marks", "dropped") == b"$-1\r\n"
        assert server.command("ZSCORE", "oxa:1:marks", "kept") != b"$-1\r\n"
        lifetime = int(server.command("PTTL", "oxa:1:marks")[1:])
        assert (hours - 1) * 3_600_000 < lifetime <= hours * 3_600_000


async def test_a_generation_outlives_the_entries_of_its_token(server: RedisServer) -> None:
    async with opened(server.url, memory_seconds=5) as store:
        key = await stored(store)
        generation = b"oxa:1:{%b}:g" % key.token_id.hex().encode()
        assert 59_000 < int(server.command("PTTL", generation)[1:]) <= 60_000
        server.command("PEXPIRE", generation, "1000")
        await store.acquire([key], b"me")
        assert 4_000 < int(server.command("PTTL", generation)[1:]) <= 5_000


async def test_scripts_that_the_server_has_lost_are_sent_again(
    server: RedisServer, store: RedisStore
) -> None:
    key = await stored(store)
    server.command("SCRIPT", "FLUSH")
    assert await put(store, key, await store.read([key])) is PutResult.STORED


async def test_databases_are_separate(server: RedisServer) -> None:
    zero, one = Log(), Log()
    async with opened(server.url, zero) as store, opened(f"{server.url}/1", one) as other:
        key = await stored(store)
        assert await entry_of(other, key) is None
        await eventually(lambda: one.live)
        store.forget([key.token_id])
        await eventually(lambda: zero.events == [key.token_id])
        other.forget_all()
        await eventually(lambda: one.events == ["all"])
        assert zero.events == [key.token_id]


async def test_what_still_waits_after_a_sending_is_not_reported_as_sent(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send_nothing(*_: object) -> None:
        pass

    log = Log()
    async with opened(server.url, log) as store:
        connection = await store._connection()  # noqa: SLF001
        monkeypatch.setattr(RedisSender, "send_pending", send_nothing)
        log.problems.clear()
        store.forget([b"t" * 16])
        await store.send_pending(connection)
        assert log.problems == []
        monkeypatch.undo()


async def test_it_can_be_closed_and_opened_again(server: RedisServer) -> None:
    store = RedisStore(redis_url(server.url), Secret())
    with pytest.raises(SharedStoreError, match="not open"):
        await store.read([new_key()])
    await store.aclose()
    async with opened(server.url) as other:
        for _ in range(3):
            log = Log()
            store.open(log)
            key = await recovered(lambda: stored(store))  # a busy machine may be late
            store.open(log)
            store.forget([key.token_id])
            await store.aclose()
            assert not log.live
            assert await entry_of(other, key) is None


async def test_what_is_forgotten_before_the_first_loop_is_sent_later(server: RedisServer) -> None:
    async with opened(server.url) as other:
        key = await stored(other)
        store = RedisStore(redis_url(server.url), Secret())
        store.forget([key.token_id])
        store.open(Log())
        await store.aclose()
        assert await entry_of(other, key) is None


async def test_a_store_that_was_never_open_sends_what_it_forgot_when_it_is_closed(
    server: RedisServer,
) -> None:
    log = Log()
    async with opened(server.url, log) as other:
        key = await stored(other)
        await eventually(lambda: log.live)
        store = RedisStore(redis_url(server.url), Secret())
        store.forget([key.token_id])
        store.forget_user([ANN])
        store.forget_all()
        await store.aclose()
        assert await entry_of(other, key) is None
        await eventually(lambda: log.events == [key.token_id, ANN, "all"])
        with pytest.raises(SharedStoreError, match="not open"):
            await store.read([key])


async def test_what_is_forgotten_after_closing_is_sent_when_it_is_closed_again(
    server: RedisServer,
) -> None:
    log = Log()
    async with opened(server.url) as other:
        key = await stored(other)
        store = RedisStore(redis_url(server.url), Secret())
        store.open(log)
        await store.aclose()
        store.forget([key.token_id])
        await store.aclose()
        assert await entry_of(other, key) is None
        assert log.events == [key.token_id]
        assert not log.live
        assert log.problems == []


async def test_a_unix_socket_is_used(server: RedisServer) -> None:
    async with opened(f"unix://{server.socket}?db=2") as store:
        assert await entry_of(store, await stored(store)) == SEALED
        assert store.name == f"unix://{server.socket}?db=2"


async def test_a_password_and_tls_are_used(tmp_path: Path) -> None:
    port = free_port()
    options, context = tls(tmp_path, port)
    with redis_server(tmp_path, "--requirepass", "pass/word", *options):
        url = f"rediss://default:pass%2Fword@localhost:{port}"
        async with opened(url, ssl_context=context) as store:
            assert await entry_of(store, await stored(store)) == SEALED
            assert "pass" not in repr(store)
            assert store.name == f"rediss://localhost:{port}/0"
        async with opened(url) as store:  # trusts the system's authorities only
            with pytest.raises(SharedStoreError, match="certificate verify failed"):
                await store.read([new_key()])


@pytest.mark.parametrize("user", ["", ":wrong@", "nobody:pass@"])
async def test_a_wrong_password_is_reported(user: str, tmp_path: Path) -> None:
    with redis_server(tmp_path, "--requirepass", "pass") as server:
        async with opened(server.url.replace("//", f"//{user}")) as store:
            with pytest.raises(SharedStoreError, match="refuses the user or the password"):
                await store.read([new_key()])


async def test_missing_permissions_are_reported(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        server.command("ACL", "SETUSER", "app", "on", ">pass", "+@all", "~*", "resetchannels")
        async with opened(server.url.replace("//", "//app:pass@")) as store:
            with pytest.raises(SharedStoreError, match="lacks a permission"):
                await store.read([new_key()])
            server.command("ACL", "SETUSER", "app", "&oxa:*", "-mget")
            await recovered(lambda: store.acquire([new_key()], b"me"))
            with pytest.raises(SharedStoreError, match="lacks a permission"):
                await store.read([new_key()])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_several_event_loops_in_threads_are_served(backend: str, server: RedisServer) -> None:
    log, leave = Log(), Event()
    store = RedisStore(redis_url(server.url), Secret())
    keys: list[EntryKey] = []

    async def serve() -> None:
        store.open(log)
        keys.append(await stored(store))
        await anyio.to_thread.run_sync(leave.wait)
        await store.aclose()

    threads = [Thread(target=anyio.run, args=[serve], kwargs={"backend": backend}) for _ in "123"]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(keys) == 3)
    store.forget([key.token_id for key in keys])  # in a thread without an event loop
    wait_until(lambda: len(log.events) == 9)  # each loop is told
    assert log.live
    leave.set()
    for thread in threads:
        thread.join()
    assert [live for live, _ in log.states if live] == [True]
    assert not log.live


def test_an_event_loop_that_ends_closes_the_connection(
    anyio_backend_name: str, server: RedisServer
) -> None:
    log = Log()
    store = RedisStore(redis_url(server.url), Secret())

    async def serve() -> None:
        store.open(log)
        await store.read([new_key()])

    for _ in range(2):
        anyio.run(serve, backend=anyio_backend_name)
        assert not log.live
    assert [live for live, _ in log.states] == [False, True, False, False, True, False]


# asyncio cancels tasks before their first step, which would close something:
@pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
@pytest.mark.parametrize("steps", range(12))
def test_an_event_loop_can_end_while_it_connects(
    anyio_backend_name: str, steps: int, server: RedisServer
) -> None:
    store = RedisStore(redis_url(server.url), Secret())

    async def serve() -> None:
        store.open(Log())
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()

    anyio.run(serve, backend=anyio_backend_name)
    gc.collect()


async def test_cancelled_callers_never_get_the_answers_of_others(store: RedisStore) -> None:
    random = Random(1)
    keys = [new_key() for _ in range(20)]
    for number, key in enumerate(keys):
        await put(store, key, await store.read([key]), Entry(ANN, b"%d" % number))
    answers = 0

    async def call(number: int) -> None:
        nonlocal answers
        with move_on_after(random.choice([0, 0.001, 0.01, 0.1])):
            if random.random() < 0.5:
                snapshot = await store.read([keys[number]])
            else:
                snapshot = await store.acquire([keys[number]], os.urandom(8))
            answers += 1
            assert snapshot.found[0].entry == Entry(ANN, b"%d" % number)

    with fail_after(120):
        for _ in range(100):
            async with create_task_group() as group:
                for _ in range(50):
                    group.start_soon(call, random.randrange(20))
                    if random.random() < 0.2:
                        await anyio.lowlevel.checkpoint()
    assert 500 < answers < 4500
    assert await entry_of(store, keys[7]) == Entry(ANN, b"7")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_child_process_leaves_the_connection_alone(server: RedisServer) -> None:
    log = Log()
    async with opened(server.url, log) as store:
        key = await stored(store)
        child = os.fork()
        if not child:
            os._exit(run_in_child(store, key))
        _, status = await anyio.to_thread.run_sync(os.waitpid, child, 0)
        assert status == 0
        assert await entry_of(store, key) == SEALED
        assert [live for live, _ in log.states] == [False, True]


def run_in_child(store: RedisStore, key: EntryKey) -> int:
    gc.collect()
    log = Log()

    async def serve() -> None:
        store.open(log)
        assert await entry_of(store, key) == SEALED
        await store.aclose()

    thread = Thread(
        target=anyio.run, args=[serve]
    )  # the parent's event loop still runs in this one
    thread.start()
    thread.join()
    return 0 if [live for live, _ in log.states] == [False, True, False] else 1


async def test_a_connection_is_described_without_the_password(server: RedisServer) -> None:
    connection = await RedisAddress(redis_url(f"{server.url}/1")).connect()
    async with create_task_group() as group:
        await group.start(connection.run)
        assert repr(connection) == f"RedisConnection(127.0.0.1:{server.port})"
        connection.invalidate()


@pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_an_event_loop_that_was_closed_too_early_is_left(server: RedisServer) -> None:
    store = RedisStore(redis_url(server.url), Secret())

    async def serve() -> None:
        store.open(Log())

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncio reports the task that is left
    loop.run_until_complete(serve())
    loop.close()
    anyio.run(serve)
    del loop
    gc.collect()
