"""The client over real sockets: connections belong to an event loop and end with it."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from oxaigen_auth._validation.loop_state import LoopState  # counted by means of gc
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.errors import OxaigenAuthUpstreamError
from oxaigen_auth.settings import OxaigenAuthSettings
from tests.support.fake_proxy import ADA, FakeProxy
from tests.support.raw_server import PROFILE, answer, serving
from tests.support.tokens import MARK, OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BACKENDS = ["asyncio", "trio"]
TIMEOUT = 60.0  # seconds: more than anything here takes, however busy the machine


@pytest.mark.anyio
async def test_a_cold_burst_makes_one_call_on_one_connection() -> None:
    proxy = FakeProxy(delay=0.05)
    settings = OxaigenAuthSettings(proxy_timeout_seconds=TIMEOUT)
    async with serving(proxy) as server, ProxyAuthClient(server.url, settings=settings) as client:
        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(client.get_me, TOKEN)
    assert (len(server.requests), server.connections) == (1, 1)
    assert client.stats().coalesced == 999


@pytest.mark.anyio
async def test_distinct_cold_tokens_share_the_allowed_connections() -> None:
    settings = OxaigenAuthSettings(max_connections=4, proxy_timeout_seconds=TIMEOUT)
    async with serving(FakeProxy()) as server:
        async with ProxyAuthClient(server.url, settings=settings) as client:
            async with anyio.create_task_group() as group:
                for n in range(200):
                    group.start_soon(client.get_me, f"{MARK}-{n}")
    assert len(server.requests) == 200
    assert server.connections <= 4


@pytest.mark.anyio
async def test_a_mock_that_answers_in_production_is_an_outage_and_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = OxaigenAuthSettings(environment="Production")
    async with serving(FakeProxy(answer(200, PROFILE, x_oxaigen_mock="1"))) as server:
        async with ProxyAuthClient(server.url, settings=settings) as client:
            for _ in range(2):  # it is not remembered, and said each time
                with pytest.raises(OxaigenAuthUpstreamError, match="Auth service unavailable"):
                    await client.get_me(TOKEN)
    assert len(server.requests) == client.stats().unavailable == 2
    ours = [record for record in caplog.records if record.name == "oxaigen_auth"]
    assert [record.levelno for record in ours] == [logging.ERROR] * 2
    assert f"get-me at {server.url}: a mock answered in production" in ours[0].getMessage()
    assert MARK not in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("environment", [None, "staging"])
async def test_a_mock_that_answers_outside_production_is_accepted(environment: str | None) -> None:
    settings = OxaigenAuthSettings(environment=environment)
    async with serving(FakeProxy(answer(200, PROFILE, x_oxaigen_mock="1"))) as server:
        async with ProxyAuthClient(server.url, settings=settings) as client:
            assert (await client.get_me(TOKEN)).user_name == "ada"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("close", [True, False], ids=["closed", "left to the loop"])
def test_no_connection_outlives_its_event_loop(backend: str, close: bool) -> None:  # noqa: FBT001
    """An unclosed socket would warn when collected, and warnings are errors."""

    async def main() -> None:
        async with serving(FakeProxy()) as server:
            client = ProxyAuthClient(server.url)
            await client.get_me(TOKEN)
            if close:
                await client.aclose()

    anyio.run(main, backend=backend)
    gc.collect()


@pytest.mark.parametrize("backend", BACKENDS)
def test_pitfall_14_one_client_serves_one_event_loop_after_another(backend: str) -> None:
    client = ProxyAuthClient("http://127.0.0.1:1")

    async def main(token: str) -> int:
        async with serving(FakeProxy()) as server:
            await client.get_me(token, proxy_base_url=server.url)
            return len(server.requests)

    assert anyio.run(main, "first", backend=backend) == 1
    assert anyio.run(main, "second", backend=backend) == 1
    gc.collect()


def test_pitfall_14_event_loops_in_two_threads_share_the_cache_and_nothing_else() -> None:
    client: ProxyAuthClient
    first_done, second_done = threading.Event(), threading.Event()
    seen: list[int] = []

    async def first() -> None:
        nonlocal client
        async with serving(FakeProxy()) as server:
            client = ProxyAuthClient(server.url)
            await client.get_me(TOKEN)
            first_done.set()
            await anyio.to_thread.run_sync(second_done.wait)
            seen.append(len(server.requests))

    async def second() -> None:
        await anyio.to_thread.run_sync(first_done.wait)
        await client.get_me(TOKEN)
        await client.get_me(OTHER)
        second_done.set()

    with ThreadPoolExecutor() as threads:
        for done in [
            threads.submit(lambda: anyio.run(first, backend="asyncio")),
            threads.submit(lambda: anyio.run(second, backend="trio")),
        ]:
            done.result(TIMEOUT)
    assert seen == [2]
    gc.collect()


@pytest.mark.anyio
async def test_a_cancelled_caller_does_not_affect_others_over_sockets() -> None:
    asked, go_on = anyio.Event(), anyio.Event()

    async def respond(_: bytes) -> bytes:
        asked.set()
        await go_on.wait()
        return answer(200, PROFILE)

    users: list[str | None] = []
    async with serving(respond) as server:
        client = ProxyAuthClient(server.url)

        async def ask() -> None:
            users.append((await client.get_me(TOKEN)).user_name)

        async def leave(scope: anyio.CancelScope) -> None:
            with scope:
                await client.get_me(TOKEN)

        first = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(leave, first)
            await asked.wait()
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            go_on.set()
        await client.aclose()
    assert users == ["ada"]
    assert len(server.requests) == 1


@pytest.mark.anyio
async def test_the_call_is_cancelled_when_the_last_caller_has_left() -> None:
    asked, given_up = anyio.Event(), anyio.Event()

    async def hang(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            asked.set()
            try:
                await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                given_up.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        settings = OxaigenAuthSettings(proxy_timeout_seconds=2 * TIMEOUT)
        client = ProxyAuthClient(url, settings=settings)
        async with anyio.create_task_group() as group, client:
            group.start_soon(listener.serve, hang)
            async with anyio.create_task_group() as caller:
                caller.start_soon(client.get_me, TOKEN)
                await asked.wait()
                caller.cancel_scope.cancel()
            with anyio.fail_after(TIMEOUT):
                await given_up.wait()
            group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_lookup_that_times_out_in_the_queue_makes_no_call() -> None:
    """The first call is answered at once; the second has the only connection until its end."""

    async def respond(_: bytes) -> bytes:
        if len(server.requests) > 1:
            await anyio.sleep_forever()
        return answer(200, PROFILE)

    outcomes: list[str] = []

    async def ask(token: str) -> None:
        try:
            await client.get_me(token)
            outcomes.append("answered")
        except OxaigenAuthUpstreamError:
            outcomes.append("unavailable")

    settings = OxaigenAuthSettings(proxy_timeout_seconds=2, max_connections=1)
    async with serving(respond) as server, ProxyAuthClient(server.url, settings=settings) as client:
        with anyio.fail_after(TIMEOUT):
            async with anyio.create_task_group() as group:
                for n in range(5):
                    group.start_soon(ask, f"{MARK}-{n}")
    assert outcomes == ["answered", *["unavailable"] * 4]
    calls = client.stats().upstream_calls
    # A lookup that began a moment later may still have that moment, but not to send its request.
    assert 2 <= len(server.requests) <= calls <= 3
    assert client.stats().unavailable == 4


@pytest.mark.anyio
async def test_the_timeout_bounds_a_proxy_that_never_answers() -> None:
    proxy = FakeProxy(delay=inf)
    settings = OxaigenAuthSettings(proxy_timeout_seconds=0.2)
    async with serving(proxy) as server, ProxyAuthClient(server.url, settings=settings) as client:
        with anyio.fail_after(TIMEOUT):
            with pytest.raises(OxaigenAuthUpstreamError, match="Auth service unavailable"):
                await client.get_me(TOKEN)


# Event loops that end.


def run_without_shutdown(main: Any) -> None:
    """Run as scripts do that never heard of `shutdown_asyncgens`."""
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(main())


def run_in_thread(main: Any) -> None:
    thread = threading.Thread(target=anyio.run, args=(main,))
    thread.start()
    thread.join()


RUNS: dict[str, Callable[[Any], None]] = {
    "asyncio.run": lambda main: asyncio.run(main()),
    "trio.run": lambda main: anyio.run(main, backend="trio"),
    "run_until_complete": run_without_shutdown,
    "in a thread": run_in_thread,
}


@pytest.mark.parametrize("how", RUNS)
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of a loop that closes nothing
def test_pitfall_52_event_loops_that_ended_are_collected(how: str, opened: bool) -> None:  # noqa: FBT001
    client = ProxyAuthClient("http://127.0.0.1:1")

    async def main() -> None:
        async with serving(FakeProxy()) as server:
            if opened:
                async with client.validator.loops.running():
                    await client.get_me(TOKEN, proxy_base_url=server.url)
            else:
                await client.get_me(TOKEN, proxy_base_url=server.url, fresh=True)

    def alive() -> int:
        gc.collect()
        kinds = (LoopState, asyncio.AbstractEventLoop)
        return sum(isinstance(it, kinds) for it in gc.get_objects())

    before = alive()
    for _ in range(10):
        RUNS[how](main)
    assert alive() - before <= 2  # what ended without a word is let go by the next loop
    states = client.validator.loops._states  # noqa: SLF001 (their loops have ended)
    assert len(states) <= 1
    states.clear()
    gc.collect()


# Fixtures of users.

FIXTURES = """
import pytest, pytest_asyncio
from oxaigen_auth import OxaigenAuthUpstreamError, ProxyAuthClient

@pytest_asyncio.fixture
async def client():
    async with ProxyAuthClient("http://127.0.0.1:1") as client:
        yield client

@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared():
    async with ProxyAuthClient("http://127.0.0.1:1") as client:
        yield client

@pytest.mark.asyncio
async def test_one(client):
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.get_me("token")

@pytest.mark.asyncio
async def test_shared(shared):
    with pytest.raises(OxaigenAuthUpstreamError):
        await shared.get_me("token")
"""


def test_pitfall_55_a_client_in_fixtures_of_pytest_asyncio_opens_and_closes(
    tmp_path: Path,
) -> None:
    file = tmp_path / "test_fixtures.py"
    file.write_text(FIXTURES)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:looptime_plugin"]
    result = subprocess.run(  # noqa: S603 (our own code)
        [sys.executable, "-m", "pytest", *options, str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "2 passed" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0


# A proxy that is slow, or frozen.


@pytest.mark.anyio
async def test_pitfall_51_a_slow_proxy_leaves_the_lookups_at_others_alone() -> None:
    async with (
        serving(FakeProxy(None, delay=1.5)) as slow,
        serving(FakeProxy()) as healthy,
        ProxyAuthClient(slow.url) as client,
        anyio.create_task_group() as group,
    ):
        for number in range(300):
            group.start_soon(client.get_me, f"{MARK}-{number}")
        await anyio.sleep(0.2)
        with anyio.fail_after(1.2):
            for number in range(2):
                await client.get_me(f"{MARK}-{number}", proxy_base_url=healthy.url)
        group.cancel_scope.cancel()
    assert len(healthy.requests) == 2


@pytest.mark.anyio
async def test_pitfall_42_a_probe_that_hangs_on_a_frozen_proxy_does_not_delay_its_return() -> None:
    """The proxy resets connections, then freezes: it takes them and says nothing; then is back."""
    proxy, asked = FakeProxy(None), 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        token = f"{MARK}-{asked}"
        try:
            await client.get_me(token)
            answered.append(anyio.current_time())
        except OxaigenAuthUpstreamError:
            return

    answered: list[float] = []
    settings = OxaigenAuthSettings(proxy_timeout_seconds=8)
    async with serving(proxy) as server, ProxyAuthClient(server.url, settings=settings) as client:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                await ask()
            assert client.stats().short_circuited
            proxy.delay = inf
            while len(server.requests) < 8:  # three probes hang
                group.start_soon(ask)
                await anyio.sleep(0.02)
            proxy.user, proxy.delay, back_at = ADA, 0, anyio.current_time()
            with anyio.fail_after(5):
                while not answered:
                    group.start_soon(ask)
                    await anyio.sleep(0.02)
            await ask()
            group.cancel_scope.cancel()
    assert answered[0] - back_at < 1.5
    assert len(answered) > 1
