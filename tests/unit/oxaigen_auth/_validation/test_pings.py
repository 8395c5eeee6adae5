"""Readiness probes, in virtual time."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from attrs import define

from oxaigen_auth import OxaigenAuthConfigurationError, OxaigenAuthSettings, ProxyAuthClient
from oxaigen_auth._upstream.http_library import httpx
from tests.support.clock import clock as clock  # noqa: PLC0414
from tests.support.fake_proxy import (
    ADA,
    BASE,
    BROKEN,
    DOWN,
    LATE,
    MOCKED,
    REVOKED,
    Call,
    FakeProxy,
)
from tests.support.fake_proxy import client as client  # noqa: PLC0414
from tests.support.fake_proxy import proxy as proxy  # noqa: PLC0414
from tests.support.raw_server import answer, serving
from tests.support.tokens import MARK, TOKEN
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from oxaigen_auth._validation.verdict import Unavailable
    from tests.support.clock import Clock

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("reply", [ADA, REVOKED, BROKEN, answer(404), answer(302)])
async def test_any_answer_of_the_proxy_is_one(
    client: ProxyAuthClient, proxy: FakeProxy, reply: bytes
) -> None:
    proxy.user = reply
    assert await client.ping()
    assert proxy.calls == [Call("get-me", BASE, "")]


@pytest.mark.parametrize("reply", [DOWN, LATE, MOCKED])
async def test_a_gateway_s_error_a_timeout_and_a_refused_mock_are_no_answers_and_are_logged(
    client: ProxyAuthClient,
    proxy: FakeProxy,
    reply: bytes | Unavailable,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.user = reply
    assert not await client.ping()
    [record] = caplog.records
    assert record.getMessage().startswith(f"Auth proxy did not answer a ping: {BASE}: ")
    assert record.levelno == (logging.ERROR if reply is MOCKED else logging.WARNING)


@pytest.mark.parametrize("reply", [REVOKED, DOWN])
async def test_the_answer_is_cached_for_a_second_from_its_arrival(
    client: ProxyAuthClient, proxy: FakeProxy, clock: Clock, reply: bytes
) -> None:
    proxy.user = reply
    for now in (0.0, 0.9):
        clock.now = 100 + now
        assert await client.ping() is (reply is REVOKED)
    assert len(proxy.calls) == 1
    clock.now = 101
    await client.ping()
    assert len(proxy.calls) == 2


async def test_concurrent_pings_of_one_proxy_share_a_request_also_if_the_first_is_cancelled(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    answers: list[bool] = []

    async def ping(base_url: str) -> None:
        answers.append(await client.ping(proxy_base_url=base_url))

    async with anyio.create_task_group() as group, anyio.create_task_group() as first:
        first.start_soon(ping, BASE)
        await anyio.sleep(0.1)
        for _ in range(5):
            group.start_soon(ping, BASE)
        group.start_soon(ping, "https://elsewhere.example.com")
        await anyio.sleep(0.1)
        first.cancel_scope.cancel()
    assert answers == [True] * 6
    assert len(proxy.calls) == 2


async def test_a_ping_neither_waits_for_lookups_nor_counts_for_the_circuit_breaker(
    proxy: FakeProxy,
) -> None:
    settings = OxaigenAuthSettings(max_connections=1, breaker=True)
    proxy.user = DOWN
    async with proxy.client(BASE, settings=settings) as client, anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(_ask_in_vain, client, f"{MARK}-{number}")
        await anyio.sleep(0.5)
        began = anyio.current_time()
        assert not await client.ping()
        assert anyio.current_time() - began == pytest.approx(1)
    assert client.stats().unavailable == 4
    assert client.stats().short_circuited == 0
    assert client.stats().misses == 4
    assert client.stats().upstream_calls == 5


async def _ask_in_vain(client: ProxyAuthClient, token: str) -> None:
    with pytest.raises(Exception, match="unavailable"):
        await client.get_me(token)


@define
class Busiest(httpx.AsyncBaseTransport):
    """Counts how many requests are under way, and answers each after 0.4 s."""

    now: int = 0
    most: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.sleep(0.4)
        finally:
            self.now -= 1
        return httpx.Response(401)


async def test_few_pings_run_at_once_and_those_without_a_turn_in_time_return_false(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport, answers = Busiest(), list[bool]()
    settings = OxaigenAuthSettings(proxy_timeout_seconds=1)

    async def ping(client: ProxyAuthClient, number: int) -> None:
        answers.append(await client.ping(proxy_base_url=f"https://{number}.example.com"))

    async with ProxyAuthClient(transport=transport, settings=settings) as client:
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(ping, client, number)
        assert anyio.current_time() - began == pytest.approx(1)  # waiting included
        assert sorted(answers) == [False] * 14 + [True] * 6
        assert transport.most == 3
        reasons = {getattr(record, "auth_reason", "") for record in caplog.records}
        assert "overloaded" in reasons <= {"overloaded", "timeout"}
        assert len(caplog.records) == 14
        assert await client.ping(proxy_base_url="https://19.example.com")


async def test_pings_of_hosts_that_hang_delay_none_of_a_proxy_that_has_accepted_a_token(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    proxy.delay = 0.1
    await client.get_me(TOKEN)
    proxy.delay = 100

    async def ping(number: int) -> None:
        await client.ping(proxy_base_url=f"https://{number}.example.com")

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(ping, number)
        await anyio.sleep(0.1)
        proxy.delay = 0.1
        began = anyio.current_time()
        assert await client.ping()
        assert anyio.current_time() - began == pytest.approx(0.1)
        group.cancel_scope.cancel()


async def test_a_ping_passes_an_open_circuit(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    proxy.user = DOWN
    for number in range(6):
        await _ask_in_vain(client, f"{MARK}-{number}")
    assert client.stats().short_circuited == 1
    proxy.user = REVOKED
    assert await client.ping()


async def test_closing_a_client_ends_its_pings_with_an_error(
    client: ProxyAuthClient, proxy: FakeProxy
) -> None:
    refused: list[str] = []

    async def ping() -> None:
        try:
            await client.ping()
        except RuntimeError as error:
            refused.append(str(error))

    async with anyio.create_task_group() as group:
        group.start_soon(ping)
        await anyio.sleep(0.5)
        await client.aclose()
    await ping()
    assert refused == ["This client is closed; make a new one."] * 2
    assert len(proxy.calls) == 1


async def test_a_failing_reply_is_no_answer(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    proxy.user = OSError("a bug")
    assert not await client.ping()


async def test_without_a_url_a_ping_is_a_configuration_error() -> None:
    with pytest.raises(OxaigenAuthConfigurationError, match="URL of the auth proxy is unknown"):
        await ProxyAuthClient().ping()


async def test_two_event_loops_share_the_answer(proxy: FakeProxy, clock: Clock) -> None:
    proxy.delay = 0
    client = proxy.client(BASE, clock=clock)
    assert await client.ping()
    other_loop = partial(anyio.run, client.ping)
    assert await anyio.to_thread.run_sync(other_loop)
    await client.aclose()
    assert len(proxy.calls) == 1


@pytest.mark.parametrize(
    "anyio_backend", ["asyncio", "trio"], indirect=False
)  # real time, for sockets
async def test_the_request_has_no_token_and_a_refused_connection_is_no_answer(
    proxy: FakeProxy,
) -> None:
    proxy.delay = 0
    async with serving(proxy) as server, ProxyAuthClient(server.url) as client:
        assert await client.ping()
        await client.get_me(TOKEN)
    first, second = server.requests
    assert b"Authorization" not in first
    assert TOKEN.encode() in second
    async with ProxyAuthClient(server.url) as client:
        assert not await client.ping()
