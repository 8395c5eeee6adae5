from collections.abc import Callable
from typing import Any

import pytest
from anyio import create_task_group, current_time, sleep
from httpx import AsyncClient

from oxaigen_auth_mock.journal.counts import MAX_TOKENS, CallCounts, fingerprint
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio

Mock = Callable[..., AsyncClient]

DEV = {"Authorization": "Bearer mock-dev-token"}
GUEST = {"Authorization": "Bearer mock-guest-token"}


async def counts(client: AsyncClient) -> Any:
    return (await client.get("/_mock/api/calls")).json()


async def test_a_new_mock_has_counted_nothing(mock: Mock) -> None:
    assert await counts(mock()) == {
        "total": 0,
        "endpoints": {},
        "tokens": {},
        "max_concurrency": 0,
    }


async def test_calls_are_counted_by_endpoint_and_by_token_whatever_the_answer(
    mock: Mock,
) -> None:
    client = mock()
    await client.get("/_oxa_auth/get-me", headers=DEV)
    await client.post("/_oxa_auth/test-app-permission/audit", headers=DEV)
    await client.post("/_oxa_auth/test-app-permission/not.a.name", headers=DEV)
    await client.post("/_oxa_auth/test-app-token")
    await client.get("/_oxa_auth/get-me", headers={"Authorization": "Bearer unknown"})
    assert await counts(client) == {
        "total": 5,
        "endpoints": {"get-me": 2, "test-app-permission": 2, "test-app-token": 1},
        "tokens": {
            "8b6eec6e51ae": {
                "persona": "devuser",
                "total": 3,
                "endpoints": {"get-me": 1, "test-app-permission": 2},
                "max_concurrency": 1,
            },
            "none": {
                "persona": None,
                "total": 1,
                "endpoints": {"test-app-token": 1},
                "max_concurrency": 1,
            },
            fingerprint("unknown"): {
                "persona": None,
                "total": 1,
                "endpoints": {"get-me": 1},
                "max_concurrency": 1,
            },
        },
        "max_concurrency": 1,
    }


async def test_the_mocks_own_endpoints_are_not_counted(mock: Mock) -> None:
    client = mock()
    await client.get("/health")
    await client.get("/_mock/api/calls")
    assert (await counts(client))["total"] == 0


async def test_deleting_the_counts_starts_them_anew(mock: Mock) -> None:
    client = mock()
    await client.get("/_oxa_auth/get-me", headers=DEV)
    response = await client.delete("/_mock/api/calls")
    assert (response.status_code, response.content) == (204, b"")
    assert (await counts(client))["tokens"] == {}
    await client.get("/_oxa_auth/get-me", headers=DEV)
    assert (await counts(client))["total"] == 1


async def test_two_mocks_count_apart(mock: Mock) -> None:
    one, other = mock(), mock()
    await one.get("/_oxa_auth/get-me", headers=DEV)
    assert (await counts(other))["total"] == 0


async def test_no_token_appears_in_the_counts(mock: Mock) -> None:
    client = mock()
    await client.get("/_oxa_auth/get-me", headers=DEV)
    assert "mock-dev-token" not in (await client.get("/_mock/api/calls")).text


async def test_only_checks_wait_for_the_latency(mock: Mock) -> None:
    client = mock(latency=3.0)
    start = current_time()
    await client.get("/health")
    await client.get("/_mock/api/calls")
    assert current_time() - start == pytest.approx(0, abs=0.1)
    await client.get("/_oxa_auth/get-me", headers=DEV)
    await client.post("/_oxa_auth/test-app-token")
    await client.post("/_oxa_auth/test-app-permission/audit", headers=DEV)
    assert current_time() - start == pytest.approx(9, abs=0.1)


async def test_concurrent_calls_are_counted(mock: Mock) -> None:
    client = mock(latency=1.0)
    async with create_task_group() as tasks:
        for headers in (DEV, DEV, GUEST):
            tasks.start_soon(lambda h: client.get("/_oxa_auth/get-me", headers=h), headers)
    await client.get("/_oxa_auth/get-me", headers=DEV)
    report = await counts(client)
    assert report["max_concurrency"] == 3
    assert report["tokens"][fingerprint("mock-dev-token")]["max_concurrency"] == 2
    assert report["tokens"][fingerprint("mock-guest-token")]["max_concurrency"] == 1


async def test_a_cancelled_call_is_no_longer_counted_as_running(mock: Mock) -> None:
    client = mock(latency=1.0)
    async with create_task_group() as tasks:
        tasks.start_soon(lambda: client.get("/_oxa_auth/get-me", headers=DEV))
        await sleep(0.5)
        tasks.cancel_scope.cancel()
    await client.get("/_oxa_auth/get-me", headers=DEV)
    report = await counts(client)
    assert (report["total"], report["max_concurrency"]) == (2, 1)


async def test_a_call_that_runs_through_a_reset_is_not_in_the_new_counts(mock: Mock) -> None:
    client = mock(latency=1.0)
    async with create_task_group() as tasks:
        tasks.start_soon(lambda: client.get("/_oxa_auth/get-me", headers=DEV))
        await sleep(0.5)
        await client.delete("/_mock/api/calls")
    assert (await counts(client))["total"] == 0
    await client.get("/_oxa_auth/get-me", headers=DEV)
    assert (await counts(client))["max_concurrency"] == 1


def test_a_flood_of_tokens_evicts_the_least_recently_seen_ones() -> None:
    calls = CallCounts()
    for token in ("early", "busy", *map(str, range(MAX_TOKENS - 1)), "busy", "late"):
        calls.begin("get-me", token=fingerprint(token), persona=None)
    tokens: Any = calls.report()["tokens"]
    assert len(tokens) == MAX_TOKENS
    assert tokens[fingerprint("busy")]["total"] == 2
    assert fingerprint("late") in tokens
    assert fingerprint("early") not in tokens
    assert calls.report()["total"] == MAX_TOKENS + 3
