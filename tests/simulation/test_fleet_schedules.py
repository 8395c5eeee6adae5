"""Random schedules over the processes of a fleet, whose engine is slow, fails, and loses data.

The engine is a simulated one, of either kind, or the real one for the processes of one host. Each
schedule is drawn from its seed: some processes on some hosts with skewed clocks, and what they
ask, revoke and forget in a few seconds of virtual time. With events (`pushes`), each arrives up to
`MAX_EVENT_DELAY` late and in any order, or is lost while its process is cut off, which the process
notices after `MAX_SILENCE` at most. Without, the stamps change at once.

The properties:

    forgotten   Nobody accepts a token that was revoked and forgotten before they asked, but for the
                bound of their engine. Nor does anybody whose lookup ran then, unless the engine has
                failed or lost its data.
    young       Nothing is older than its TTL, if no clock differs by more than the declared skew.
    served      Whatever the engine does, a valid token is accepted while the proxy answers, within
                the deadline of a lookup.
    tidy        At the end there is no note of a lookup, and no lease that does not expire.

The error of a failed schedule contains its seed: `SCHEDULE_SEED=1234 uv run pytest …`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from attrs import define, field
from trio.testing import MockClock

from oxaigen_auth import OxaigenAuthError, OxaigenAuthUnauthenticatedError, ProxyAuthClient
from oxaigen_auth._shared.clocks import HostClock
from oxaigen_auth._shared.sqlite import SqliteStore
from oxaigen_auth._shared.store import Listener, SharedStore
from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth.testing import FakeProxy
from tests.simulation.scheduler import replayable as replayable  # noqa: PLC0414
from tests.simulation.scheduler import schedule, seeds
from tests.support.fleet_clients import fleet_client
from tests.support.memory_store import MemoryServer, MemoryStore
from tests.support.virtual_time import new_event_loop

pytestmark = pytest.mark.anyio

SHORT, LONG = 8, 20_000  # schedules for each engine and backend
SECONDS = 8.0  # of one schedule
TIMEOUT = 4.0  # of a lookup
MAX_EVENT_DELAY = 0.1
MAX_SILENCE = 1.0
SKEW = 1.0
TTL = 3.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "asyncio":
        # No socket is used, so that time need not wait for one.
        return "asyncio", {"loop_factory": partial(new_event_loop, noop_cycles=3)}
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@define(eq=False)
class SlowProxy(FakeProxy):
    """Tells when each call arrived, and takes a random time."""

    rng: random.Random = field(factory=random.Random)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        arrived = anyio.current_time()
        self.delay = self.rng.choice([0, 0.05, 0.3, 0.7])
        answer = await super().handle_async_request(request)
        if answer.status_code == 200 and b'"id"' in answer.content:
            return httpx.Response(200, json={**answer.json(), "arrived": arrived})
        return answer


@define(eq=False)
class LateStore(MemoryStore):
    """Delivers events late, in any order."""

    later: Callable[[Callable[[], None]], None] = lambda _: None

    def deliver(self, event: Callable[[Listener], None]) -> None:
        if self.deliver_events:
            self.later(lambda: MemoryStore.deliver(self, event))


@define(eq=False)
class Schedule:
    """One schedule. With a `path`, the engine is a real one: that of the workers of one host."""

    rng: random.Random
    pushes: bool
    group: TaskGroup
    path: Path | None = None
    proxy: SlowProxy = field(init=False)
    server: MemoryServer = field(init=False)
    stores: list[LateStore] = field(factory=list)
    clients: list[ProxyAuthClient] = field(factory=list)
    cuts: bool = False
    failing: bool = False
    has_lost: bool = False
    forgotten: dict[str, tuple[float, int]] = field(factory=dict)
    moments: list[float] = field(factory=list)  # of any forget

    def __attrs_post_init__(self) -> None:
        rng, now = self.rng, anyio.current_time
        self.proxy = SlowProxy(rng=rng)
        for number in range(3):
            self.proxy.add_user(f"token-{number}", id=number // 2 + 1, permissions=["audit"])
        self.server = MemoryServer(now)
        self.cuts = self.pushes and rng.random() < 0.4
        self.failing = self.path is None and rng.random() < 0.3
        hosts = [self._host(number) for number in range(2 if self.pushes else 1)]
        for number in range(rng.randint(2, 4)):
            if self.path is not None:
                store: SharedStore = SqliteStore(self.path)
            else:
                store = self._memory_store()
            self.clients.append(
                fleet_client(
                    store,
                    self.proxy,
                    now,
                    host_clock=hosts[number % len(hosts)],
                    cache_ttl_seconds=TTL,
                    proxy_timeout_seconds=TIMEOUT,
                    refresh_ahead_seconds=rng.choice([0, 0, 1]),
                )
            )
        if self.failing:
            self.group.start_soon(self._fail_now_and_then)

    def _memory_store(self) -> LateStore:
        rng = self.rng
        store = LateStore(self.server, pushes=self.pushes, later=self._later)
        slow = rng.choice([0.0, 0.0, 0.01, 0.1])
        store.delay = lambda: rng.random() * slow
        if self.failing:
            store.failing = frozenset(rng.sample(["read", "acquire", "put", "release"], 2))
        self.stores.append(store)
        return store

    def _host(self, number: int) -> HostClock:
        offset = self.rng.uniform(-SKEW / 2, SKEW / 2)
        boot = self.rng.uniform(0, 1000)
        return HostClock(
            wall=lambda: anyio.current_time() + offset,
            boot=lambda: anyio.current_time() + boot,
            boot_id=bytes([number]) * 16,
        )

    def _later(self, deliver: Callable[[], None]) -> None:
        async def wait() -> None:
            await anyio.sleep(self.rng.random() * MAX_EVENT_DELAY)
            deliver()

        self.group.start_soon(wait)

    async def _fail_now_and_then(self) -> None:
        while True:
            await anyio.sleep(self.rng.random() * 2)
            store = self.rng.choice(self.stores)
            store.problem = self.rng.choice(["", "broken"])

    def bound(self) -> float:
        """Return for how long a process may accept what another one has forgotten."""
        if not self.pushes:
            return 0.0
        return MAX_SILENCE + MAX_EVENT_DELAY if self.cuts else MAX_EVENT_DELAY

    async def ask(self, process: int, token: str) -> None:
        client, rng = self.clients[process], self.rng
        began = anyio.current_time()
        name = rng.choice(["", "", "audit"])
        with anyio.move_on_after(rng.choice([inf, inf, inf, 0.2])) as scope:
            try:
                if name:
                    assert await client.test_permission(token, name)
                    arrived = inf
                else:
                    user = await client.get_me(token, fresh=rng.random() < 0.1)
                    arrived = user.extra["arrived"]
            except OxaigenAuthError as error:
                # Each `forget` makes a lookup repeat, until the deadline.
                may_be_late = any(began <= moment for moment in self.moments)
                is_refused = isinstance(error, OxaigenAuthUnauthenticatedError)
                assert token in self.forgotten if is_refused else may_be_late
                return
        if scope.cancelled_caught:
            return
        ended = anyio.current_time()
        assert ended - began <= TIMEOUT * 2 + 1  # the user, then the permission
        assert arrived > began - TTL - 1e-6, "too old"
        at, by = self.forgotten.get(token, (inf, -1))
        bound = 0.0 if by == process else self.bound()
        assert began < at + bound, "forgotten before it was asked"
        if not (self.failing or self.cuts or self.has_lost or name):
            assert ended <= at + bound + 1e-6, "forgotten while it was asked"

    async def forget(self, process: int, token: str) -> None:
        client, kind = self.clients[process], self.rng.choice(["token", "user", "all"])
        now = anyio.current_time()
        self.moments.append(now)
        number = int(token[-1])
        if self.rng.random() < 0.5:  # not revoked
            pass
        elif kind == "token":
            self._revoke(token, process)
        elif kind == "user":
            for other in range(3):
                if other // 2 == number // 2:
                    self._revoke(f"token-{other}", process)
        else:
            self._revoke(token, process)
        if kind == "token":
            client.forget(token)
        elif kind == "user":
            client.forget_user(number // 2 + 1)
        else:
            client.forget_all()

    def _revoke(self, token: str, process: int) -> None:
        self.proxy.reject(token)
        self.forgotten.setdefault(token, (anyio.current_time(), process))

    async def cut(self, process: int) -> None:
        """Lose the events of a process, which it notices a moment later."""
        if not self.cuts:
            return
        store = self.stores[process]
        if store.listener is None or not store.deliver_events:
            return
        store.deliver_events = False
        await anyio.sleep(self.rng.random() * MAX_SILENCE)
        store.disconnect()
        await anyio.sleep(self.rng.random() * 3)
        store.connect()

    async def lose(self) -> None:
        self.has_lost = True
        self.server.lose_everything()

    async def run(self) -> None:
        rng = self.rng
        end = anyio.current_time() + SECONDS
        async with anyio.create_task_group() as group:
            while anyio.current_time() < end:
                process, token = rng.randrange(len(self.clients)), f"token-{rng.randrange(3)}"
                kind = rng.choices(["ask", "forget", "cut", "lose"], [40, 4, 2, 1])[0]
                if kind == "ask":
                    group.start_soon(self.ask, process, token)
                elif kind == "forget":
                    await self.forget(process, token)
                elif kind == "cut":
                    group.start_soon(self.cut, process)
                else:
                    await self.lose()
                await anyio.sleep(rng.choice([0, 0.01, 0.2, 0.4]))
        for client in self.clients:
            assert not len(client.validator.store._generations)  # noqa: SLF001
        await anyio.sleep(0.6)
        assert not [it for it in self.server.leases if self.server.holder(it)]


@pytest.mark.parametrize("engine", ["pushes", "stamps", "sqlite"])
async def test_nobody_accepts_what_was_forgotten_before_they_asked(
    engine: str,
    long: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    path = tmp_path / "auth.db" if engine == "sqlite" else None
    for seed in seeds(LONG if long else SHORT):
        with schedule(seed, engine):
            async with anyio.create_task_group() as group:
                plan = Schedule(random.Random(seed), engine == "pushes", group, path)
                await plan.run()
                for client in plan.clients:
                    await client.aclose()
                group.cancel_scope.cancel()
