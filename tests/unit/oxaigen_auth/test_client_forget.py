"""`forget_user` and `forget_all` without a shared store, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from oxaigen_auth import (
    OxaigenAuthConfigurationError,
    OxaigenAuthUnauthenticatedError,
    ProxyAuthClient,
)
from oxaigen_auth.testing import FakeProxy
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

ADA, SECOND, BOB = "adas-token", "another-token-of-ada", "bobs-token"
OTHER_PROXY = "https://other.example.com"


@pytest.fixture
def proxy() -> FakeProxy:
    proxy = FakeProxy()
    for token, number in ((ADA, 1), (SECOND, 1), (BOB, 2)):
        proxy.add_user(token, id=number, permissions=["audit"])
    return proxy


@pytest.fixture
async def client(proxy: FakeProxy) -> AsyncIterator[ProxyAuthClient]:
    async with proxy.client(clock=anyio.current_time) as client:
        yield client


async def test_all_tokens_of_a_user_are_asked_about_again_and_no_others(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    for token in (ADA, SECOND, BOB):
        assert await client.test_permission(token, "audit")
    proxy.reject(ADA)
    client.forget_user(1)
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.test_permission(ADA, "audit")
    await client.test_permission(SECOND, "audit")
    await client.test_permission(BOB, "audit")
    assert [proxy.count(it) for it in (ADA, SECOND, BOB)] == [3, 4, 2]
    assert client.stats().forgotten == 1


async def test_users_of_other_proxies_with_the_same_id_stay_cached(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    for _ in range(2):
        await client.get_me(ADA)
        await client.get_me(SECOND, proxy_base_url=OTHER_PROXY)
        client.forget_user(1, proxy_base_url=f"{OTHER_PROXY}/")
    assert (proxy.count(ADA), proxy.count(SECOND)) == (1, 2)


async def test_everything_is_asked_again_after_forget_all(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    for _ in range(2):
        for token in (ADA, BOB):
            await client.test_permission(token, "audit")
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me("unknown")
        client.forget_all()
    assert proxy.count() == 2 * 5
    assert client.stats().forgotten == 2


@pytest.mark.parametrize("what", ["user", "all"])
async def test_a_lookup_that_runs_meanwhile_does_not_count(
    client: ProxyAuthClient, proxy: FakeProxy, what: str
) -> None:
    proxy.delay = 1

    async def get_me() -> None:
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(ADA)

    async with anyio.create_task_group() as group:
        group.start_soon(get_me)
        await anyio.sleep(0.5)
        proxy.reject(ADA)
        client.forget_user(1) if what == "user" else client.forget_all()
    assert proxy.count() == 2


async def test_a_permission_of_a_user_who_is_not_cached_any_more_is_asked_again(
    proxy: FakeProxy,
) -> None:
    client = proxy.client(clock=anyio.current_time, cache_max_entries=1)
    assert await client.test_permission(ADA, "audit")
    await client.get_me(BOB)  # in the place of ada
    proxy.add_user(ADA, id=1)
    client.forget_user(1)
    assert not await client.test_permission(ADA, "audit")


@pytest.mark.parametrize("wrong", ["1", None, 1.0, True])
async def test_a_user_id_of_another_type_is_an_error(client: ProxyAuthClient, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"user_id must be an int, not {type(wrong).__name__}"):
        client.forget_user(wrong)
    assert client.stats().forgotten == 0


async def test_a_user_of_an_unknown_proxy_is_an_error(proxy: FakeProxy) -> None:
    client = proxy.client(None)
    with pytest.raises(OxaigenAuthConfigurationError, match="URL of the auth proxy is unknown"):
        client.forget_user(1)
    with pytest.raises(ValueError, match="the proxy's URL is invalid"):
        client.forget_user(1, proxy_base_url="ftp://x")
    client.forget_user(1, proxy_base_url=OTHER_PROXY)
    client.forget_all()
