"""Event loops in several threads that share a client, with frequent switches."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from math import inf
from random import Random
from threading import Barrier
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import define, field
from fastapi import HTTPException
from starlette.requests import HTTPConnection

from oxaigen_auth import get_current_user, require_permission

# The shared parts, which are also tested one by one, in many threads at once.
from oxaigen_auth._core import rate_limit as rate_limit_module
from oxaigen_auth._core.cache import Cache
from oxaigen_auth._core.circuit_breaker import MAX_CALLERS, MAX_UPSTREAMS, CircuitBreaker, Permit
from oxaigen_auth._core.rate_limit import RateLimit
from oxaigen_auth._default_client import default_client
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Accepted, Rejected
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError, OxaigenAuthUpstreamError
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings
from tests.support.apps import serving_elsewhere
from tests.support.fake_proxy import DENIED, DOWN, GRANTED, Call, FakeProxy, profile, refusal
from tests.support.tokens import MARK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from oxaigen_auth._validation.verdict import Verdict
    from oxaigen_auth.client import ProxyAuthClient

MOST = 8  # entries in each cache
NAMES = [*(f"good-{n}" for n in range(12)), *(f"bad-{n}" for n in range(12)), "down-0"]
VISITORS = 6  # tasks in each event loop
THREADS = 4
TIMEOUT = 120  # seconds: more than it takes, however busy the machine
OUTCOMES = {"welcome", "True", "False", "403", "401", "502", "cut off"}


@pytest.fixture(autouse=True)
def _frequent_switches() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


# Two event loops.


class NumberingProxy(FakeProxy):
    """Numbers its answers. The answer depends on the name in the token."""

    async def respond(self, call: Call) -> bytes:
        self.calls.append(call)
        number, name = len(self.calls), call.token.removeprefix(f"{MARK}-")
        grants = {"test-app-permission/audit": GRANTED, "test-app-permission/edit": DENIED}
        answers = {
            "good": grants.get(call.endpoint, profile(id=number, user_name=name)),
            "bad": refusal(401, "Token expired"),
            "down": DOWN,
        }
        await anyio.sleep(number % 4 / 1000)
        return answers[name.partition("-")[0]]


@define(eq=False)
class StopCondition:
    """Returns whether to stop: after `least` seconds, once every outcome has occurred."""

    least: float
    client: ProxyAuthClient
    seen: set[str] = field(factory=set)
    began: float = field(factory=time.monotonic)

    def __call__(self) -> bool:
        past = time.monotonic() - self.began
        return past > self.least and (self.is_complete() or past > TIMEOUT)

    def is_complete(self) -> bool:
        stats = self.client.stats()
        return self.seen == OUTCOMES and min(stats.hits, stats.coalesced, stats.refreshed) > 0


@define(eq=False)
class Loop:
    """The tasks of one event loop, which ask about random tokens until `should_stop`."""

    proxy: FakeProxy
    floors: dict[str, int]  # the answer to each name after which it was last forgotten
    should_stop: StopCondition
    seed: int
    forgotten: int = 0
    outcomes: Counter[str] = field(factory=Counter)

    async def run(self, *, in_block: bool) -> None:
        async with AsyncExitStack() as stack:
            if in_block:
                await stack.enter_async_context(default_client().validator.loops.running())
            async with anyio.create_task_group() as group:
                for number in range(VISITORS):
                    group.start_soon(self.visit, Random(self.seed * VISITORS + number))

    async def visit(self, random: Random) -> None:
        while not self.should_stop():
            name, (ask, good) = random.choice(NAMES), random.choice(WAYS)
            floor = self.floors.get(name, 0)
            outcome = await outcome_of(ask(f"{MARK}-{name}"))
            if isinstance(outcome, User):
                assert outcome.user_name == name
                assert (outcome.id or 0) > floor
                outcome = "welcome"
            expected = {"good": good, "bad": 401, "down": 502}[name.partition("-")[0]]
            assert outcome in (expected, "cut off"), (ask, name, outcome)
            self.outcomes[f"{outcome}"] += 1
            self.should_stop.seen.add(f"{outcome}")
            if random.random() < 0.1:
                self.forget(name)
            await anyio.sleep(random.random() / 500)

    def forget(self, name: str) -> None:
        floor = len(self.proxy.calls)
        default_client().forget(f"{MARK}-{name}")
        self.floors[name] = floor
        self.forgotten += 1


async def outcome_of(call: Awaitable[Any]) -> Any:
    """Return the result of a call, or the status of a refusal."""
    try:
        return await call
    except OxaigenAuthUnauthenticatedError:
        return 401
    except OxaigenAuthUpstreamError:
        return 502
    except HTTPException as error:
        return error.status_code


async def ask(token: str, *, fresh: bool = False) -> User:
    return await default_client().get_me(token, fresh=fresh)


async def ask_with_timeout(token: str) -> User | str:
    with anyio.move_on_after(0.001):
        return await default_client().get_me(token)
    return "cut off"


async def check(name: str, token: str) -> bool:
    return await default_client().test_permission(token, name)


async def visit_route(dependency: Callable[[HTTPConnection], Awaitable[User]], token: str) -> User:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    return await dependency(HTTPConnection({"type": "http", "headers": headers}))


WAYS: list[tuple[Callable[[str], Awaitable[Any]], object]] = [
    (ask, "welcome"),
    (partial(ask, fresh=True), "welcome"),
    (ask_with_timeout, "welcome"),
    (partial(check, "audit"), True),
    (partial(check, "edit"), False),
    (partial(visit_route, get_current_user), "welcome"),
    (partial(visit_route, require_permission("audit")), "welcome"),
    (partial(visit_route, require_permission("edit")), 403),
]


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProxy]:
    """Serve the default client, whose cached answers expire all the time."""
    with serving_elsewhere(proxy := NumberingProxy()) as server:
        settings = {
            "PROXY_URL_OVERRIDE": server.url,
            "PROXY_TIMEOUT_SECONDS": "30",
            "CACHE_TTL_SECONDS": "0.5",
            "NEGATIVE_CACHE_TTL_SECONDS": "0.2",
            "REFRESH_AHEAD_SECONDS": "0.48",  # entries do not stay long
            "CACHE_MAX_ENTRIES": str(MOST),
            "MAX_CONNECTIONS": "4",
            "BREAKER": "off",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"OXAIGEN_AUTH_{name}", value)
        monkeypatch.setattr(logging.getLogger("oxaigen_auth"), "disabled", True)
        yield proxy


@pytest.mark.parametrize("backends", [("asyncio", "trio"), ("asyncio", "asyncio")], ids="-".join)
def test_event_loops_in_two_threads_share_a_client_without_a_wrong_answer(
    backends: tuple[str, str],
    proxy: FakeProxy,
    long: bool,  # noqa: FBT001
) -> None:
    client = default_client()
    should_stop = StopCondition(60 if long else 2.5, client)
    floors: dict[str, int] = {}
    loops = [Loop(proxy, floors, should_stop, seed) for seed in range(2)]
    blocks = [partial(loops[0].run, in_block=True), partial(loops[1].run, in_block=False)]
    with ThreadPoolExecutor() as threads:
        runs = [
            threads.submit(anyio.run, block, backend=backend)
            for block, backend in zip(blocks, backends, strict=True)
        ]
        for run in runs:
            run.result(2 * TIMEOUT)
    gc.collect()  # a connection that was left open would warn
    outcomes = loops[0].outcomes + loops[1].outcomes
    assert set(outcomes) == OUTCOMES
    stats, store = client.stats(), client.validator.store
    print(outcomes, len(proxy.calls), stats)  # noqa: T201 (shown with -s)
    for kept in (store.caches.users, store.caches.grants, store.caches.rejections):
        assert 0 < len(kept) <= MOST
    assert not len(store._generations)  # noqa: SLF001
    # Plain sums, without a lock: they may lose a count when two threads add at once.
    assert stats.forgotten >= (loops[0].forgotten + loops[1].forgotten) * 0.99
    assert stats.hits + stats.misses >= outcomes.total() * 0.99
    assert stats.upstream_calls >= len(proxy.calls) * 0.99
    assert (
        stats.upstream_calls
        <= stats.misses - stats.coalesced + stats.refreshed + outcomes.total() * 0.01
    )
    assert min(stats.hits, stats.coalesced, stats.refreshed) > 0


# The shared parts, one by one.


def run_in_threads(step: Callable[[Random], object], long: bool) -> None:  # noqa: FBT001
    """Run steps in several threads at the same time."""
    start = Barrier(THREADS)

    def run_steps(seed: int) -> None:
        random = Random(seed)
        start.wait(TIMEOUT)
        deadline = time.monotonic() + (20 if long else 0.5)
        while time.monotonic() < deadline:
            for _ in range(50):
                step(random)

    with ThreadPoolExecutor(THREADS) as threads:
        for run in [threads.submit(run_steps, seed) for seed in range(THREADS)]:
            run.result(2 * TIMEOUT)


def test_a_cache_used_by_many_threads_keeps_its_bounds(
    long: bool,  # noqa: FBT001
) -> None:

    def group_of(key: Any) -> int:
        return int(key) % 3

    ttl = 0.001
    cache: Cache[tuple[int, float]] = Cache(
        MOST,
        ttl,
        time.monotonic,
        stale_ttl=ttl,
        max_bytes=5 * MOST,
        max_per_group=3,
        group_of=group_of,
    )

    def step(random: Random) -> None:
        key, now = random.randrange(2 * MOST), time.monotonic()
        for value, longest in [(cache.get(key), ttl), (cache.stale(key), 2 * ttl)]:
            assert (value or (key, 0))[0] == key
            assert now - (value or (key, inf))[1] < longest
        cache.put(key, (key, now), stored_at=now, size=random.randrange(12))
        assert cache.stored_at(random.randrange(2 * MOST)) <= time.monotonic()
        cache.discard(random.randrange(20 * MOST))
        assert len(cache) <= MOST

    run_in_threads(step, long)
    assert 0 < len(cache) <= MOST
    entries = cache._entries  # noqa: SLF001
    assert sum(entry.size for entry in entries.values()) == cache.size <= 5 * MOST
    grouped = Counter(map(group_of, entries))
    assert +grouped == +Counter({group: len(cache.group(group)) for group in range(3)})
    assert max(grouped.values(), default=0) <= 3


def test_a_store_used_by_many_threads_never_returns_an_older_verdict(
    long: bool,  # noqa: FBT001
) -> None:
    """A user and a rejection replace each other under each key, as from two event loops."""
    settings = OxaigenAuthSettings(cache_ttl_seconds=1e9, negative_cache_ttl_seconds=1e9)
    store = VerdictStore(settings, lambda: 0.0)
    newest = [-inf] * 3  # of those that were read
    numbers = count(-(10**8))

    def step(random: Random) -> None:
        place = random.randrange(len(newest))
        key = store.flight_key(Question(b"token", str(place)))
        asked = next(numbers) - random.randrange(4)
        verdicts: list[Verdict[User]] = [Accepted(User(id=asked)), Rejected(f"{asked}")]
        store.put(key, random.choice(verdicts), asked)
        least = newest[place]
        read = number_of(store.get(key.question), otherwise=least)
        assert read >= least
        newest[place] = max(newest[place], read)

    assert number_of(store.get(Question(b"another", "")), otherwise=7) == 7
    run_in_threads(step, long)
    assert min(newest) > -inf


def number_of(verdict: Verdict[User] | None, *, otherwise: float) -> float:
    """Return the number of a verdict; between a user and a rejection there may be none."""
    match verdict:
        case Accepted(user):
            return user.id or 0
        case Rejected(detail):
            return int(detail)
        case _:
            return otherwise


def test_a_store_used_by_many_threads_never_returns_forgotten_or_rejected_verdicts(
    long: bool,  # noqa: FBT001
) -> None:
    """Each step is a lookup, a sign-out or a rejection; the numbers are the times of lookups."""
    settings = OxaigenAuthSettings(cache_ttl_seconds=1e9, negative_cache_ttl_seconds=0)
    store = VerdictStore(settings, lambda: 0.0)
    numbers = count(-(10**8))
    outdated = [-inf] * 2  # the newest number of each token that no longer counts

    def step(random: Random) -> None:
        place = random.randrange(len(outdated))
        question = Question(b"%d" % place, random.choice(["one", "two"]))
        store.begin(question)
        key, least, asked = store.flight_key(question), outdated[place], next(numbers)
        assert number_of(store.get(key.question), otherwise=inf) >= least
        what = random.random()
        verdict: Verdict[User] = Accepted(User(id=asked)) if what < 0.9 else Rejected(f"{asked}")
        verdict = store.put(key, verdict, asked)
        if what > 0.95:
            before = next(numbers)
            store.forget(question.fingerprint)
            outdated[place] = max(outdated[place], before)
            assert store.flight_key(question) > key
            assert store.is_outdated(key, Accepted(User(), asked))
        elif isinstance(verdict, Accepted) and not store.is_outdated(key, verdict):
            assert verdict.asked >= least
        store.end(question)

    run_in_threads(step, long)
    assert not len(store._generations)  # noqa: SLF001
    assert min(outdated) > -inf


def test_a_breaker_used_by_many_threads_keeps_its_bound(long: bool) -> None:  # noqa: FBT001
    breaker = CircuitBreaker(time.monotonic, threshold=2)
    upstreams = [f"upstream {number}" for number in range(MAX_UPSTREAMS + 4)]

    def step(random: Random) -> None:
        upstream = random.choice(upstreams[: random.choice([4, None])])
        permit = breaker.acquire(upstream, random.randbytes(1))
        if isinstance(permit, Permit):
            answered = random.choice([True, False, False, None])
            assert (breaker.record(permit, answered=answered) or 0) <= 1
        assert len(breaker) <= MAX_UPSTREAMS

    run_in_threads(step, long)
    circuits = breaker._circuits.values()  # noqa: SLF001
    assert all(len(circuit.callers) <= MAX_CALLERS for circuit in circuits)


def test_only_one_of_many_threads_probes_after_a_backoff(
    long: bool,  # noqa: FBT001
) -> None:
    seconds = count()
    breaker = CircuitBreaker(lambda: now[0], threshold=1)
    now = [next(seconds)]
    first = breaker.acquire("upstream", b"one")
    assert isinstance(first, Permit)
    breaker.record(first, answered=False)
    together = Barrier(THREADS, action=lambda: now.__setitem__(0, next(seconds)))
    apart = Barrier(THREADS)

    def call(seed: int) -> list[bool]:
        random, probed = Random(seed), []
        for _ in range(20_000 if long else 500):
            together.wait(TIMEOUT)
            permit = breaker.acquire("upstream", b"one")
            apart.wait(TIMEOUT)
            if isinstance(permit, Permit):
                breaker.record(permit, answered=random.choice([False, None]))
            probed.append(isinstance(permit, Permit))
        return probed

    with ThreadPoolExecutor(THREADS) as threads:
        rounds = zip(*threads.map(call, range(THREADS)), strict=True)
    assert {sum(probed) for probed in rounds} == {1}


def test_a_rate_limit_used_by_many_threads_counts_its_tokens(
    long: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Reached often enough to be tested.
    monkeypatch.setattr(rate_limit_module, "MAX_TOKENS", 40)
    monkeypatch.setattr(rate_limit_module, "MINUTE", 0.002)
    rate_limit = RateLimit(4, time.monotonic)
    refused = Counter[bool]()

    def step(random: Random) -> None:
        address = f"192.0.2.{random.randrange(20)}"
        rate_limit.record(address, b"%d" % random.randrange(1000))
        refused[rate_limit.retry_after(address) > 0] += 1

    run_in_threads(step, long)
    kept = [minute.tokens for minute in rate_limit._minutes.values()]  # noqa: SLF001
    assert rate_limit._total == sum(map(len, kept)) <= 40  # noqa: SLF001
    assert max(map(len, kept)) <= 5
    assert set(refused) == {True, False}
