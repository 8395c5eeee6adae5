"""The client for synchronous code, over sockets and in real threads."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio

# The `getpid` of `blocking` is patched, so that a test in one process is about two.
from oxaigen_auth import (
    BlockingProxyAuthClient,
    OxaigenAuthConfigurationError,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
    blocking,
    testing,
)
from oxaigen_auth.observers import Observer, Question, Reason, Verdict
from tests.support.apps import serving_elsewhere
from tests.support.clock import clock as clock  # noqa: PLC0414
from tests.support.fake_proxy import DENIED, DOWN, REVOKED, Call, FakeProxy, profile, refusal
from tests.support.token_leaks import Watch
from tests.support.token_leaks import watch as watch  # noqa: PLC0414
from tests.support.tokens import MARK, OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.clock import Clock

TIMEOUT = 60.0  # seconds: more than anything here takes, however busy the machine
SETTINGS = OxaigenAuthSettings(proxy_timeout_seconds=TIMEOUT)


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy()


@pytest.fixture
def url(proxy: FakeProxy) -> Iterator[str]:
    with serving_elsewhere(proxy) as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[BlockingProxyAuthClient]:
    with BlockingProxyAuthClient(url, settings=SETTINGS) as client:
        yield client


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def background_threads() -> int:
    return sum(thread.name == "oxaigen-auth" for thread in threading.enumerate())


def test_it_identifies_users_and_checks_permissions_once_per_ttl(
    client: BlockingProxyAuthClient, proxy: FakeProxy
) -> None:
    for _ in range(3):
        assert client.get_me(TOKEN).user_name == "ada"
        assert client.test_permission(TOKEN, "audit")
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"]
    proxy.permission = DENIED
    assert not client.test_permission(TOKEN, "audit", fresh=True)
    assert not client.test_permission(TOKEN, "edit")
    assert client.get_me(TOKEN, fresh=True).user_name == "ada"
    assert len(proxy.calls) == 5
    stats = client.stats()
    assert (stats.hits, stats.misses, stats.upstream_calls) == (9, 5, 5)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (REVOKED, OxaigenAuthUnauthenticatedError("Token revoked")),
        (refusal(403, "Not you"), OxaigenAuthPermissionDeniedError("Not you")),
        (DOWN, OxaigenAuthUpstreamError("Auth service unavailable")),
    ],
)
def test_it_raises_what_the_async_client_raises_without_the_token(
    client: BlockingProxyAuthClient,
    proxy: FakeProxy,
    watch: Watch,
    reply: bytes,
    expected: OxaigenAuthUnauthenticatedError,
) -> None:
    proxy.user = reply
    calls: list[Callable[[], object]] = [
        partial(client.get_me, TOKEN),
        partial(client.test_permission, TOKEN, "audit"),
    ]
    for call in calls:
        with pytest.raises(type(expected)) as caught:
            call()
        assert caught.value.message == expected.message
        del call
        watch.search_error(caught.value)
    assert watch.take() == []


def test_misuse_is_an_error_before_any_call(
    client: BlockingProxyAuthClient, proxy: FakeProxy
) -> None:
    with pytest.raises(ValueError, match="not a permission name"):
        client.test_permission(TOKEN, "a/b")
    with pytest.raises(TypeError, match="must be str, not bytes"):
        client.get_me(TOKEN.encode())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="must be str, not bytes"):
        client.forget(TOKEN.encode())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="the proxy's URL is invalid"):
        client.get_me(TOKEN, proxy_base_url="ftp://x")
    nowhere = BlockingProxyAuthClient()
    for call in (partial(nowhere.get_me, TOKEN), nowhere.ping):
        with pytest.raises(OxaigenAuthConfigurationError, match="URL of the auth proxy is unknown"):
            call()
    assert (proxy.calls, background_threads()) == ([], 0)


def test_threads_share_one_lookup(client: BlockingProxyAuthClient, proxy: FakeProxy) -> None:
    proxy.delay = 0.3
    with ThreadPoolExecutor(20) as pool:
        users = list(pool.map(client.get_me, [TOKEN] * 20))
    assert {user.user_name for user in users} == {"ada"}
    assert (len(proxy.calls), client.stats().coalesced) == (1, 19)
    assert background_threads() == 1


def test_a_forgotten_token_is_asked_about_again(
    client: BlockingProxyAuthClient, proxy: FakeProxy
) -> None:
    client.get_me(TOKEN)
    proxy.user = REVOKED
    client.forget(TOKEN)
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        client.get_me(TOKEN)
    assert client.stats().forgotten == 1


def test_the_tokens_of_a_user_or_all_of_them_are_asked_about_again() -> None:
    proxy = testing.FakeProxy()
    for number in (1, 2):
        proxy.add_user(f"token-{number}", id=number)
    with BlockingProxyAuthClient(
        "https://proxy.example.com", transport=proxy, settings=SETTINGS
    ) as client:
        forgets: list[Callable[[], object]] = [
            partial(client.forget_user, 1),
            client.forget_all,
            partial(client.forget_user, 1, proxy_base_url="https://other.example.com"),
        ]
        for forget in forgets:
            client.get_me("token-1")
            client.get_me("token-2")
            forget()
        client.get_me("token-1")
        client.get_me("token-2")
        assert [proxy.count(f"token-{number}") for number in (1, 2)] == [3, 2]
        assert client.stats().forgotten == 3
        with pytest.raises(TypeError, match="user_id must be an int, not str"):
            client.forget_user("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with BlockingProxyAuthClient(transport=proxy) as client:
        with pytest.raises(OxaigenAuthConfigurationError, match="URL of the auth proxy is unknown"):
            client.forget_user(1)


def test_a_ping_says_whether_the_proxy_answers(
    client: BlockingProxyAuthClient, proxy: FakeProxy
) -> None:
    assert client.ping()
    assert client.ping(proxy_base_url="http://127.0.0.1:9") is False
    assert [call.token for call in proxy.calls] == [""]


def test_a_hit_in_a_thread_refreshes_ahead_in_the_background_loop(
    url: str, proxy: FakeProxy, clock: Clock
) -> None:
    settings = OxaigenAuthSettings(refresh_ahead_seconds=10, proxy_timeout_seconds=TIMEOUT)
    with BlockingProxyAuthClient(url, settings=settings, clock=clock) as client:
        client.get_me(TOKEN)
        clock.now += 21
        proxy.user = profile(user_name="grace")
        for _ in range(100):
            client.get_me(TOKEN)
        eventually(lambda: client.get_me(TOKEN).user_name == "grace")
        clock.now += 1
        client.get_me(TOKEN)
        assert (client.stats().refreshed, len(proxy.calls)) == (1, 2)


def test_a_miss_in_the_thread_of_an_event_loop_is_an_error_that_shows_what_to_write(
    client: BlockingProxyAuthClient, proxy: FakeProxy, anyio_backend: tuple[str, dict[str, object]]
) -> None:
    client.get_me(TOKEN)

    async def view() -> None:
        assert client.get_me(TOKEN).user_name == "ada"  # a hit blocks nothing
        for call in (partial(client.get_me, OTHER), client.ping):
            with pytest.raises(RuntimeError, match="use ProxyAuthClient and await its methods"):
                call()
        user = await anyio.to_thread.run_sync(client.get_me, OTHER)
        assert user.user_name == "ada"

    anyio.run(view, backend=anyio_backend[0])
    assert len(proxy.calls) == 2


def test_it_works_in_trio_s_worker_threads(client: BlockingProxyAuthClient) -> None:
    user = trio.run(trio.to_thread.run_sync, partial(client.get_me, TOKEN))
    assert user.user_name == "ada"


def test_a_closed_client_raises_runtime_error(url: str) -> None:
    with BlockingProxyAuthClient(url) as client:
        client.get_me(TOKEN)
    client.close()
    never_used = BlockingProxyAuthClient(url)
    never_used.close()
    for closed in (client, never_used):
        for call in (
            partial(closed.get_me, TOKEN),
            partial(closed.get_me, TOKEN, fresh=True),
            partial(closed.test_permission, TOKEN, "audit"),
            closed.ping,
        ):
            with pytest.raises(RuntimeError, match=r"This client is closed; make a new one\."):
                call()
    assert client.stats().upstream_calls == 1
    assert background_threads() == 0


def test_closing_ends_the_calls_of_other_threads(url: str, proxy: FakeProxy) -> None:
    proxy.delay = TIMEOUT
    client = BlockingProxyAuthClient(url, settings=SETTINGS)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(client.get_me, TOKEN) for _ in range(3)]
        eventually(lambda: client.stats().coalesced == 2)
        client.close()
        for call in calls:
            with pytest.raises(OxaigenAuthUpstreamError, match="Auth service unavailable"):
                call.result()
    assert background_threads() == 0


def test_threads_that_call_while_it_closes_get_an_error_and_never_hang(url: str) -> None:
    for _ in range(20):
        client = BlockingProxyAuthClient(url, settings=SETTINGS)
        numbers = count()
        outcomes: set[type] = set()

        def call_until_closed(
            client: BlockingProxyAuthClient, numbers: Iterator[int], outcomes: set[type]
        ) -> None:
            while True:
                try:
                    client.get_me(f"{MARK}-{next(numbers)}")
                except (RuntimeError, OxaigenAuthUpstreamError) as error:
                    outcomes.add(type(error))
                    if isinstance(error, RuntimeError):
                        return

        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(call_until_closed, client, numbers, outcomes)
            eventually(lambda client=client: client.stats().accepted > 0)  # type: ignore[misc]
            client.close()
        assert RuntimeError in outcomes


def test_an_interrupted_thread_leaves_the_lookup_which_ends_with_its_last_caller(
    client: BlockingProxyAuthClient, proxy: FakeProxy, watch: Watch
) -> None:
    proxy.delay = TIMEOUT
    main = threading.get_ident()

    def interrupt() -> None:
        eventually(lambda: len(proxy.calls) == 1)
        signal.pthread_kill(main, signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            client.get_me(TOKEN)
    watch.search_error(caught.value)
    assert watch.take() == []
    proxy.delay = 0
    assert client.get_me(TOKEN).user_name == "ada"
    assert len(proxy.calls) == 2


def test_an_interrupted_thread_costs_other_callers_nothing(
    client: BlockingProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 1
    main = threading.get_ident()

    def interrupt() -> None:
        eventually(lambda: client.stats().coalesced == 1)
        signal.pthread_kill(main, signal.SIGINT)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(interrupt)
        other = pool.submit(client.get_me, TOKEN)
        with pytest.raises(KeyboardInterrupt):
            client.get_me(TOKEN)
        assert other.result().user_name == "ada"
    assert len(proxy.calls) == 1


@contextmanager
def interrupted_by(handle: Callable[[], object], when: Callable[[], bool]) -> Iterator[None]:
    """Call `handle` in this thread, as a signal handler, as soon as `when` holds."""
    main = threading.get_ident()
    usual = signal.signal(signal.SIGUSR1, lambda *_: handle())

    def interrupt() -> None:
        eventually(when)
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(interrupt)
            yield
    finally:
        signal.signal(signal.SIGUSR1, usual)


def test_a_signal_handler_that_interrupts_a_lookup_can_close_the_client(
    client: BlockingProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0.5
    with interrupted_by(client.close, lambda: len(proxy.calls) == 1):
        assert client.get_me(TOKEN).user_name == "ada"  # the lookup that was interrupted
    assert background_threads() == 0
    with pytest.raises(RuntimeError, match="This client is closed"):
        client.get_me(TOKEN)


def test_a_signal_handler_that_closes_the_client_and_raises_ends_the_lookup(
    client: BlockingProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = TIMEOUT

    def end() -> None:
        client.close()
        raise SystemExit

    with interrupted_by(end, lambda: len(proxy.calls) == 1), pytest.raises(SystemExit):
        client.get_me(TOKEN)
    assert background_threads() == 0


def test_other_calls_that_interrupt_one_raise_an_error_and_never_wait(
    url: str, watch: Watch
) -> None:
    """The clock is read while a lock is held."""
    interrupted: BlockingProxyAuthClient
    errors: list[RuntimeError] = []

    def interrupting_clock() -> float:
        for call in (
            partial(interrupted.get_me, TOKEN),
            partial(interrupted.test_permission, TOKEN, "audit"),
            partial(interrupted.forget, TOKEN),
            interrupted.ping,
        ):
            if threading.current_thread() is threading.main_thread():
                with pytest.raises(RuntimeError, match=r"there, it can only call close\(\)") as it:
                    call()
                errors.append(it.value)
        return time.monotonic()

    with BlockingProxyAuthClient(url, clock=interrupting_clock) as interrupted:
        assert interrupted.get_me(TOKEN).user_name == "ada"
        assert interrupted.get_me(TOKEN).user_name == "ada"
    assert len(errors) >= 4
    for error in errors[:4]:
        watch.search_error(error)
    assert watch.take() == []


def test_while_the_interpreter_exits_nothing_waits_for_the_threads_that_have_stopped(
    client: BlockingProxyAuthClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In miniature; tests/integration/test_blocking_processes.py has real exits."""
    client.get_me(TOKEN)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        with pytest.raises(RuntimeError, match="cannot be used while the interpreter exits"):
            client.get_me(TOKEN)
        client.close()
        assert background_threads() == 1


def test_an_interrupt_while_the_background_loop_starts_ends_that_loop(
    client: BlockingProxyAuthClient, proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, new_event_loop = threading.get_ident(), asyncio.events.new_event_loop
    interrupted = threading.Event()

    def slow() -> asyncio.AbstractEventLoop:
        signal.pthread_kill(main, signal.SIGINT)
        assert interrupted.wait(TIMEOUT)
        return new_event_loop()

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(asyncio.events, "new_event_loop", slow)  # called in the new thread
        client.get_me(TOKEN)
    interrupted.set()
    eventually(lambda: background_threads() == 0)
    assert client.get_me(TOKEN).user_name == "ada"
    assert (background_threads(), len(proxy.calls)) == (1, 1)


def test_a_background_loop_that_cannot_start_is_an_error_and_the_next_call_works(
    client: BlockingProxyAuthClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Too many open files"):
        patch.setattr(asyncio.events, "new_event_loop", fail)
        client.get_me(TOKEN)
    assert client.get_me(TOKEN).user_name == "ada"


def test_another_process_has_a_client_of_its_own_with_an_empty_cache(
    url: str, proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork in miniature; tests/integration/test_blocking_processes.py has real ones."""
    client = BlockingProxyAuthClient(url, settings=SETTINGS)
    client.get_me(TOKEN)
    with monkeypatch.context() as child:
        child.setattr(blocking, "getpid", lambda: -1)
        client.get_me(TOKEN)
        client.close()
        assert client.stats().upstream_calls == 1
    assert background_threads() == 1
    client.close()
    assert (background_threads(), len(proxy.calls)) == (0, 2)


def test_a_process_that_discards_its_parent_s_client_does_not_touch_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = BlockingProxyAuthClient(url)
    client.get_me(TOKEN)
    worker = client._worker()  # noqa: SLF001 (as a child keeps it)
    with monkeypatch.context() as child:
        child.setattr(blocking, "getpid", lambda: -1)
        del client
        gc.collect()
    assert background_threads() == 1
    worker.close()


def test_a_client_that_is_discarded_without_close_ends_its_thread(url: str) -> None:
    client = BlockingProxyAuthClient(url)
    client.get_me(TOKEN)
    assert background_threads() == 1
    del client
    gc.collect()
    eventually(lambda: background_threads() == 0)
    BlockingProxyAuthClient(url)  # never used: there is no thread to end


class NumberingProxy(FakeProxy):
    """Numbers its answers, which name the token."""

    async def respond(self, call: Call) -> bytes:
        self.calls.append(call)
        return profile(id=len(self.calls), user_name=call.token.removeprefix(MARK))


@pytest.mark.parametrize("seed", range(3))
def test_hits_in_many_threads_are_consistent_while_the_loop_stores_and_discards(
    seed: int,
) -> None:
    """Each user is that of its token, and never older than one that was returned before."""
    settings = OxaigenAuthSettings(
        cache_max_entries=4, cache_ttl_seconds=0.3, proxy_timeout_seconds=TIMEOUT
    )
    proxy = NumberingProxy()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with (
            serving_elsewhere(proxy) as server,
            BlockingProxyAuthClient(server.url, settings=settings) as client,
            ThreadPoolExecutor(6) as pool,
        ):
            ends = time.monotonic() + 1
            list(pool.map(partial(_visit, client, ends), range(seed * 6, seed * 6 + 6)))
            stats = client.stats()
    finally:
        sys.setswitchinterval(usual)
    assert stats.hits > 0
    assert stats.upstream_calls == len(proxy.calls) > 6


def _visit(client: BlockingProxyAuthClient, ends: float, seed: int) -> None:
    newest: dict[str, int] = {}
    numbers = count(seed)
    while time.monotonic() < ends or not client.stats().hits:
        number = next(numbers)
        token = f"{MARK}-{number * 7 % 6}"
        if number % 50 == 0:
            client.forget(token)
        user = client.get_me(token)
        assert user.user_name == token.removeprefix(MARK)
        assert user.id is not None
        assert user.id >= newest.get(token, 0)
        newest[token] = user.id


def test_a_blocking_hit_takes_at_most_three_times_as_long_as_an_async_one(url: str) -> None:
    """The medians of interleaved rounds, so that the load of the machine affects both alike."""
    rounds: dict[str, list[float]] = {"blocking": [], "async": []}

    async def measure(blocking: BlockingProxyAuthClient) -> None:
        async with ProxyAuthClient(url) as client:
            await client.get_me(TOKEN)
            for _ in range(31):
                began = time.thread_time()
                for _ in range(200):
                    blocking.get_me(TOKEN)
                between = time.thread_time()
                for _ in range(200):
                    await client.get_me(TOKEN)
                rounds["blocking"].append(between - began)
                rounds["async"].append(time.thread_time() - between)

    def ratio() -> float:
        medians = {name: sorted(times)[len(times) // 2] for name, times in rounds.items()}
        return medians["blocking"] / medians["async"]

    with BlockingProxyAuthClient(url) as blocking:
        blocking.get_me(TOKEN)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(anyio.run, measure, blocking).result()
    assert ratio() <= 3


def test_a_verdict_that_is_read_in_a_thread_before_any_loop_runs_is_not_refreshed(
    clock: Clock,
) -> None:
    settings = OxaigenAuthSettings(refresh_ahead_seconds=30)
    proxy = FakeProxy()
    client = proxy.client("https://app.example.com", settings=settings, clock=clock)

    async def ask() -> None:
        await client.get_me(TOKEN)
        await client.aclose()

    anyio.run(ask)
    client.validator.loops.closed = False  # as if the event loop had ended by itself
    question = client.question(TOKEN, None)
    assert client.validator.cached(question, TOKEN) is not None
    assert (client.stats().refreshed, len(proxy.calls)) == (0, 1)


def test_observers_and_a_fake_proxy_work_without_an_event_loop() -> None:
    events: list[str] = []

    class Recorder(Observer):
        def on_hit(self, _: Question, __: Verdict[Any], /) -> None:
            events.append("hit")

        def on_result(self, _: Question, __: Verdict[Any] | None, /) -> None:
            events.append("result")

        def on_refusal(self, question: Question | None, reason: Reason, /) -> None:
            assert question is not None
            events.append(f"{reason} {question.permission}")

    proxy = testing.FakeProxy()
    proxy.add_user("adas-token", user_name="ada")
    url = "https://app.example.com"
    with BlockingProxyAuthClient(url, transport=proxy, observers=[Recorder()]) as client:
        assert client.get_me("adas-token").user_name == "ada"
        assert not client.test_permission("adas-token", "audit")
    assert events == ["result", "hit", "result", "permission_denied audit"]
    with pytest.raises(TypeError, match="an observer must be an instance"):
        BlockingProxyAuthClient(url, observers=[Recorder])  # type: ignore[list-item]
