"""The client: what is cached, believed, forgotten, counted; in virtual time, with a fake proxy."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import time
from contextlib import nullcontext
from functools import partial
from itertools import permutations
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import evolve

from oxaigen_auth import testing
from oxaigen_auth._default_client import aclose_client, default_client
from oxaigen_auth._request.hosts import derive_base_url  # logs once per process
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.errors import (
    OxaigenAuthConfigurationError,
    OxaigenAuthError,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUntrustedHostError,
    OxaigenAuthUpstreamError,
)
from oxaigen_auth.models import User, WorkspacePermission, WorkspaceRole
from oxaigen_auth.observers import Observer
from oxaigen_auth.settings import OxaigenAuthSettings
from tests.support.clock import clock as clock  # noqa: PLC0414
from tests.support.fake_proxy import (
    BASE,
    BROKEN,
    DENIED,
    GRANTED,
    LATE,
    MOCKED,
    REVOKED,
    Call,
    FakeProxy,
    InMemory,
    profile,
    refusal,
)
from tests.support.fake_proxy import client as client  # noqa: PLC0414
from tests.support.fake_proxy import proxy as proxy  # noqa: PLC0414
from tests.support.heap_search import Graph
from tests.support.raw_server import answer
from tests.support.tokens import MARK, OTHER, TOKEN
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.clock import Clock


pytestmark = pytest.mark.anyio

AUDIT = "test-app-permission/audit"


async def test_pitfall_28_the_time_of_day_ends_nothing_and_prolongs_nothing(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy.client(BASE) as client:
        await client.get_me(TOKEN)
        monkeypatch.setattr(time, "time", lambda: 1e12)
        await client.get_me(TOKEN)
    assert len(proxy.calls) == 1
    settings = OxaigenAuthSettings(cache_ttl_seconds=0.05)
    async with proxy.client(BASE, settings=settings) as client:
        await client.get_me(TOKEN)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        time.sleep(0.06)  # noqa: ASYNC251 (of the clock of this machine, not of the event loop)
        await client.get_me(TOKEN)
    assert len(proxy.calls) == 3


async def test_a_verdict_is_cached_for_its_ttl(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    assert (await client.get_me(TOKEN)).user_name == "ada"
    clock.now += 29.9
    assert (await client.get_me(TOKEN)).user_name == "ada"
    assert len(proxy.calls) == 1
    clock.now += 0.1
    await client.get_me(TOKEN)
    assert len(proxy.calls) == 2


async def test_the_age_of_a_verdict_counts_from_the_start_of_its_lookup(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(client.get_me, TOKEN)
        await anyio.sleep(0.5)
        clock.now += 20
    clock.now += 10
    await client.get_me(TOKEN)
    assert len(proxy.calls) == 2


async def test_a_rejection_is_cached_for_a_shorter_time(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    proxy.user = refusal(401, "Token expired")
    for expected_calls in (1, 1, 2):
        with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token expired"):
            await client.get_me(TOKEN)
        assert len(proxy.calls) == expected_calls
        clock.now += 2.5


async def test_a_403_is_a_permission_denied_error_and_is_cached(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.user = refusal(403, "Not for you.")
    for _ in range(2):
        with pytest.raises(OxaigenAuthPermissionDeniedError, match=r"Not for you\.") as caught:
            await client.get_me(TOKEN)
        assert caught.value.permission is None
    assert len(proxy.calls) == 1


async def test_pitfalls_4_and_20_an_outage_is_neither_remembered_nor_a_rejection(
    client: ProxyAuthClient, proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.user = answer(503, retry_after="7")
    with pytest.raises(OxaigenAuthUpstreamError) as caught:
        await client.get_me(TOKEN)
    assert (caught.value.message, caught.value.retry_after) == ("Auth service unavailable", 7)
    assert [record.getMessage() for record in caplog.records] == [
        "Auth proxy unavailable: get-me at https://app.example.com: the status was 503"
    ]
    proxy.user = profile(user_name="ada")
    assert (await client.get_me(TOKEN)).user_name == "ada"


async def test_an_outage_that_needs_repair_is_logged_as_an_error(
    client: ProxyAuthClient, proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    for proxy.user in (BROKEN, MOCKED):
        with pytest.raises(OxaigenAuthUpstreamError, match=r"^Auth service unavailable$"):
            await client.get_me(TOKEN)
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("oxaigen_auth", logging.WARNING),
        ("oxaigen_auth", logging.ERROR),
    ]


async def test_an_outage_does_not_discard_cached_verdicts(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    await client.get_me(TOKEN)
    proxy.user = BROKEN
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.get_me(TOKEN, fresh=True)
    assert (await client.get_me(TOKEN)).user_name == "ada"


async def test_pitfall_13_a_burst_during_an_outage_makes_one_call(
    client: ProxyAuthClient, proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.user = BROKEN
    errors: list[OxaigenAuthUpstreamError] = []

    async def ask() -> None:
        with pytest.raises(OxaigenAuthUpstreamError) as caught:
            await client.get_me(TOKEN)
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
    assert len(proxy.calls) == len(caplog.records) == 1
    assert len({id(error) for error in errors}) == 50


async def test_a_ttl_of_zero_still_coalesces_a_burst(proxy: FakeProxy) -> None:
    settings = OxaigenAuthSettings(cache_ttl_seconds=0, negative_cache_ttl_seconds=0)
    async with proxy.client(BASE, settings=settings) as client:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(client.get_me, TOKEN)
        await client.get_me(TOKEN)
    assert len(proxy.calls) == 2


async def test_pitfall_17_a_permission_that_is_remembered_still_needs_a_valid_user(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    assert await client.test_permission(TOKEN, "audit")
    proxy.user = REVOKED
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.get_me(TOKEN, fresh=True)
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token revoked"):
        await client.test_permission(TOKEN, "audit")


async def test_granted_and_denied_permissions_are_cached(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.permission = DENIED
    assert [await client.test_permission(TOKEN, "audit") for _ in range(2)] == [False, False]
    assert proxy.calls == [Call("get-me", BASE, TOKEN), Call(AUDIT, BASE, TOKEN)]
    proxy.permission = GRANTED
    assert await client.test_permission(TOKEN, "audit", fresh=True)
    assert await client.test_permission(TOKEN, "audit")
    assert len(proxy.calls) == 3


async def test_an_outage_of_the_permission_check_is_not_a_denial(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.permission = BROKEN
    for _ in range(2):
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.test_permission(TOKEN, "audit")
    assert len(proxy.calls) == 3


async def test_a_401_on_a_permission_check_also_forgets_the_user(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    await client.get_me(TOKEN)
    clock.now += 1
    proxy.permission = REVOKED
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token revoked"):
        await client.test_permission(TOKEN, "audit")
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token revoked"):
        await client.get_me(TOKEN)
    assert len(proxy.calls) == 2


@pytest.mark.parametrize("method", ["get_me", "test_permission"])
async def test_a_rejection_by_an_overtaken_lookup_discards_cached_verdicts(
    client: ProxyAuthClient, proxy: FakeProxy, method: str
) -> None:
    async def ask(expected: type[OxaigenAuthError]) -> None:
        with pytest.raises(expected):
            await getattr(client, method)(TOKEN, *["audit"] * (method != "get_me"), fresh=True)

    await client.get_me(TOKEN)
    async with anyio.create_task_group() as group:
        proxy.user = proxy.permission = REVOKED
        group.start_soon(ask, OxaigenAuthUnauthenticatedError)
        await anyio.sleep(0.5)
        proxy.user = proxy.permission = BROKEN
        group.start_soon(ask, OxaigenAuthUpstreamError)
        await anyio.sleep(0.6)  # the first has ended, the second has not
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(TOKEN)


async def test_a_ttl_of_zero_caches_nothing_while_the_clock_stands_still(
    proxy: FakeProxy, clock: Clock
) -> None:
    settings = OxaigenAuthSettings(cache_ttl_seconds=0, negative_cache_ttl_seconds=0)
    async with proxy.client(BASE, settings=settings, clock=clock) as client:
        for _ in range(4):
            await client.get_me(TOKEN)
    assert len(proxy.calls) == 4


async def test_a_401_that_is_older_than_a_user_discards_the_user_and_is_not_cached(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock
) -> None:
    async def check() -> None:
        with pytest.raises(OxaigenAuthUnauthenticatedError, match="Not yet"):
            await client.test_permission(TOKEN, "audit")

    await client.get_me(TOKEN)
    proxy.permission = refusal(401, "Not yet")
    async with anyio.create_task_group() as group:
        group.start_soon(check)
        await anyio.sleep(0.1)
        clock.now += 1
        proxy.delay = 0.1
        await client.get_me(TOKEN, fresh=True)
    calls = len(proxy.calls)
    await client.get_me(TOKEN)
    assert len(proxy.calls) == calls + 1


async def test_an_invalid_token_costs_the_proxy_one_call(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.user = refusal(401, "Invalid token")
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.test_permission(OTHER, "audit")
    assert proxy.calls == [Call("get-me", BASE, OTHER)]


@pytest.mark.parametrize("name", ["", "a/b", "a b", "../x", "é", "a\n", "a%2f"])
async def test_pitfall_31_a_bad_permission_name_never_gets_into_a_path(
    client: ProxyAuthClient, proxy: FakeProxy, name: str
) -> None:
    with pytest.raises(ValueError, match="is not a permission name"):
        await client.test_permission(TOKEN, name)
    assert proxy.calls == []


@pytest.mark.parametrize("token", ["", "a b", "tök", "a\x00", "a\n", "x" * 8193])
async def test_a_malformed_token_is_refused_without_a_call(
    client: ProxyAuthClient, proxy: FakeProxy, token: str
) -> None:
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Invalid token"):
        await client.get_me(token)
    assert proxy.calls == []


async def test_the_longest_token_is_looked_up(client: ProxyAuthClient) -> None:
    assert (await client.get_me("x" * 8192)).user_name == "ada"


async def test_pitfall_18_what_one_proxy_said_is_never_used_for_another(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    await client.test_permission(TOKEN, "audit")
    other = "https://other.example.com"
    await client.test_permission(TOKEN, "audit", proxy_base_url=other + "/")
    assert proxy.calls[2:] == [Call("get-me", other, TOKEN), Call(AUDIT, other, TOKEN)]


async def test_pitfall_22_a_flood_of_junk_tokens_evicts_no_user(proxy: FakeProxy) -> None:
    proxy.delay = 0
    settings = OxaigenAuthSettings(cache_max_entries=10)
    async with proxy.client(BASE, settings=settings) as client:
        await client.test_permission(TOKEN, "audit")
        proxy.user = refusal(401, "Invalid token")
        for n in range(100):
            with pytest.raises(OxaigenAuthUnauthenticatedError):
                await client.get_me(f"{MARK}-junk-{n}")
        before = len(proxy.calls)
        assert await client.test_permission(TOKEN, "audit")
        assert len(proxy.calls) == before


async def test_pitfall_27_nothing_done_to_a_user_reaches_the_next_request(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.user = profile(workspace_roles=[{"name": "owner", "tags": ["a"]}], deep={"list": [1]})
    users: list[User] = []

    async def ask() -> None:
        users.append(await client.get_me(TOKEN))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
    for user in users:
        assert user == User(
            workspace_roles=[WorkspaceRole(name="owner", extra={"tags": ["a"]})],
            extra={"deep": {"list": [1]}},
        )
        user.workspace_roles[0].extra["tags"].append("b")
        user.workspace_roles.clear()
        user.workspace_permissions.append(WorkspacePermission(name="all"))
        user.extra["deep"]["list"].append(2)
    assert await client.get_me(TOKEN) == User(
        workspace_roles=[WorkspaceRole(name="owner", extra={"tags": ["a"]})],
        extra={"deep": {"list": [1]}},
    )


async def test_forget_discards_cached_verdicts(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    await client.test_permission(TOKEN, "audit")
    await client.test_permission(OTHER, "audit")
    client.forget(TOKEN)
    await client.test_permission(TOKEN, "audit")
    await client.test_permission(OTHER, "audit")
    assert [call.token for call in proxy.calls] == [TOKEN] * 2 + [OTHER] * 2 + [TOKEN] * 2


async def test_forget_discards_a_cached_rejection(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.user = refusal(401, "Not yet")
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.get_me(TOKEN)
    client.forget(TOKEN)
    proxy.user = profile()
    await client.get_me(TOKEN)


async def test_pitfalls_9_and_21_a_lookup_under_way_is_not_believed_after_forget(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    refused: list[str] = []

    async def ask_early() -> None:
        with pytest.raises(OxaigenAuthUnauthenticatedError) as caught:
            await client.get_me(TOKEN)
        refused.append(caught.value.message)

    async with anyio.create_task_group() as group:
        group.start_soon(ask_early)
        await anyio.sleep(0.5)
        client.forget(TOKEN)
        proxy.user = REVOKED
        with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token revoked"):
            await client.get_me(TOKEN)
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token revoked"):
        await client.get_me(TOKEN)
    assert refused == ["Token revoked"]
    assert len(proxy.calls) == 2


async def test_a_grant_from_before_forget_is_looked_up_again(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    granted: list[bool] = []

    async def check() -> None:
        granted.append(await client.test_permission(TOKEN, "audit"))

    await client.get_me(TOKEN)
    async with anyio.create_task_group() as group:
        group.start_soon(check)
        await anyio.sleep(0.5)
        client.forget(TOKEN)
        proxy.permission = DENIED
    assert granted == [False]
    assert len(proxy.calls) == 3


async def test_a_permission_check_from_before_forget_does_not_affect_the_user(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.permission = REVOKED

    async def check() -> None:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.test_permission(TOKEN, "audit")

    await client.get_me(TOKEN)
    async with anyio.create_task_group() as group:
        group.start_soon(check)
        await anyio.sleep(0.5)
        client.forget(TOKEN)
    assert (await client.get_me(TOKEN)).user_name == "ada"


async def test_a_fresh_answer_replaces_the_cached_one(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    await client.get_me(TOKEN)
    proxy.user = profile(user_name="ada lovelace")
    assert (await client.get_me(TOKEN, fresh=True)).user_name == "ada lovelace"
    assert (await client.get_me(TOKEN)).user_name == "ada lovelace"
    assert len(proxy.calls) == 2


async def test_a_fresh_answer_is_not_replaced_by_an_earlier_lookup(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    async with anyio.create_task_group() as group:
        proxy.delay = 3
        group.start_soon(client.get_me, TOKEN)
        await anyio.sleep(1)
        proxy.delay = 1
        proxy.user = profile(user_name="ada lovelace")
        await client.get_me(TOKEN, fresh=True)
    assert (await client.get_me(TOKEN)).user_name == "ada lovelace"


async def test_stats_count_each_event(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(client.get_me, TOKEN)
    await client.get_me(TOKEN)
    proxy.user = refusal(401, "no")
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.get_me(OTHER)
    proxy.user = BROKEN
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.get_me(f"{MARK}-worse")
    client.forget(TOKEN)
    stats = client.stats()
    assert (stats.hits, stats.misses, stats.coalesced, stats.upstream_calls) == (1, 7, 4, 3)
    assert (stats.accepted, stats.rejected, stats.unavailable, stats.forgotten) == (1, 1, 1, 1)
    stats.hits = 99
    assert client.stats().hits == 1


async def test_pitfall_23_no_token_is_kept_or_shown(
    client: ProxyAuthClient, proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = f"{MARK}-{id(proxy)}"
    errors: list[BaseException] = []
    for proxy.user in (profile(), refusal(401, "no"), BROKEN):
        try:
            await client.get_me(secret, fresh=True)
        except (OxaigenAuthUnauthenticatedError, OxaigenAuthUpstreamError) as error:
            errors.append(error)
    proxy.calls.clear()
    client.forget(secret)
    gc.collect()
    for raised in errors:
        frames = [frame for frame, _ in walk_tb(raised.__traceback__)][1:]  # the first is this test
        assert frames
        assert secret not in repr([frame.f_locals for frame in frames])
    assert secret not in caplog.text
    assert secret not in repr([errors, client, client.stats(), vars(client)])
    holders = [x for x in gc.get_referrers(secret) if isinstance(x, (dict, list, tuple, set))]
    assert [x for x in holders if x is not proxy.calls] == []


@pytest.mark.parametrize("base", [None, "ftp://x"])
@pytest.mark.parametrize("name", [(), ("audit",), ("no name",)])
async def test_pitfall_23_a_refused_call_keeps_no_token_in_its_traceback(
    proxy: FakeProxy, name: tuple[str, ...], base: str | None
) -> None:
    client = proxy.client(BASE)
    await client.aclose()
    call = client.test_permission if name else client.get_me
    with pytest.raises((RuntimeError, ValueError)) as caught:
        await call(TOKEN, *name, proxy_base_url=base)
    assert Graph(MARK).find(caught.value) == []
    assert proxy.calls == []


async def test_pitfall_23_a_cancelled_call_keeps_no_token_in_its_traceback(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    kept: list[BaseException] = []

    async def ask(call: Callable[..., Any], *about: str) -> None:
        try:
            await call(*about)
        except BaseException as error:
            kept.append(error)
            raise

    for call, name in ((client.get_me, ()), (client.test_permission, ("audit",))):
        with anyio.move_on_after(0.5):
            await ask(call, TOKEN, *name)
    assert len(kept) == len(proxy.calls) == 2
    for error in kept:
        assert Graph(MARK).find(error) == []


async def test_the_repr_of_a_client_shows_no_user(
    client: ProxyAuthClient,
) -> None:
    assert (await client.get_me(TOKEN)).user_name == "ada"
    assert "ada" not in repr(vars(client))


async def test_a_lookup_that_raises_is_an_upstream_error_without_a_traceback(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.user = ZeroDivisionError()
    with pytest.raises(OxaigenAuthUpstreamError) as caught:
        await client.get_me(TOKEN)
    assert caught.value.__context__ is caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (OxaigenAuthSettings(dev_mode=True), "http://127.0.0.1:8765"),
        (
            OxaigenAuthSettings(dev_mode=True, proxy_url_override="https://staging.example.com/"),
            "https://staging.example.com",
        ),
    ],
)
async def test_the_settings_give_the_base_url_by_default(
    proxy: FakeProxy, settings: OxaigenAuthSettings, expected: str
) -> None:
    async with proxy.client(settings=settings) as client:
        await client.get_me(TOKEN)
        await client.get_me(TOKEN, proxy_base_url="http://from-the-call")
    async with proxy.client("http://from-the-constructor/", settings=settings) as client:
        await client.get_me(TOKEN)
    assert [call.base_url for call in proxy.calls] == [
        expected,
        "http://from-the-call",
        "http://from-the-constructor",
    ]


DEV_MODE = OxaigenAuthSettings(dev_mode=True, dev_proxy_url="http://127.0.0.1:8765/")
DEV_URL = "http://127.0.0.1:8765"


def warnings_of_dev_mode(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [it for it in caplog.records if "OXAIGEN_AUTH_DEV_MODE" in it.getMessage()]


async def test_dev_mode_is_logged_once_in_a_process_with_its_first_lookup(
    proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.delay = 60  # the warning does not wait for the answer
    async with proxy.client(settings=DEV_MODE) as client:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(f"no token at all {MARK}")
        assert caplog.messages == ["Caller refused: malformed_token"]
        caplog.clear()
        with anyio.move_on_after(1):
            await client.get_me(TOKEN)
        (record,) = warnings_of_dev_mode(caplog)
        assert await client.test_permission(TOKEN, "audit")
    other = evolve(DEV_MODE, dev_proxy_url="http://localhost:9000")
    async with proxy.client(settings=other) as client:
        await client.get_me(TOKEN)
    assert warnings_of_dev_mode(caplog) == [record]
    assert (record.name, record.levelno) == ("oxaigen_auth", logging.WARNING)
    for words in (
        "OXAIGEN_AUTH_DEV_PROXY_URL",
        "a mock accepts tokens",
        "Never use it in production",
    ):
        assert words in record.getMessage()
    assert MARK not in caplog.text


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (DEV_MODE, BASE),
        (evolve(DEV_MODE, proxy_url_override=BASE), None),
        (evolve(DEV_MODE, dev_mode=False), DEV_URL),
    ],
    ids=["another url", "overridden", "off"],
)
async def test_unused_dev_mode_is_not_logged(
    proxy: FakeProxy,
    caplog: pytest.LogCaptureFixture,
    settings: OxaigenAuthSettings,
    url: str | None,
) -> None:
    async with proxy.client(url, settings=settings) as client:
        assert await client.test_permission(TOKEN, "audit")
    assert len(proxy.calls) == 2
    assert warnings_of_dev_mode(caplog) == []


async def test_without_a_base_url_the_error_lists_the_options() -> None:
    client = ProxyAuthClient()
    with pytest.raises(OxaigenAuthConfigurationError, match="OXAIGEN_AUTH_PROXY_URL_OVERRIDE"):
        await client.get_me(TOKEN)


@pytest.mark.parametrize(
    "url", ["app.example.com", "ftp://x", "http://", "http://u:p@x", "http://x?y"]
)
async def test_an_invalid_base_url_is_refused(client: ProxyAuthClient, url: str) -> None:
    with pytest.raises(ValueError, match="the proxy's URL is invalid"):
        await client.get_me(TOKEN, proxy_base_url=url)
    with pytest.raises(ValueError, match="the proxy's URL is invalid"):
        ProxyAuthClient(url)


async def test_a_closed_client_raises_runtime_error(proxy: FakeProxy) -> None:
    async with proxy.client(BASE) as client:
        await client.get_me(TOKEN)
    assert proxy.closed == 1
    for call in (client.get_me(TOKEN), client.test_permission(TOKEN, "audit")):
        with pytest.raises(RuntimeError, match="This client is closed; make a new one"):
            await call
    with pytest.raises(RuntimeError, match="closed"):
        await client.__aenter__()


async def test_closing_twice_is_no_error(proxy: FakeProxy) -> None:
    client = proxy.client(BASE)
    await client.get_me(TOKEN)
    await client.aclose()
    await client.aclose()
    assert proxy.closed == 1


async def test_closing_raises_an_upstream_error_for_waiting_callers(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    outcomes: list[str] = []

    async def ask() -> None:
        try:
            await client.get_me(TOKEN)
        except OxaigenAuthUpstreamError as error:
            outcomes.append(error.message)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        await anyio.sleep(0.5)
        await client.aclose()
    assert outcomes == ["Auth service unavailable"] * 3
    assert proxy.closed == 1


async def test_a_client_whose_block_ends_refuses_calls(
    proxy: FakeProxy,
) -> None:
    refused: list[str] = []

    class CallsWhileClosing(InMemory):
        async def aclose(self) -> None:
            with pytest.raises(RuntimeError) as caught:
                await leaving.get_me(TOKEN)
            refused.append(str(caught.value))

    leaving = ProxyAuthClient(BASE)
    leaving.validator.open_upstream = lambda: CallsWhileClosing(proxy, Observer())
    async with leaving:
        await leaving.get_me(TOKEN)
    assert proxy.calls == [Call("get-me", BASE, TOKEN)]
    assert refused == ["This client is closed; make a new one."]


async def test_leaving_the_block_cancels_lookups_and_raises_its_exception_unwrapped(
    proxy: FakeProxy,
) -> None:
    proxy.delay = 1000
    start = anyio.current_time()
    released: list[bool] = []
    async with anyio.create_task_group() as group:
        with pytest.raises(LookupError, match="the body's own"):
            async with proxy.client(BASE) as client:

                async def ask() -> None:
                    with pytest.raises(OxaigenAuthUpstreamError):
                        await client.get_me(TOKEN)
                    released.append(True)

                group.start_soon(ask)
                await anyio.sleep(1)
                raise LookupError("the body's own")
    assert released == [True]
    assert anyio.current_time() - start < 10


async def test_a_cancelled_block_stays_cancelled(proxy: FakeProxy) -> None:
    with anyio.move_on_after(1) as scope:
        async with proxy.client(BASE):
            await anyio.sleep(10)
    assert scope.cancelled_caught
    assert proxy.closed == 1


@pytest.mark.parametrize("inner", ["block", "lifespan"])
async def test_pitfall_45_a_block_within_another_leaves_the_client_open(
    proxy: FakeProxy, inner: str
) -> None:
    async with proxy.client(BASE) as client:
        async with client if inner == "block" else client.validator.loops.running():
            await client.get_me(TOKEN)
        assert proxy.closed == 0
        assert (await client.get_me(OTHER)).user_name == "ada"
    assert proxy.closed == 1
    with pytest.raises(RuntimeError, match="closed"):
        await client.get_me(TOKEN)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("with_block", [False, True])
async def test_pitfall_45_apps_that_share_a_client_stop_in_any_order(
    proxy: FakeProxy,
    order: tuple[int, ...],
    with_block: bool,  # noqa: FBT001
) -> None:
    client = proxy.client(BASE)
    blocks = [client.validator.loops.running() for _ in range(2)]
    last: Any = client if with_block else client.validator.loops.running()
    stops = [anyio.Event() for _ in range(3)]

    async def live(block: Any, stop: anyio.Event) -> None:
        async with block:
            await stop.wait()

    async with anyio.create_task_group() as group:
        for block, stop in zip([*blocks, last], stops, strict=True):
            group.start_soon(live, block, stop)
        await anyio.sleep(0.1)
        for number in order[:-1]:
            async with anyio.create_task_group() as asking:
                asking.start_soon(client.get_me, f"{MARK}-{number}")
                await anyio.sleep(0.5)
                stops[number].set()  # while a lookup is under way
        assert proxy.closed == 0
        stops[order[-1]].set()
    assert (len(proxy.calls), proxy.closed) == (2, 1)
    assert client.validator.loops.closed == with_block
    assert client.validator.loops.current() is None
    await client.aclose()


async def test_pitfall_45_a_lookup_of_an_app_without_a_lifespan_outlives_the_others(
    proxy: FakeProxy,
) -> None:
    client = proxy.client(BASE)
    users: list[User] = []

    async def ask() -> None:
        users.append(await client.get_me(TOKEN))

    async with anyio.create_task_group() as group:
        async with client.validator.loops.running():
            group.start_soon(ask)
            await anyio.sleep(0.5)
    assert [user.user_name for user in users] == ["ada"]
    await client.aclose()
    assert proxy.closed == 2


async def test_pitfall_45_a_client_that_is_closed_in_its_block_stays_closed(
    proxy: FakeProxy,
) -> None:
    async with proxy.client(BASE) as client:
        await client.get_me(TOKEN)
        await client.aclose()
        assert proxy.closed == 1
        with pytest.raises(RuntimeError, match="closed"):
            await client.get_me(TOKEN)
    assert proxy.closed == 1
    assert client.validator.loops.current() is None


async def test_a_cancelled_entry_closes_the_client(proxy: FakeProxy) -> None:
    client = proxy.client(BASE)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await client.__aenter__()
    assert proxy.closed == 1
    assert client.validator.loops.current() is None


async def test_pitfall_55_one_task_opens_the_client_and_another_closes_it(
    proxy: FakeProxy,
) -> None:
    client = proxy.client(BASE)
    for step in (client.__aenter__, partial(client.get_me, TOKEN), client.__aexit__):
        async with anyio.create_task_group() as group:  # noqa: ASYNC112 (another task is the point)
            group.start_soon(step)
    assert (len(proxy.calls), proxy.closed) == (1, 1)


async def test_a_caller_who_retries_opens_no_connection_of_a_closed_client(
    client: ProxyAuthClient, proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask() -> None:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(0.5)
        client.forget(TOKEN)
        client.validator.loops.closed = True  # as `aclose` in another event loop says
    assert len(proxy.calls) == 1
    assert MARK not in caplog.text


# Callers who have done nothing wrong.


@pytest.mark.parametrize("fresh", [False, True])
async def test_pitfalls_3_and_53_who_joined_a_lookup_that_timed_out_asks_again_once(
    client: ProxyAuthClient,
    proxy: FakeProxy,
    fresh: bool,  # noqa: FBT001
) -> None:
    """The first call, and with `fresh` the second one too, run out of their time."""
    names: list[str | None] = []

    async def first() -> None:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)

    async def join() -> None:
        names.append((await client.get_me(TOKEN)).user_name)

    async def join_in_vain() -> None:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)

    proxy.delay, proxy.user = 2, LATE
    async with anyio.create_task_group() as group:
        group.start_soon(first)
        await anyio.sleep(1.9)
        for _ in range(3):
            group.start_soon(join_in_vain if fresh else join)
        await anyio.sleep(0.05)
        proxy.delay = 0.1
        proxy.user = LATE if fresh else profile(user_name="ada")
    assert names == ["ada"] * (0 if fresh else 3)
    assert len(proxy.calls) == 2  # those who ask again share a lookup


async def test_pitfall_46_sign_outs_of_other_tokens_cost_nothing(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    await client.get_me(OTHER)
    async with anyio.create_task_group() as group:
        group.start_soon(client.get_me, TOKEN)
        await anyio.sleep(0.5)
        for number in range(2000):
            client.forget(f"{MARK}-junk-{number}")
    await client.get_me(OTHER)
    assert len(proxy.calls) == 2


async def test_pitfall_46_a_storm_of_sign_outs_holds_a_lookup_up_until_its_deadline_only(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0.01

    async def forget() -> None:
        while True:
            client.forget(TOKEN)
            await anyio.sleep(0.005)

    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(forget)
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)
        group.cancel_scope.cancel()
    timeout = client.settings.proxy_timeout_seconds
    assert anyio.current_time() - start == pytest.approx(timeout, abs=0.1)
    assert len(proxy.calls) > 100  # and no recursion
    proxy.delay = 0
    assert (await client.get_me(TOKEN)).user_name == "ada"
    assert not len(client.validator.store._generations)  # noqa: SLF001 (nothing is left over)


# The circuit.


@pytest.mark.parametrize("status", [400, 404, 413, 414, 429, 431, 500])
async def test_pitfall_41_answers_to_one_senders_odd_tokens_shut_nobody_out(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock, status: int
) -> None:
    proxy.delay = 0
    for number in range(20):
        proxy.user = answer(status)
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(f"{MARK}-odd-{number}")
        proxy.user = profile(user_name="ada")
        assert (await client.get_me(f"{MARK}-{number}")).user_name == "ada"
        clock.now += 0.2
    assert client.stats().short_circuited == 0


async def test_pitfall_41_waiting_for_a_turn_of_ours_opens_no_circuit(proxy: FakeProxy) -> None:
    settings = OxaigenAuthSettings(max_connections=5, proxy_timeout_seconds=1)
    proxy.delay = 0.3
    outcomes: list[bool] = []
    async with proxy.client(BASE, settings=settings) as client:

        async def ask(number: int) -> None:
            try:
                await client.get_me(f"{MARK}-{number}")
                outcomes.append(True)
            except OxaigenAuthUpstreamError:
                outcomes.append(False)

        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(ask, number)
        assert (await client.get_me(TOKEN)).user_name == "ada"
        stats = client.stats()
    assert 0 < sum(outcomes) < 60
    assert stats.short_circuited == 0
    assert stats.unavailable == outcomes.count(False)
    assert stats.accepted == sum(outcomes) + 1 == stats.upstream_calls


# What only asyncio has.


def cancel_tasks(tasks: set[Any]) -> None:
    for task in tasks:
        task.cancel()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("opened", [True, False])
async def test_natively_cancelled_helper_tasks_lose_no_answer(
    proxy: FakeProxy,
    steps: int,
    opened: bool,  # noqa: FBT001
) -> None:
    """Every task that the client started is cancelled, after some steps of the event loop."""
    settings = OxaigenAuthSettings(max_connections=2)
    proxy.delay = 0.1
    outcomes: list[str | None] = []
    async with anyio.create_task_group() as group:
        client = proxy.client(BASE, settings=settings)
        before: set[Any] = asyncio.all_tasks()
        async with client.validator.loops.running() if opened else nullcontext():

            async def ask(number: int) -> None:
                outcomes.append((await client.get_me(f"{MARK}-{number % 4}")).user_name)

            without_callers = asyncio.all_tasks()
            for number in range(12):
                group.start_soon(ask, number)
            callers = asyncio.all_tasks() - without_callers
            for _ in range(steps):
                await asyncio.sleep(0)
            cancel_tasks(asyncio.all_tasks() - before - callers)
            with anyio.fail_after(30):
                while len(outcomes) < 12:  # noqa: ASYNC110 (in virtual time)
                    await anyio.sleep(0.1)
            assert set(outcomes) == {"ada"}
            assert (await client.get_me(TOKEN)).user_name == "ada"  # the app's lifespan goes on
            state = client.validator.loops.current()
            assert state is not None
            assert state.flights._queue._held == len(state.flights) == 0  # noqa: SLF001 (no leak)
        await client.aclose()
    gc.collect()


async def test_a_client_can_be_used_again_after_running(proxy: FakeProxy) -> None:
    client = proxy.client(BASE)
    for _ in range(2):
        async with client.validator.loops.running():
            await client.get_me(TOKEN)
    assert (len(proxy.calls), proxy.closed) == (1, 2)


@pytest.mark.parametrize("name", ["get_me", "test_permission"])
@pytest.mark.parametrize("given", [(), (TOKEN,)])
async def test_pitfall_39_a_call_on_the_class_says_that_a_client_is_needed(
    name: str, given: tuple[str, ...]
) -> None:
    on_class: Any = getattr(ProxyAuthClient, name)
    with pytest.raises(
        TypeError, match=rf"write await client\.{name}\(bearer_token, …\)"
    ) as caught:
        await on_class(*given, bearer_token=TOKEN, permission_name="audit", proxy_base_url=BASE)
    assert TOKEN not in str(caught.value)
    assert on_class.__name__ == name


async def test_the_published_keywords_work_on_a_client(proxy: FakeProxy) -> None:
    client = proxy.client()
    user = await client.get_me(bearer_token=TOKEN, proxy_base_url=BASE)
    assert user == await ProxyAuthClient.get_me(client, TOKEN, proxy_base_url=BASE)
    assert await client.test_permission(
        bearer_token=TOKEN, permission_name="audit", proxy_base_url=BASE
    )
    await client.aclose()
    assert len(proxy.calls) == 2


async def test_a_method_of_the_client_may_be_replaced_in_tests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def replacement(_: ProxyAuthClient, token: str) -> str:
        await anyio.lowlevel.checkpoint()
        return token

    monkeypatch.setattr(ProxyAuthClient, "get_me", replacement)
    assert await ProxyAuthClient(BASE).get_me("x") == "x"  # type: ignore[comparison-overlap]
    monkeypatch.undo()
    assert inspect.iscoroutinefunction(ProxyAuthClient(BASE).get_me)


def test_settings_must_be_an_instance() -> None:
    settings: Any = OxaigenAuthSettings
    with pytest.raises(TypeError, match="settings must be an instance"):
        ProxyAuthClient(settings=settings)


async def test_pitfall_57_reset_leaves_a_process_as_it_was_at_its_start(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        for attempt in range(2):
            monkeypatch.setenv("OXAIGEN_AUTH_DEV_MODE", "1")
            monkeypatch.setenv("OXAIGEN_AUTH_DEV_PROXY_URL", f"http://{number}{attempt}")
            monkeypatch.setenv("OXAIGEN_AUTH_TYPO", "1")
            await proxy.connect(default_client()).get_me(TOKEN)
            derive_base_url({b"host": b"app"}, OxaigenAuthSettings())
            with pytest.raises(OxaigenAuthUntrustedHostError):
                derive_base_url({b"host": b"/"}, OxaigenAuthSettings())
        assert len(caplog.records) == 4  # dev mode, unknown variable, unchecked hosts, refused host
        caplog.clear()
        testing.reset()
    assert [call.base_url for call in proxy.calls] == ["http://00", "http://10"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_that_is_dropped_closes_its_connections_before_its_loop_ends(
    proxy: FakeProxy, backend: str
) -> None:
    """Warnings are errors, also trio's about async generators that are collected too early."""
    proxy.delay = 0

    async def main() -> None:
        for _ in range(2):
            await proxy.connect(default_client()).get_me(TOKEN, proxy_base_url=BASE)
            testing.reset()
            gc.collect()

    anyio.run(main, backend=backend)
    gc.collect()
    assert proxy.closed == 2


def test_pitfall_57_reset_needs_no_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    testing.reset()
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "http://first")
    assert default_client().base_url == "http://first"
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "http://second")
    assert default_client().base_url == "http://first"
    testing.reset()
    assert default_client().base_url == "http://second"


async def test_the_default_client_lasts_until_it_is_closed(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await aclose_client()  # there is none yet: no error
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "http://first")
    first = proxy.connect(default_client())
    assert default_client() is first
    await first.get_me(TOKEN)
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "http://second")
    await aclose_client()
    with pytest.raises(RuntimeError, match="closed"):
        await first.get_me(TOKEN)
    await proxy.connect(default_client()).get_me(TOKEN)
    assert [call.base_url for call in proxy.calls] == ["http://first", "http://second"]
    await aclose_client()
    assert proxy.closed == 2


async def test_none_as_a_token_is_not_authenticated() -> None:
    client = ProxyAuthClient(BASE, settings=OxaigenAuthSettings())
    absent: Any = None
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Not authenticated"):
        await client.get_me(absent)
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Not authenticated"):
        await client.test_permission(absent, "audit")
    wrong: Any = TOKEN.encode()
    with pytest.raises(TypeError, match="a bearer token must be str, not bytes") as caught:
        client.forget(wrong)
    frames = [frame.f_locals.values() for frame, _ in walk_tb(caught.tb)][1:]
    assert not [values for values in frames if wrong in values]
