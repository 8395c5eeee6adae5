"""What a client remembers, how long, how much of it, and what ends it; in virtual time."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from oxaigen_auth._core.fingerprint import fingerprint
from oxaigen_auth._validation.question import user_question
from oxaigen_auth._validation.verdict import Rejected
from oxaigen_auth._validation.verdict_caches import MAX_BASE_URLS, MAX_PERMISSIONS
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError, OxaigenAuthUpstreamError
from oxaigen_auth.settings import OxaigenAuthSettings
from tests.support.clock import Clock
from tests.support.clock import clock as clock  # noqa: PLC0414
from tests.support.fake_proxy import BASE, BROKEN, DENIED, REVOKED, FakeProxy, profile, refusal
from tests.support.fake_proxy import proxy as proxy  # noqa: PLC0414
from tests.support.tokens import MARK, OTHER, TOKEN
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from oxaigen_auth.client import ProxyAuthClient

pytestmark = pytest.mark.anyio

ELSEWHERE = "https://elsewhere.example.com"
EPOCH = 1.7e9  # what the wall clock shows at first


@pytest.fixture
def wall() -> Clock:
    return Clock(EPOCH)


@pytest.fixture
async def client(
    request: pytest.FixtureRequest,
    proxy: FakeProxy,
    clock: Clock,
    wall: Clock,
) -> AsyncIterator[ProxyAuthClient]:
    settings = OxaigenAuthSettings(**getattr(request, "param", {}))
    async with proxy.client(BASE, settings=settings, clock=clock, wall_clock=wall) as client:
        yield client


def with_settings(*options: dict[str, object]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", options, indirect=True, ids=repr)


async def refuse(client: ProxyAuthClient, token: str = TOKEN, **options: Any) -> None:
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.get_me(token, **options)


async def ask_all(client: ProxyAuthClient, tokens: list[str]) -> None:
    for token in tokens:
        await client.get_me(token)


# A rejection ends every older acceptance.

WHATEVER_IS_REMEMBERED = with_settings(
    {},
    {"negative_cache_ttl_seconds": 0},
    {"negative_cache_ttl_seconds": 0, "cache_ttl_seconds": 0},
    {"negative_cache_ttl_seconds": 0, "stale_if_error_seconds": 60},
    {"cache_max_entries": 1},
    {"cache_max_bytes": 0},
)


@WHATEVER_IS_REMEMBERED
async def test_pitfall_43_an_acceptance_from_before_a_rejection_lets_nobody_in(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async with anyio.create_task_group() as group:
        proxy.delay = 3
        group.start_soon(refuse, client)  # the proxy accepts it, for now
        group.start_soon(refuse, client)
        await anyio.sleep(1)
        proxy.delay, proxy.user = 1, REVOKED
        await refuse(client, fresh=True)
        await refuse(client, OTHER)  # evicts the rejection, where there is room for one
    await refuse(client)
    proxy.user = BROKEN
    with pytest.raises((OxaigenAuthUnauthenticatedError, OxaigenAuthUpstreamError)):
        await client.get_me(TOKEN)


WHERE_USERS_ARE_REMEMBERED = with_settings(
    {},
    {"negative_cache_ttl_seconds": 0},
    {"negative_cache_ttl_seconds": 0, "stale_if_error_seconds": 60, "refresh_ahead_seconds": 25},
)


@WHERE_USERS_ARE_REMEMBERED
async def test_pitfall_43_nor_one_from_before_a_permission_check_that_was_rejected(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    await client.get_me(TOKEN)
    async with anyio.create_task_group() as group:
        proxy.delay = 3
        group.start_soon(lambda: refuse(client, fresh=True))
        await anyio.sleep(1)
        proxy.delay, proxy.user, proxy.permission = 1, REVOKED, REVOKED
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.test_permission(TOKEN, "audit")
    await refuse(client)
    proxy.user = BROKEN
    with pytest.raises((OxaigenAuthUnauthenticatedError, OxaigenAuthUpstreamError)):
        await client.get_me(TOKEN)


@WHERE_USERS_ARE_REMEMBERED
async def test_pitfall_43_nor_one_that_another_event_loop_saw_rejected(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    store, question = client.validator.store, user_question(TOKEN, BASE)
    async with anyio.create_task_group() as group:
        group.start_soon(refuse, client)
        await anyio.sleep(0.5)
        store.begin(question)  # as the other loop's flight does
        store.put(store.flight_key(question), Rejected("Token revoked"), clock.now + 1)
        store.end(question)
        proxy.user = REVOKED
    await refuse(client)


@with_settings({"negative_cache_ttl_seconds": 0, "refresh_ahead_seconds": 25})
async def test_pitfall_43_nor_is_a_refresh_kept_that_started_before_a_rejection(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 10
    proxy.delay = 3
    await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()
    assert client.stats().refreshed == 1
    proxy.delay, proxy.user = 1, REVOKED
    await refuse(client, fresh=True)
    await anyio.sleep(5)  # the refresh has ended
    assert client.stats().accepted == 2
    await refuse(client)


@WHERE_USERS_ARE_REMEMBERED
async def test_pitfall_43_a_permission_from_before_a_rejection_is_asked_for_again(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    granted: list[bool] = []

    async def check() -> None:
        granted.append(await client.test_permission(TOKEN, "edit"))

    assert await client.test_permission(TOKEN, "audit")
    async with anyio.create_task_group() as group:
        proxy.delay = 3
        group.start_soon(check)
        await anyio.sleep(1)
        proxy.delay, proxy.user, proxy.permission = 1, REVOKED, DENIED
        await refuse(client, fresh=True)
    assert granted == [False]
    proxy.user = profile()
    clock.now += 6
    assert not await client.test_permission(TOKEN, "audit")


@with_settings({}, {"negative_cache_ttl_seconds": 0})
async def test_a_rejection_does_not_discard_a_newer_acceptance(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async with anyio.create_task_group() as group:
        proxy.delay, proxy.user = 3, refusal(401, "Not yet")
        group.start_soon(lambda: refuse(client, fresh=True))
        await anyio.sleep(1)
        proxy.delay, proxy.user = 1, profile()
        await client.get_me(TOKEN, fresh=True)
    calls = len(proxy.calls)
    await client.get_me(TOKEN)
    assert len(proxy.calls) == calls == 2


async def test_a_rejection_is_not_cached_if_a_newer_acceptance_was_evicted(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async with anyio.create_task_group() as group:
        proxy.delay, proxy.user = 3, refusal(401, "Not yet")
        group.start_soon(lambda: refuse(client, fresh=True))
        await anyio.sleep(1)
        proxy.delay, proxy.user = 1, profile()
        await client.get_me(TOKEN, fresh=True)
        client.validator.store.caches.users.discard(user_question(TOKEN, BASE))
    await client.get_me(TOKEN)
    assert len(proxy.calls) == 3


async def test_a_rejection_does_not_concern_another_proxy(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async with anyio.create_task_group() as group:
        proxy.delay = 3
        group.start_soon(lambda: client.get_me(TOKEN, proxy_base_url=ELSEWHERE))
        await anyio.sleep(1)
        proxy.delay, proxy.user = 1, REVOKED
        await refuse(client)
    await client.get_me(TOKEN, proxy_base_url=ELSEWHERE)
    assert len(proxy.calls) == 2


async def test_a_caller_after_a_rejection_joins_no_older_lookup(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    async with anyio.create_task_group() as group:
        proxy.delay = 20
        group.start_soon(client.get_me, TOKEN)
        await anyio.sleep(1)
        proxy.delay, proxy.user = 1, REVOKED
        await refuse(client, fresh=True)
        clock.now += 6
        proxy.user = profile(user_name="grace")
        started = anyio.current_time()
        assert (await client.get_me(TOKEN)).user_name == "grace"
        assert anyio.current_time() - started == pytest.approx(1)


# Forgetting.


async def test_pitfall_46_sign_outs_of_unknown_tokens_cost_nobody_anything(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    tokens = [f"{MARK}-{number}" for number in range(100)]
    await ask_all(client, tokens)
    proxy.delay = 1
    async with anyio.create_task_group() as group:
        group.start_soon(client.get_me, TOKEN)
        await anyio.sleep(0.5)
        for number in range(3000):
            client.forget(f"{MARK}-junk-{number}")
    assert len(proxy.calls) == 101
    await ask_all(client, [*tokens, TOKEN])
    assert len(proxy.calls) == 101
    assert len(client.validator.store._generations) == 0  # noqa: SLF001


async def test_a_token_is_forgotten_for_every_proxy_and_permission_at_once(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async def ask(base: str) -> None:
        await client.test_permission(TOKEN, "audit", proxy_base_url=base)

    for base in (BASE, ELSEWHERE):
        await ask(base)
    client.forget(TOKEN)
    async with anyio.create_task_group() as group:
        for base in (BASE, ELSEWHERE):
            group.start_soon(ask, base)
        await anyio.sleep(0.5)
        client.forget(TOKEN)
    assert len(proxy.calls) == 4 + 2 + 4


# The expiry of the token.


def jwt(**claims: object) -> str:
    payload = urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.{MARK}"


async def test_pitfall_54_a_token_is_not_remembered_beyond_its_expiry(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    proxy.delay = 0
    token = jwt(exp=EPOCH + 10)
    assert await client.test_permission(token, "audit")
    clock.now += 9.875
    assert await client.test_permission(token, "audit")
    assert len(proxy.calls) == 2
    clock.now += 0.125
    proxy.user = refusal(401, "Token expired")
    await refuse(client, token)
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.test_permission(token, "audit")
    assert len(proxy.calls) == 3


async def test_pitfall_54_a_permission_is_not_remembered_beyond_the_expiry_of_its_token(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    proxy.delay = 0
    token = jwt(exp=EPOCH + 10)
    assert await client.test_permission(token, "audit")
    clock.now += 10
    assert await client.test_permission(token, "audit")
    assert len(proxy.calls) == 4


async def test_a_late_expiry_does_not_prolong_the_ttl(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(jwt(exp=EPOCH + 3600))
    clock.now += 30
    await client.get_me(jwt(exp=EPOCH + 3600))
    assert len(proxy.calls) == 2


@with_settings({"stale_if_error_seconds": 60, "refresh_ahead_seconds": 25})
async def test_pitfall_54_nobody_is_served_stale_beyond_the_expiry_of_their_token(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    proxy.delay = 0
    token = jwt(exp=EPOCH + 50)
    assert await client.test_permission(token, "audit")
    proxy.user = proxy.permission = BROKEN
    clock.now += 49.875
    assert await client.test_permission(token, "audit")
    clock.now += 0.125
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.get_me(token)
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.test_permission(token, "audit")


async def test_a_later_step_of_the_wall_clock_changes_nothing(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock, wall: Clock
) -> None:
    proxy.delay = 0
    token = jwt(exp=EPOCH + 10)
    await client.get_me(token)
    wall.now += 1e6
    clock.now += 9
    await client.get_me(token)
    assert len(proxy.calls) == 1
    wall.now -= 2e6
    clock.now += 1
    await client.get_me(token)
    assert len(proxy.calls) == 2


async def test_a_token_that_expires_during_its_lookup_is_accepted_and_not_cached(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock, wall: Clock
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(client.get_me, jwt(exp=EPOCH + 1))
        await anyio.sleep(0.5)
        clock.now += 2
        wall.now += 2
    await client.get_me(jwt(exp=EPOCH + 1))
    assert len(proxy.calls) == 2


async def test_rejections_of_expired_tokens_are_cached(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.user = refusal(401, "Token expired")
    for _ in range(2):
        await refuse(client, jwt(exp=EPOCH - 10))
    assert len(proxy.calls) == 1


async def test_a_warning_is_logged_once_if_every_token_has_expired_by_the_clock(
    client: ProxyAuthClient,
    proxy: FakeProxy,
    wall: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    proxy.delay = 0
    proxy.user = REVOKED
    for number in range(5):
        await refuse(client, jwt(exp=EPOCH - 10, jti=number))
    proxy.user = profile()
    good, expired = jwt(exp=EPOCH + 10), jwt(exp=EPOCH - 10)
    await ask_all(client, [expired, TOKEN, expired, good, expired, OTHER, expired])
    assert caplog.messages == []
    wall.now += 3600
    for number in range(10):
        await client.get_me(jwt(exp=EPOCH + 20, jti=number))
    wall.now -= 3600
    await client.get_me(jwt(exp=EPOCH + 20, jti="good"))
    wall.now += 3600
    for number in range(10):
        await client.get_me(jwt(exp=EPOCH + 20, jti=number))
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("oxaigen_auth", logging.WARNING)
    ]
    assert "the last 3 tokens" in caplog.text.lower()
    assert "check the clock" in caplog.text
    assert len(proxy.calls) == 5 + 7 + 10 + 1 + 10


# How much is remembered.


def user_of(size: int) -> bytes:
    """Return the answer that accepts a user of so many bytes or somewhat more."""
    return profile(more=[[] for _ in range(size // 64)])


@with_settings({"cache_max_bytes": 1_000_000})
async def test_pitfall_50_users_are_remembered_within_a_number_of_bytes(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    await client.get_me(TOKEN)
    await client.get_me(TOKEN)
    for number in range(50):
        proxy.user = user_of(50_000)
        await client.get_me(f"{MARK}-{number}")
        await client.get_me(TOKEN)
    users = client.validator.store.caches.users
    assert 10 < len(users) <= 15
    assert users.size <= 750_000
    assert len(proxy.calls) == 51


@with_settings({"cache_max_bytes": 1_000_000})
async def test_pitfall_50_a_user_who_is_larger_than_that_is_not_remembered_and_evicts_nobody(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    await client.get_me(TOKEN)
    proxy.user = user_of(760_000)
    for _ in range(2):
        await client.get_me(OTHER)
    await client.get_me(TOKEN)
    assert len(proxy.calls) == 3


@with_settings({"cache_max_bytes": 0})
async def test_a_limit_of_zero_bytes_switches_the_cache_off(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    for _ in range(2):
        assert await client.test_permission(TOKEN, "audit")
    assert len(proxy.calls) == 4


@with_settings({"cache_max_bytes": 100_000, "cache_max_entries": 100_000})
async def test_pitfall_50_a_flood_of_junk_tokens_evicts_no_user_from_the_bytes(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    await client.test_permission(TOKEN, "audit")
    proxy.user = refusal(401, "é" * 200)
    for number in range(300):
        await refuse(client, f"{MARK}-{number}")
    await client.test_permission(TOKEN, "audit")
    assert len(proxy.calls) == 302
    assert client.validator.store.caches.rejections.size <= 12_500


@with_settings({}, {"cache_max_entries": 10})
async def test_pitfall_50_one_token_under_many_base_urls_evicts_nobody(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    await client.test_permission(OTHER, "audit")
    for number in range(1100):
        base = f"https://{number}.example.com"
        await client.test_permission(TOKEN, "audit", proxy_base_url=base)
    before = len(proxy.calls)
    await client.test_permission(OTHER, "audit")
    assert len(proxy.calls) == before
    await client.get_me(TOKEN, proxy_base_url="https://1099.example.com")
    assert len(proxy.calls) == before
    memory = client.validator.store
    assert len(memory.caches.users.group(fingerprint(TOKEN))) <= MAX_BASE_URLS


async def test_a_few_base_urls_of_one_token_are_cached(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    for _ in range(2):
        for number in range(MAX_BASE_URLS):
            await client.get_me(TOKEN, proxy_base_url=f"https://{number}.example.com")
    assert len(proxy.calls) == MAX_BASE_URLS


@with_settings({}, {"cache_max_entries": 10})
async def test_pitfall_50_one_token_with_many_permissions_evicts_nobody(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    await client.test_permission(OTHER, "audit")
    for number in range(1100):
        await client.test_permission(TOKEN, f"name-{number}")
    before = len(proxy.calls)
    await client.test_permission(OTHER, "audit")
    assert len(proxy.calls) == before
    memory = client.validator.store
    assert len(memory.caches.grants.group(fingerprint(TOKEN))) <= MAX_PERMISSIONS


@with_settings({"cache_max_bytes": 1_000_000})
async def test_pitfall_50_one_token_with_large_profiles_leaves_room_for_others(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0
    tokens = [f"{MARK}-{number}" for number in range(50)]
    await ask_all(client, tokens)
    proxy.user = user_of(200_000)
    for number in range(20):
        await client.get_me(TOKEN, proxy_base_url=f"https://{number}.example.com")
    before = len(proxy.calls)
    await ask_all(client, tokens)
    assert len(proxy.calls) == before
