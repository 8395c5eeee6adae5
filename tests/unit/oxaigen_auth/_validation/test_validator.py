"""What the client does while the proxy fails, and before an answer ends; in virtual time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import define, evolve, field

from oxaigen_auth._validation.question import Question, user_question
from oxaigen_auth._validation.verdict import Accepted, Rejected
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError, OxaigenAuthUpstreamError
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings
from tests.support import fake_proxy
from tests.support.clock import clock as clock  # noqa: PLC0414
from tests.support.fake_proxy import (
    BASE,
    DENIED,
    DOWN,
    GRANTED,
    REVOKED,
    FakeProxy,
    profile,
    refusal,
)
from tests.support.fake_proxy import proxy as proxy  # noqa: PLC0414
from tests.support.tokens import MARK, OTHER, TOKEN
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from oxaigen_auth._validation.verdict import Verdict
    from oxaigen_auth.client import ProxyAuthClient
    from tests.support.clock import Clock

pytestmark = pytest.mark.anyio

ELSEWHERE = "https://elsewhere.example.com"
QUESTION = user_question(TOKEN, BASE)


@pytest.fixture
async def client(
    request: pytest.FixtureRequest,
    proxy: FakeProxy,
    clock: Clock,
) -> AsyncIterator[ProxyAuthClient]:
    proxy.delay = 0
    settings = OxaigenAuthSettings(**getattr(request, "param", {}))
    async with proxy.client(BASE, settings=settings, clock=clock) as client:
        yield client


def with_settings(**settings: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", [settings], indirect=True)


async def fail(client: ProxyAuthClient, token: str = TOKEN, **options: Any) -> int | None:
    """Ask in vain; return the seconds after which to come again."""
    with pytest.raises(OxaigenAuthUpstreamError) as caught:
        await client.get_me(token, **options)
    return caught.value.retry_after


async def open_breaker(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    proxy.user, said = DOWN, proxy.user
    for number in range(5):
        await fail(client, f"nobody-{number}")
    proxy.user = said


# The breaker.


async def test_after_five_failures_in_a_row_the_circuit_is_open(
    client: ProxyAuthClient, proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    await open_breaker(client, proxy)
    assert await fail(client) == 1
    assert len(proxy.calls) == 5
    assert (client.stats().short_circuited, client.stats().unavailable) == (1, 5)
    assert "https://app.example.com failed repeatedly: its circuit is open" in caplog.text


async def test_the_circuit_closes_when_the_proxy_answers_again(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await open_breaker(client, proxy)
    clock.now += 0.5
    assert (await client.get_me(TOKEN)).user_name == "ada"
    assert (await client.get_me(OTHER)).user_name == "ada"


async def test_during_a_probe_other_lookups_are_short_circuited(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await open_breaker(client, proxy)
    clock.now += 0.5
    proxy.delay = 1
    async with anyio.create_task_group() as group:
        group.start_soon(client.get_me, TOKEN)
        await anyio.wait_all_tasks_blocked()
        assert await fail(client, OTHER) == 1
    assert len(proxy.calls) == 6


async def test_a_cancelled_probe_is_followed_by_another_within_a_second(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await open_breaker(client, proxy)
    clock.now += 0.5
    proxy.delay = 1
    with anyio.move_on_after(0.5):
        await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()  # in another task the lookup ends
    clock.now += 1
    assert (await client.get_me(OTHER)).user_name == "ada"


async def test_a_rejection_is_an_answer(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    for number in range(10):
        proxy.user = DOWN
        for failure in range(4):
            await fail(client, f"nobody-{number}-{failure}")
        proxy.user = refusal(401, "Token expired")
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(f"{MARK}-{number}")
    assert client.stats().short_circuited == 0


async def test_cached_users_and_permissions_are_served_while_the_circuit_is_open(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    assert await client.test_permission(TOKEN, "audit")
    await open_breaker(client, proxy)
    assert (await client.get_me(TOKEN)).user_name == "ada"
    assert await client.test_permission(TOKEN, "audit")
    assert await fail(client, fresh=True) == 1


async def test_each_proxy_has_its_own_circuit(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    await open_breaker(client, proxy)
    assert (await client.get_me(TOKEN, proxy_base_url=ELSEWHERE)).user_name == "ada"


@with_settings(breaker=False)
async def test_the_breaker_can_be_switched_off(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    proxy.user = DOWN
    for _ in range(20):
        assert await fail(client) is None
    assert len(proxy.calls) == 20


async def test_failed_permission_checks_open_the_circuit(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    proxy.permission = DOWN
    for _ in range(5):
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.test_permission(TOKEN, "audit")
        clock.now += 1
    clock.now -= 1
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.test_permission(TOKEN, "audit")
    assert (len(proxy.calls), client.stats().short_circuited) == (6, 1)


# Stale answers.

STALE = with_settings(stale_if_error_seconds=60)


@STALE
async def test_a_user_past_the_ttl_is_served_while_the_proxy_is_unavailable(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    proxy.user = DOWN
    clock.now += 89.9
    assert (await client.get_me(TOKEN)).user_name == "ada"
    assert len(proxy.calls) == 2
    assert client.stats().stale == 1
    clock.now += 0.1
    await fail(client)


@STALE
async def test_a_stale_user_is_served_while_the_circuit_is_open(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 40
    await open_breaker(client, proxy)
    asked = len(proxy.calls)
    assert (await client.get_me(TOKEN)).user_name == "ada"
    assert len(proxy.calls) == asked


async def test_by_default_nothing_is_served_past_its_ttl(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    proxy.user = DOWN
    clock.now += 30
    await fail(client)


@STALE
async def test_an_answer_of_the_proxy_replaces_a_stale_user(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 40
    proxy.user = profile(user_name="grace")
    assert (await client.get_me(TOKEN)).user_name == "grace"


@STALE
async def test_a_user_who_was_rejected_is_not_served_stale(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 40
    proxy.user = REVOKED
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.get_me(TOKEN)
    proxy.user = DOWN
    clock.now += 10
    await fail(client)


@STALE
async def test_a_forgotten_user_is_not_served_stale(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 40
    proxy.user = DOWN
    client.forget(TOKEN)
    await fail(client)


@STALE
async def test_a_user_who_is_forgotten_during_the_lookup_is_not_served_stale(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 40
    proxy.user = DOWN
    proxy.delay = 1
    async with anyio.create_task_group() as group:
        group.start_soon(fail, client)
        await anyio.wait_all_tasks_blocked()
        client.forget(TOKEN)


@STALE
async def test_a_fresh_lookup_returns_no_stale_user(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    proxy.user = DOWN
    await fail(client, fresh=True)
    clock.now += 40
    await fail(client, fresh=True)


@STALE
@pytest.mark.parametrize("granted", [True, False])
async def test_a_granted_permission_is_served_stale_but_a_denied_one_is_not(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock, *, granted: bool
) -> None:
    proxy.permission = GRANTED if granted else DENIED
    assert await client.test_permission(TOKEN, "audit") is granted
    proxy.permission = DOWN
    clock.now += 40
    if granted:
        assert await client.test_permission(TOKEN, "audit")
        return
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.test_permission(TOKEN, "audit")


@STALE
async def test_a_permission_that_was_never_granted_is_not_served_stale(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.test_permission(TOKEN, "audit")
    proxy.user = proxy.permission = DOWN
    clock.now += 40
    assert await client.test_permission(TOKEN, "audit")
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.test_permission(TOKEN, "billing")


@STALE
async def test_stale_verdicts_are_logged_at_most_once_a_second(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await client.get_me(TOKEN)
    proxy.user = DOWN
    clock.now += 40
    for wait in (0, 0.5, 0.5):
        clock.now += wait
        await client.get_me(TOKEN)
    said = [record.message for record in caplog.records if "stale" in record.message]
    template = "Auth proxy https://app.example.com unavailable: served a stale verdict"
    assert said == [f"{template} (1 so far)", f"{template} (3 so far)"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


# Refresh-ahead.

AHEAD = with_settings(refresh_ahead_seconds=10)


@AHEAD
async def test_a_hit_near_the_end_of_its_ttl_returns_at_once_and_starts_a_refresh(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 20
    proxy.user = profile(user_name="grace")
    assert (await client.get_me(TOKEN)).user_name == "ada"
    await anyio.wait_all_tasks_blocked()
    assert (await client.get_me(TOKEN)).user_name == "grace"
    assert (client.stats().refreshed, client.stats().hits, len(proxy.calls)) == (1, 2, 2)
    clock.now += 19.9
    await client.get_me(TOKEN)
    assert client.stats().refreshed == 1


@AHEAD
async def test_a_hit_long_before_the_end_of_its_ttl_starts_no_refresh(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 19.9
    await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()
    assert len(proxy.calls) == 1


@AHEAD
async def test_many_hits_start_one_refresh(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 25
    proxy.delay = 1
    for _ in range(100):
        await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()
    assert (client.stats().refreshed, len(proxy.calls)) == (1, 2)


@AHEAD
async def test_permissions_are_refreshed(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.test_permission(TOKEN, "audit")
    clock.now += 25
    proxy.permission = DENIED
    assert await client.test_permission(TOKEN, "audit")
    await anyio.wait_all_tasks_blocked()
    assert not await client.test_permission(TOKEN, "audit")
    assert (client.stats().refreshed, len(proxy.calls)) == (2, 4)


@AHEAD
async def test_a_failed_refresh_changes_nothing_until_the_ttl_ends(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 29.9
    proxy.user = DOWN
    await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()
    await client.get_me(TOKEN)
    clock.now += 0.1
    await fail(client)


@AHEAD
async def test_a_caller_after_the_ttl_joins_the_running_refresh(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 29.9
    proxy.user, proxy.delay = profile(user_name="grace"), 1
    await client.get_me(TOKEN)
    clock.now += 0.1
    assert (await client.get_me(TOKEN)).user_name == "grace"
    assert len(proxy.calls) == 2


@AHEAD
async def test_a_rejection_is_not_refreshed(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    proxy.user = refusal(401, "Token expired")
    for _ in range(2):
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(TOKEN)
        clock.now += 4.9
    await anyio.wait_all_tasks_blocked()
    assert len(proxy.calls) == 1


@AHEAD
async def test_a_rejection_by_a_refresh_counts_at_once(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 25
    proxy.user = REVOKED
    await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.get_me(TOKEN)


@AHEAD
async def test_the_verdict_of_a_refresh_is_not_cached_if_the_token_was_forgotten_meanwhile(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 25
    proxy.delay = 1
    await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()
    client.forget(TOKEN)
    await anyio.sleep(2)
    proxy.user = REVOKED
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.get_me(TOKEN)


async def test_a_client_that_was_not_opened_does_not_refresh(
    proxy: FakeProxy, clock: Clock
) -> None:
    proxy.delay = 0
    settings = OxaigenAuthSettings(refresh_ahead_seconds=30)
    client = proxy.client(BASE, settings=settings, clock=clock)
    for _ in range(3):
        assert (await client.get_me(TOKEN)).user_name == "ada"
    await client.aclose()
    assert (client.stats().refreshed, len(proxy.calls)) == (0, 1)


async def test_a_verdict_of_another_event_loop_is_not_refreshed_without_a_loop_state(
    proxy: FakeProxy, clock: Clock
) -> None:
    settings = OxaigenAuthSettings(refresh_ahead_seconds=30)
    client = proxy.client(BASE, settings=settings, clock=clock)
    store = client.validator.store
    store.put(store.flight_key(QUESTION), Accepted(User(user_name="ada")), clock())
    assert client.validator.cached(QUESTION, TOKEN) == Accepted(User(user_name="ada"))
    assert (client.stats().refreshed, proxy.calls) == (0, [])


@AHEAD
async def test_a_refresh_ends_with_the_client(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 25
    proxy.delay = 1000
    await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()
    before = anyio.current_time()
    await client.aclose()
    assert anyio.current_time() == before
    assert client.stats() == evolve(client.stats(), refreshed=1, upstream_calls=2)


# Verdicts of another event loop, which are stored by hand.

any_client = fake_proxy.client


async def test_the_later_lookup_of_two_event_loops_counts(
    any_client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    """The other loop is played by a second flight of the same key, as only it could be."""

    async def ask() -> None:
        with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token revoked"):
            await any_client.get_me(TOKEN)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(0.5)
        clock.now += 1
        store = any_client.validator.store
        key = store.flight_key(QUESTION)
        store.put(key, Rejected("Token revoked"), clock.now)
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token revoked"):
        await any_client.get_me(TOKEN)
    assert len(proxy.calls) == 1


async def test_an_older_grant_does_not_replace_a_newer_denial(
    any_client: ProxyAuthClient, clock: Clock
) -> None:
    await any_client.get_me(TOKEN)
    async with anyio.create_task_group() as group:
        group.start_soon(any_client.test_permission, TOKEN, "audit")
        await anyio.sleep(0.5)
        clock.now += 1
        store = any_client.validator.store
        key = store.flight_key(QUESTION.about("audit"))
        store.put(key, Accepted(value=False), clock.now)
    assert not await any_client.test_permission(TOKEN, "audit")


@define(eq=False)
class LateStore(VerdictStore):
    """Misses each question in `late` once, as if another event loop stored its verdict then."""

    late: list[Question] = field(factory=list[Question], init=False)

    def get(self, question: Question) -> Verdict[Any] | None:
        if question in self.late:
            self.late.remove(question)
            return None
        return super().get(question)


@pytest.fixture
def store(any_client: ProxyAuthClient, clock: Clock) -> LateStore:
    any_client.validator.store = store = LateStore(any_client.settings, clock)
    return store


async def test_a_grant_that_another_loop_has_stored_meanwhile_is_not_looked_up(
    any_client: ProxyAuthClient, proxy: FakeProxy, store: LateStore
) -> None:
    await any_client.test_permission(TOKEN, "audit")
    before = len(proxy.calls)
    store.late.append(QUESTION.about("audit"))
    assert await any_client.test_permission(TOKEN, "audit")
    assert len(proxy.calls) == before


async def test_a_fresh_caller_that_joins_a_cached_lookup_gets_a_new_answer(
    any_client: ProxyAuthClient, proxy: FakeProxy, store: LateStore
) -> None:
    await any_client.get_me(TOKEN)
    proxy.user = profile(user_name="ada lovelace")
    store.late.append(QUESTION)
    names: list[str | None] = []

    async def ask(*, fresh: bool) -> None:
        names.append((await any_client.get_me(TOKEN, fresh=fresh)).user_name)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: ask(fresh=False))
        group.start_soon(lambda: ask(fresh=True))
    assert "ada lovelace" in names


async def test_the_cache_is_read_again_inside_the_flight(
    any_client: ProxyAuthClient, proxy: FakeProxy, store: LateStore
) -> None:
    await any_client.get_me(TOKEN)
    store.late.append(QUESTION)
    assert (await any_client.get_me(TOKEN)).user_name == "ada"
    assert len(proxy.calls) == 1
