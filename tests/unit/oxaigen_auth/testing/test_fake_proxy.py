"""`FakeProxy` answers the SDK as the real proxy would, and counts its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import attrs
import pytest
from fastapi import FastAPI

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    User,
    UserWorkspace,
    aclose_client,
)
from oxaigen_auth._default_client import default_client

# The library of which a FakeProxy is a transport.
from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth.observers import Observer, Question
from oxaigen_auth.testing import FakeProxy
from tests.support.apps import TestClient, make_app
from tests.support.virtual_time import anyio_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from oxaigen_auth import ProxyAuthClient

__all__ = ["anyio_backend"]

TOKEN = "adas-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

pytestmark = pytest.mark.anyio


@pytest.fixture
def proxy() -> FakeProxy:
    proxy = FakeProxy()
    proxy.add_user(TOKEN, user_name="ada", permissions=["audit"], roles=["owner"])
    return proxy


@pytest.fixture
async def client(proxy: FakeProxy) -> AsyncIterator[ProxyAuthClient]:
    async with proxy.client(clock=anyio.current_time, cache_ttl_seconds=10) as client:
        yield client


# Answers.


async def test_a_user_arrives_with_all_fields(proxy: FakeProxy, client: ProxyAuthClient) -> None:
    given = User(
        id=7,
        user_name="bob",
        enabled=True,
        user_workspace=UserWorkspace(id="w", name="Lab", extra={"plan": "pro"}),
        extra={"badge": [1, 2]},
    )
    added = proxy.add_user("bobs-token", given, roles=["owner"])
    assert await client.get_me("bobs-token") == added
    assert (added.has_role("owner"), added.extra) == (True, {"badge": [1, 2]})


async def test_a_user_has_the_permissions_of_the_profile(client: ProxyAuthClient) -> None:
    assert await client.test_permission(TOKEN, "audit")
    assert not await client.test_permission(TOKEN, "export")


async def test_an_unknown_token_is_rejected(client: ProxyAuthClient) -> None:
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Invalid token"):
        await client.get_me("other")


async def test_a_token_may_be_rejected_or_forbidden_and_added_again(
    proxy: FakeProxy, client: ProxyAuthClient
) -> None:
    proxy.reject(TOKEN, "Token revoked")
    with pytest.raises(OxaigenAuthUnauthenticatedError, match="Token revoked"):
        await client.get_me(TOKEN, fresh=True)
    proxy.forbid(TOKEN)
    with pytest.raises(OxaigenAuthPermissionDeniedError, match="Not allowed for this application"):
        await client.get_me(TOKEN, fresh=True)
    proxy.add_user(TOKEN, user_name="ada")
    assert (await client.get_me(TOKEN, fresh=True)).user_name == "ada"


@pytest.mark.parametrize("status", [None, 500, 503, 429, 302])
async def test_it_fails_until_it_recovers(
    proxy: FakeProxy, client: ProxyAuthClient, status: int | None
) -> None:
    proxy.fail(status)
    for _ in range(2):
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)
    proxy.recover()
    await client.get_me(TOKEN)
    assert client.stats().upstream_calls == proxy.count() == 3


async def test_it_fails_a_number_of_times(proxy: FakeProxy, client: ProxyAuthClient) -> None:
    proxy.fail(times=1)
    with pytest.raises(OxaigenAuthUpstreamError):
        await client.get_me(TOKEN)
    await client.get_me(TOKEN)


@pytest.mark.parametrize("status", [200, 401, 403])
def test_an_answer_is_no_failure(proxy: FakeProxy, status: int) -> None:
    with pytest.raises(ValueError, match=r"write proxy\.add_user, reject or forbid\(token\)"):
        proxy.fail(status)


@pytest.mark.parametrize("method", ["add_user", "reject", "forbid"])
@pytest.mark.parametrize("token", ["Bearer token", "", "tök"])
def test_what_is_no_token_is_refused(proxy: FakeProxy, method: str, token: str) -> None:
    with pytest.raises(ValueError, match='without "Bearer" before it'):
        getattr(proxy, method)(token)


def test_an_unknown_field_is_refused(proxy: FakeProxy) -> None:
    with pytest.raises(TypeError, match="add_user got an unknown field 'frist_name'; did you mean"):
        proxy.add_user(TOKEN, frist_name="Ada")


# Calls and time.


async def test_calls_are_counted_and_listed_without_tokens(
    proxy: FakeProxy, client: ProxyAuthClient
) -> None:
    await client.test_permission(TOKEN, "audit")
    with pytest.raises(OxaigenAuthUnauthenticatedError):
        await client.get_me("other", proxy_base_url="https://b.example.com/x/")
    assert [(it.endpoint, it.permission, it.user_name, it.base_url) for it in proxy.calls] == [
        ("get-me", None, "ada", "https://proxy.example.com"),
        ("test-app-permission", "audit", "ada", "https://proxy.example.com"),
        ("get-me", None, None, "https://b.example.com/x"),
    ]
    assert [it.token for it in proxy.calls] == [TOKEN, TOKEN, "other"]
    counts = (proxy.count(), proxy.count(TOKEN), proxy.count(endpoint="get-me"))
    assert (*counts, proxy.count(TOKEN, endpoint="get-me")) == (3, 2, 2, 1)
    assert TOKEN not in f"{proxy!r} {proxy.calls!r}"


async def test_a_delay_passes_in_virtual_time_and_coalesces_callers(
    proxy: FakeProxy, client: ProxyAuthClient
) -> None:
    proxy.delay = 3.0
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(client.get_me, TOKEN)
    assert anyio.current_time() - start == pytest.approx(3)
    assert proxy.count() == 1
    await anyio.sleep(10)  # the TTL
    await client.get_me(TOKEN)
    assert proxy.count() == 2


async def test_a_delay_beyond_the_timeout_is_an_outage(proxy: FakeProxy) -> None:
    proxy.delay = 3.0
    async with proxy.client(proxy_timeout_seconds=2) as client:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)


async def test_an_answer_is_decided_when_the_call_arrives(
    proxy: FakeProxy, client: ProxyAuthClient
) -> None:
    proxy.delay = 1.0
    async with anyio.create_task_group() as group:
        group.start_soon(client.get_me, TOKEN)
        await anyio.sleep(0.5)
        proxy.reject(TOKEN)
    assert client.stats().accepted == 1


# Apps.


def test_a_client_for_the_middleware_takes_settings_and_hosts_of_requests(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_CACHE_TTL_SECONDS", "not read")
    app: FastAPI = make_app()
    app.add_middleware(OxaigenAuthMiddleware, client=proxy.client(None, cache_ttl_seconds=0))
    for base_url in ("https://a.example.com", "https://b.example.com"):
        with TestClient(app, base_url=base_url, headers=BEARER) as client:
            assert client.get("/audit").json() == {"user": "ada"}
    assert len(proxy.calls) == 4
    assert {call.base_url for call in proxy.calls} == {
        "https://a.example.com",
        "https://b.example.com",
    }


def test_the_default_client_asks_it_while_it_is_installed(proxy: FakeProxy) -> None:
    client, inner = TestClient(make_app(), headers=BEARER), FakeProxy()
    with proxy.installed() as installed:
        assert client.get("/me").json() == {"user": "ada"}
        with inner.installed():
            assert client.get("/me").status_code == 401
        assert client.get("/me").json() == {"user": "ada"}
    assert installed is proxy
    assert (proxy.count(), inner.count()) == (2, 1)


async def test_it_stays_installed_when_the_default_client_is_closed(proxy: FakeProxy) -> None:
    with proxy.installed():
        await aclose_client()
        assert TestClient(make_app()).get("/me", headers=BEARER).status_code == 200


async def test_other_requests_of_the_same_library_get_an_answer(proxy: FakeProxy) -> None:
    async with httpx.AsyncClient(transport=proxy, base_url="https://x.example.com") as client:
        headers: Any = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/_oxa_auth/get-me", headers=headers)).json()["id"] == 1


@pytest.mark.anyio
async def test_a_user_with_values_that_json_does_not_have_is_sent_as_a_response_would_be() -> None:
    @attrs.frozen(kw_only=True)
    class Member(User):
        tags: frozenset[str] = frozenset()

    proxy = FakeProxy()
    proxy.add_user("adas-token", Member(user_name="ada", tags=frozenset({"a"})))
    async with proxy.client() as client:
        assert (await client.get_me("adas-token")).extra == {"tags": ["a"]}


@pytest.mark.anyio
async def test_a_client_of_a_fake_proxy_may_have_observers() -> None:
    missed: list[bool] = []

    class Counter(Observer):
        def on_miss(self, _: Question, /) -> None:
            missed.append(True)

    proxy = FakeProxy()
    proxy.add_user("adas-token")
    async with proxy.client(observers=[Counter()]) as client:
        await client.get_me("adas-token")
    assert missed == [True]


# The shared store of the environment.


def test_what_it_accepts_while_it_is_installed_is_not_in_the_store_of_the_environment(
    proxy: FakeProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path}/auth.db"
    monkeypatch.setenv("OXAIGEN_AUTH_SHARED_STORE", store)
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", "https://proxy.example.com")
    with proxy.installed(), TestClient(make_app(), headers=BEARER) as client:
        assert client.get("/me").json() == {"user": "ada"}
    assert not list(tmp_path.iterdir())
    assert default_client().settings.shared_store == store


async def test_its_clients_share_a_store_that_they_are_given(
    proxy: FakeProxy, tmp_path: Path
) -> None:
    for _ in range(3):
        async with proxy.client(shared_store=f"sqlite:///{tmp_path}/auth.db") as client:
            assert (await client.get_me(TOKEN)).user_name == "ada"
    assert proxy.count() == 1
