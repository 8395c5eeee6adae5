from __future__ import annotations

import base64
import json
from typing import Any

import anyio
import pytest

from oxaigen_auth import (
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
)
from oxaigen_auth._shared.clocks import HostClock
from oxaigen_auth._validation.shared_verdicts import MAX_CIRCUITS, UNKNOWN_STAMP, StampCheck
from oxaigen_auth.testing import FakeProxy
from tests.support.fleet_clients import fleet_client
from tests.support.memory_store import MemoryServer, MemoryStore
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio
TOKEN, OTHER = "a-token", "another-token"


def jwt(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


class World:
    """Processes with one proxy and one engine."""

    def __init__(self, *, pushes: bool) -> None:
        self.proxy = FakeProxy()
        for number, token in enumerate((TOKEN, OTHER), 1):
            self.proxy.add_user(token, id=number, user_name=token, permissions=["audit"])
        self.server = MemoryServer(anyio.current_time)
        self.pushes = pushes
        self.stores: list[MemoryStore] = []

    def client(self, **options: Any) -> ProxyAuthClient:
        store = MemoryStore(self.server, pushes=self.pushes)
        self.stores.append(store)
        return fleet_client(store, self.proxy, anyio.current_time, **options)

    def clients(self, count: int, **options: Any) -> list[ProxyAuthClient]:
        return [self.client(**options) for _ in range(count)]


@pytest.fixture(params=[True, False], ids=["pushes", "stamps"])
def world(request: pytest.FixtureRequest) -> World:
    return World(pushes=request.param)


async def test_one_process_asks_and_the_others_use_its_answer(world: World) -> None:
    clients = world.clients(4)
    users = [await client.get_me(TOKEN) for client in clients]
    assert users == [users[0]] * 4
    assert world.proxy.count() == 1
    assert [client.stats().shared_hits for client in clients] == [0, 1, 1, 1]
    assert [client.stats().shared_misses for client in clients] == [1, 0, 0, 0]


async def test_processes_that_ask_at_once_make_one_call(world: World) -> None:
    world.proxy.delay = 0.3
    async with anyio.create_task_group() as group:
        for client in world.clients(8):
            for _ in range(10):
                group.start_soon(client.get_me, TOKEN)
    assert world.proxy.count() == 1
    assert not world.server.leases


async def test_a_lookup_waits_half_a_second_for_that_of_another_process(world: World) -> None:
    world.proxy.delay = 3
    first, second = world.clients(2)
    async with anyio.create_task_group() as group:
        group.start_soon(first.get_me, TOKEN)
        await anyio.sleep(0.1)
        group.start_soon(second.get_me, TOKEN)
        await anyio.sleep(0.55)
        assert world.proxy.count() == 2
        started = anyio.current_time()
    assert anyio.current_time() - started < 3


async def test_rejections_are_shared(world: World) -> None:
    for client in world.clients(3):
        with pytest.raises(OxaigenAuthUnauthenticatedError, match="Invalid token"):
            await client.get_me("unknown")
    assert world.proxy.count() == 1


async def test_permissions_are_shared(world: World) -> None:
    for client in world.clients(3):
        assert await client.test_permission(TOKEN, "audit")
        assert not await client.test_permission(TOKEN, "other")
    assert world.proxy.count() == 3


async def test_what_one_process_forgets_no_other_accepts(world: World) -> None:
    clients = world.clients(3)
    for client in clients:
        await client.get_me(TOKEN)
        await client.get_me(OTHER)
    world.proxy.reject(TOKEN)
    clients[0].forget(TOKEN)
    for client in clients:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(TOKEN)
        await client.get_me(OTHER)
    assert world.proxy.count(OTHER) == 1


@pytest.mark.parametrize("what", ["user", "all"])
async def test_a_user_or_everything_is_forgotten_everywhere(world: World, what: str) -> None:
    clients = world.clients(3)
    for client in clients:
        assert await client.test_permission(TOKEN, "audit")
        await client.get_me(OTHER)
    world.proxy.reject(TOKEN)
    if what == "user":
        clients[1].forget_user(1)
    else:
        clients[1].forget_all()
    for client in clients:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.test_permission(TOKEN, "audit")
        await client.get_me(OTHER)
    assert world.proxy.count(OTHER) == (1 if what == "user" else 2)


@pytest.mark.parametrize("what", ["token", "user", "all"])
@pytest.mark.parametrize("forgetter", [0, 1])
async def test_a_lookup_that_runs_does_not_count_once_its_token_is_forgotten(
    world: World, what: str, forgetter: int
) -> None:
    world.proxy.delay = 0.2
    clients = world.clients(2)

    async def get_me() -> None:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await clients[0].get_me(TOKEN)

    async with anyio.create_task_group() as group:
        group.start_soon(get_me)
        await anyio.sleep(0.1)
        world.proxy.reject(TOKEN)
        client = clients[forgetter]
        if what == "token":
            client.forget(TOKEN)
        elif what == "user":
            client.forget_user(1)
        else:
            client.forget_all()
    assert world.proxy.count() == 2
    for client in clients:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(TOKEN)


async def test_a_rejection_outdates_the_acceptances_of_other_processes(world: World) -> None:
    first, second = world.clients(2)
    await first.get_me(TOKEN)
    await second.get_me(TOKEN)
    world.proxy.reject(TOKEN)
    for client in (first, second):
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(TOKEN, fresh=client is first)


async def test_a_rejected_permission_check_outdates_them_as_well(world: World) -> None:
    first, second = world.clients(2)
    assert await first.test_permission(TOKEN, "audit")
    await second.get_me(TOKEN)
    world.proxy.reject(TOKEN)
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await first.test_permission(TOKEN, "other")
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await second.get_me(TOKEN)


async def test_a_slow_acceptance_does_not_replace_a_newer_rejection(world: World) -> None:
    world.proxy.delay = 1
    first, second, third = world.clients(3)

    async def get_me() -> None:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await first.get_me(TOKEN)

    async with anyio.create_task_group() as group:
        group.start_soon(get_me)
        await anyio.sleep(0.5)
        world.proxy.reject(TOKEN)
        world.proxy.delay = 0.1
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await second.get_me(TOKEN, fresh=True)
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await third.get_me(TOKEN)


async def test_a_fresh_question_is_asked_and_its_answer_shared(world: World) -> None:
    first, second = world.clients(2)
    await first.get_me(TOKEN)
    world.proxy.add_user(TOKEN, id=1, user_name="renamed")
    assert (await second.get_me(TOKEN, fresh=True)).user_name == "renamed"
    third = world.client()
    assert (await third.get_me(TOKEN)).user_name == "renamed"
    assert world.proxy.count() == 2


async def test_the_age_counts_from_when_the_proxy_was_asked(world: World) -> None:
    first, second = world.clients(2, cache_ttl_seconds=10)
    await first.get_me(TOKEN)
    await anyio.sleep(9)
    await second.get_me(TOKEN)
    assert world.proxy.count() == 1
    await anyio.sleep(1.1)
    await second.get_me(TOKEN)
    assert world.proxy.count() == 2


@pytest.mark.parametrize(("offset", "calls"), [(0.9, 1), (-0.9, 1), (-1.5, 2)])
async def test_hosts_with_other_clocks_share_within_the_skew(
    world: World, offset: float, calls: int
) -> None:
    now = anyio.current_time
    first = world.client(host_clock=HostClock(wall=now, boot=now, boot_id=b"a" * 16))
    other = HostClock(wall=lambda: now() + offset, boot=now, boot_id=b"b" * 16)
    await first.get_me(TOKEN)
    await world.client(host_clock=other).get_me(TOKEN)
    assert world.proxy.count() == calls


async def test_nothing_is_older_than_its_ttl_on_another_host(world: World) -> None:
    now = anyio.current_time
    first = world.client(host_clock=HostClock(wall=now, boot=now, boot_id=b"a" * 16))
    slow = HostClock(wall=lambda: now() - 1, boot=now, boot_id=b"b" * 16)
    second = world.client(host_clock=slow, cache_ttl_seconds=10)
    await first.get_me(TOKEN)
    await anyio.sleep(5)
    await second.get_me(TOKEN)
    await anyio.sleep(5.01)
    await second.get_me(TOKEN)
    assert world.proxy.count() == 2


async def test_verdicts_past_their_ttl_are_shared_for_outages(world: World) -> None:
    first, second = world.clients(2, cache_ttl_seconds=10, stale_if_error_seconds=100)
    user = await first.get_me(TOKEN)
    await anyio.sleep(20)
    world.proxy.fail()
    assert await second.get_me(TOKEN) == user
    assert second.stats().stale == 1
    second.forget(TOKEN)
    for client in (first, second):
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)


async def test_a_proxy_that_is_back_is_used_by_all_processes_at_once(world: World) -> None:
    first = world.client(breaker_max_backoff_seconds=0.1)
    second = world.client(breaker_max_backoff_seconds=1000)
    world.proxy.fail()
    for number in range(100):
        await anyio.sleep(0.5)
        for client in (first, second):
            with pytest.raises(OxaigenAuthUpstreamError):
                await client.get_me(f"token-{number}")
    world.proxy.recover()
    await anyio.sleep(0.1)
    await first.get_me(TOKEN)
    others = [f"other-{number}" for number in range(5)]  # a probe would admit one of them
    for token in others:
        world.proxy.add_user(token, id=7)
    async with anyio.create_task_group() as group:
        for token in others:
            group.start_soon(second.get_me, token)


async def test_a_limited_number_of_open_circuits_is_noted(world: World) -> None:
    shared = world.client().validator.shared
    assert shared is not None
    for number in range(MAX_CIRCUITS + 1):
        shared.on_circuit_open(f"https://{number}.example.com")
    for number, is_noted in ((0, False), (1, True), (1, False), (MAX_CIRCUITS, True)):
        shared.on_circuit_closed(f"https://{number}.example.com")
        assert shared.has_answered_others(f"https://{number}.example.com") is is_noted


async def test_without_a_stamp_a_cached_verdict_is_used_for_a_second() -> None:
    world = World(pushes=False)
    client = world.client()
    await client.get_me(TOKEN)
    verdicts = client.validator.store
    verdicts.checks = StampCheck(verdicts, lambda _: UNKNOWN_STAMP)
    await anyio.sleep(0.9)
    await client.get_me(TOKEN)
    assert client.stats().hits == 1
    await anyio.sleep(0.2)
    await client.get_me(TOKEN)
    assert client.stats().hits == 1


async def test_a_refresh_ahead_uses_what_another_process_has_refreshed(world: World) -> None:
    clients = world.clients(4, cache_ttl_seconds=10, refresh_ahead_seconds=5)
    for client in clients:
        await client.get_me(TOKEN)
    async with anyio.create_task_group() as group:
        for client in clients:
            await group.start(_opened, client)
        await anyio.sleep(6)
        for client in clients:
            await client.get_me(TOKEN)
        await anyio.sleep(0.5)
        group.cancel_scope.cancel()
    assert world.proxy.count() == 2


async def _opened(client: ProxyAuthClient, *, task_status: Any) -> None:
    async with client:
        task_status.started()
        await anyio.sleep_forever()


@pytest.mark.parametrize("problem", ["fails", "hangs"])
async def test_an_engine_that_fails_costs_no_user_and_little_time(
    world: World, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = world.client()
    store = world.stores[0]
    if problem == "fails":
        store.problem = "connection refused"
    else:
        store.delay = lambda: 1000
    started = anyio.current_time()
    for number in range(20):
        world.proxy.add_user(f"token-{number}", id=number)
        assert (await client.get_me(f"token-{number}")).id == number
    assert anyio.current_time() - started <= 3 * 0.25 + 0.01
    assert len(store.calls) == 3
    store.problem, store.delay = "", lambda: 0
    await anyio.sleep(1)
    await client.get_me(TOKEN)
    await client.get_me(OTHER)
    assert client.stats().shared_failures == 1
    assert client.stats().shared_misses == 2
    logged = [it.getMessage() for it in caplog.records if "shared store" in it.getMessage()]
    assert len(logged) == 2


async def test_a_write_that_fails_leaves_the_verdict_in_the_own_cache(world: World) -> None:
    client = world.client()
    world.stores[0].problem, world.stores[0].failing = "full", frozenset({"put"})
    await client.get_me(TOKEN)
    await client.get_me(TOKEN)
    assert world.proxy.count(TOKEN) == 1


async def test_a_cached_verdict_is_used_for_a_second_while_events_may_be_lost() -> None:
    world = World(pushes=True)
    first, second = world.clients(2)
    for client in (first, second):
        await client.get_me(TOKEN)
    world.stores[1].disconnect()
    world.proxy.reject(TOKEN)
    first.forget(TOKEN)
    await anyio.sleep(1.01)
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await second.get_me(TOKEN)


async def test_everything_is_looked_up_again_when_events_arrive_again() -> None:
    world = World(pushes=True)
    first, second = world.clients(2)
    for client in (first, second):
        await client.get_me(TOKEN)
    world.stores[1].disconnect()
    world.proxy.reject(TOKEN)
    first.forget(TOKEN)
    world.stores[1].connect()
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await second.get_me(TOKEN)


async def test_a_verdict_of_a_lookup_during_which_events_were_lost_is_not_cached() -> None:
    world = World(pushes=True)
    world.proxy.delay = 0.2
    first, second = world.clients(2)
    async with anyio.create_task_group() as group:
        group.start_soon(second.get_me, TOKEN)  # it is accepted, as without a store
        await anyio.sleep(0.1)
        world.stores[1].disconnect()
        world.stores[1].problem = "gone"
        world.proxy.reject(TOKEN)
        first.forget(TOKEN)
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await second.get_me(TOKEN)


async def test_without_engine_and_proxy_cached_verdicts_are_used_until_their_ttl_ends() -> None:
    world = World(pushes=True)
    client = world.client(cache_ttl_seconds=10)
    user = await client.get_me(TOKEN)
    world.stores[0].disconnect()
    world.stores[0].problem = "gone"
    world.proxy.fail()
    await anyio.sleep(9.9)
    assert await client.get_me(TOKEN) == user
    await anyio.sleep(0.2)
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.get_me(TOKEN)


@pytest.mark.parametrize("cancelled_at", [0.0, 0.05, 0.15, 0.25, 0.35, 0.45])
async def test_a_cancelled_lookup_releases_its_lease(world: World, cancelled_at: float) -> None:
    world.proxy.delay = 0.2
    client = world.client()
    world.stores[0].delay = lambda: 0.05
    with anyio.move_on_after(cancelled_at):
        await client.get_me(TOKEN)
    await anyio.sleep(0.15)
    assert not world.server.leases


async def test_entries_of_all_secrets_are_read_and_forgotten(world: World) -> None:
    old, new = b"o" * 32, b"n" * 32
    before, between, after = (
        world.client(secrets=(old,)),
        world.client(secrets=(old, new)),
        world.client(secrets=(new, old)),
    )
    await before.get_me(TOKEN)
    await between.get_me(TOKEN)
    await after.get_me(TOKEN)
    assert world.proxy.count() == 1
    world.proxy.reject(TOKEN)
    after.forget(TOKEN)
    for client in (before, between, after):
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(TOKEN)


async def test_a_damaged_moved_or_forged_entry_is_a_miss(world: World) -> None:
    first, second = world.clients(2)
    await first.get_me(TOKEN)
    await first.get_me(OTHER)
    (key, (entry, end)), (other_key, (other, _)) = world.server.entries.items()
    flipped = bytes([entry.sealed[40] ^ 1])
    world.server.entries[key] = (
        entry._replace(sealed=entry.sealed[:40] + flipped + entry.sealed[41:]),
        end,
    )
    world.server.entries[other_key] = entry, end
    await second.get_me(TOKEN)
    assert (await second.get_me(OTHER)).user_name == OTHER
    assert second.stats().shared_refused == 2 * 2  # read, and when the lease was taken
    assert world.proxy.count() == 4
    assert other != entry


async def test_what_a_mock_accepts_in_development_is_not_shared_with_production(
    world: World,
) -> None:
    await world.client().get_me(TOKEN)
    await world.client(environment="production").get_me(TOKEN)
    assert world.proxy.count() == 2


async def test_fields_that_the_models_do_not_know_are_shared(world: World) -> None:
    world.proxy.add_user(TOKEN, id=1, user_name="ada", extra={"plan": "team", "extra": {"a": 1}})
    first, second = [await client.get_me(TOKEN) for client in world.clients(2)]
    assert first == second
    assert first.model_dump_json() == second.model_dump_json()


async def test_an_expired_token_is_not_accepted_from_the_store(world: World) -> None:
    token = jwt(exp=anyio.current_time() + 10)
    world.proxy.add_user(token, id=3)
    first, second = world.clients(2)
    await first.get_me(token)
    await anyio.sleep(11)
    world.proxy.reject(token)
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await second.get_me(token)


async def test_a_forgotten_acceptance_is_not_kept_for_outages(world: World) -> None:
    first, second = world.clients(2, cache_ttl_seconds=10, stale_if_error_seconds=100)
    await first.get_me(TOKEN)
    await anyio.sleep(20)
    world.proxy.delay = 0.2
    world.proxy.fail()
    async with anyio.create_task_group() as group:
        group.start_soon(refused, second)
        await anyio.sleep(0.1)
        first.forget(TOKEN)
    await refused(second)


async def refused(client: ProxyAuthClient) -> None:
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.get_me(TOKEN)


async def test_an_outage_does_not_prolong_a_shared_acceptance(world: World) -> None:
    first, second = world.clients(2, cache_ttl_seconds=3)
    await first.get_me(TOKEN)
    await anyio.sleep(2)
    world.proxy.delay = 2.5
    world.proxy.fail()
    with pytest.raises(OxaigenAuthUpstreamError):
        await second.get_me(TOKEN, fresh=True)
    world.proxy.delay = 0
    await refused(second)


async def test_a_permission_of_a_user_who_was_discarded_and_forgotten_is_asked_again(
    world: World,
) -> None:
    first, second = world.clients(2)
    world.proxy.delay = 0.2
    await second.get_me(TOKEN)

    async def ask() -> None:
        assert not await second.test_permission(TOKEN, "audit")

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(0.1)
        world.proxy.add_user(TOKEN, id=1, permissions=[])
        second.validator.store.caches.clear()
        first.forget_user(1)
    assert not await second.test_permission(TOKEN, "audit")


async def test_an_engine_that_loses_its_data_again_and_again_costs_no_user(world: World) -> None:
    world.proxy.delay = 0.3
    client = world.client()

    async def lose() -> None:
        while True:
            await anyio.sleep(0.1)
            world.server.lose_everything()

    async with anyio.create_task_group() as group:
        group.start_soon(lose)
        for number in range(10):
            world.proxy.add_user(f"token-{number}", id=number)
            assert (await client.get_me(f"token-{number}")).id == number
        group.cancel_scope.cancel()
    assert world.proxy.count() == 10


async def test_who_asks_after_a_forget_that_was_lost_does_not_believe_an_older_lookup() -> None:
    world = World(pushes=False)
    world.proxy.delay = 0.3
    first, second = world.clients(2)

    async def ask() -> None:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await first.get_me(TOKEN)

    async with anyio.create_task_group() as group:
        group.start_soon(first.get_me, TOKEN)
        await anyio.sleep(0.1)
        world.proxy.reject(TOKEN)
        second.forget(TOKEN)
        world.server.lose_everything()
        await anyio.sleep(0.01)
        group.start_soon(ask)


async def test_connections_that_are_reset_again_and_again_cost_no_user() -> None:
    world = World(pushes=True)
    world.proxy.delay = 0.3
    client = world.client()
    await client.get_me(OTHER)
    world.stores[0].problem = "reset"

    async def reset() -> None:
        while True:
            await anyio.sleep(0.1)
            world.stores[0].disconnect()
            world.stores[0].connect()

    async with anyio.create_task_group() as group:
        group.start_soon(reset)
        await client.get_me(TOKEN)
        group.cancel_scope.cancel()
    assert world.proxy.count(TOKEN) == 1


async def test_after_a_call_of_the_engine_that_failed_a_lookup_makes_no_other_one(
    world: World,
) -> None:
    client = world.client()
    world.stores[0].delay = lambda: 1000
    world.stores[0].failing = frozenset()
    started = anyio.current_time()
    await client.get_me(TOKEN)
    assert anyio.current_time() - started <= 0.26
    world.stores[0].calls.clear()
    world.stores[0].delay = lambda: 0
    world.stores[0].problem, world.stores[0].failing = "full", frozenset({"acquire", "put"})
    await client.get_me(OTHER)
    assert world.stores[0].calls == ["read", "acquire"]


async def test_a_full_engine_is_reported(world: World) -> None:
    client = world.client()
    world.stores[0].problem, world.stores[0].failing = "full", frozenset({"acquire", "put"})
    for number in range(5):
        world.proxy.add_user(f"token-{number}", id=number)
        await client.get_me(f"token-{number}")
    assert client.stats().shared_failures == 1


async def test_what_cannot_be_sent_is_reported(world: World) -> None:
    client = world.client()
    await client.get_me(TOKEN)
    listener = world.stores[0].listener
    assert listener is not None
    listener.on_sending("no permission to publish")
    listener.on_sending(None)
    assert client.stats().shared_failures == 1


async def test_a_client_that_only_forgets_opens_the_engine_and_closes_it() -> None:
    world = World(pushes=True)
    client, other = world.clients(2)
    await other.get_me(TOKEN)
    client.forget(TOKEN)
    assert world.stores[0].listener is not None
    await client.aclose()
    assert world.stores[0].closed
    unused = world.client()
    await unused.aclose()
