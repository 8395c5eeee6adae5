"""Outcomes of responses, from a fake transport."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from oxaigen_auth_load.targets import CONNECTIONS, LIBRARY, AppTarget, Counts, HttpTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
else:
    httpx = import_module(LIBRARY.split()[0])

pytestmark = pytest.mark.anyio


def asking(respond: Callable[[httpx.Request], Any]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(respond))


@pytest.mark.parametrize(
    ("status", "body", "naive", "app"),
    [
        (200, b'{"id": 1}', "accepted", "accepted"),
        (200, b"<html>", "no_profile", "accepted"),
        (200, b"[]", "no_profile", "accepted"),
        (401, b"", "rejected", "rejected"),
        (403, b"", "rejected", "rejected"),
        (429, b"", "status_429", "status_429"),
        (503, b"", "status_503", "status_503"),
    ],
)
async def test_a_response_is_a_verdict_or_an_error_of_its_kind(
    status: int, body: bytes, naive: str, app: str
) -> None:
    async with asking(lambda _: httpx.Response(status, content=body)) as http:
        assert await HttpTarget("naive", "http://proxy", http).look_up("one") == naive
        assert await AppTarget("app", "http://app", http).look_up("one") == app


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ReadTimeout("late"), "timeout"),
        (httpx.ConnectError("refused"), "connection"),
        (httpx.DecodingError("not gzip"), "decoding"),
    ],
)
async def test_a_failed_call_is_an_error_of_its_kind(error: Exception, kind: str) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        raise error

    async with asking(respond) as http:
        assert await HttpTarget("naive", "http://proxy", http).look_up("one") == kind


async def test_a_mock_without_counts_loses_no_results() -> None:
    bodies = [b"<html>", b"{}", b'{"total": 7}']
    async with asking(lambda _: httpx.Response(200, content=bodies.pop(0))) as http:
        app = AppTarget("app", "http://app", http, mock_url="http://mock")
        assert [(await app.counts()).upstream_calls for _ in range(3)] == [None, None, 7]


async def test_pitfall_58_lookups_that_wait_for_a_connection_of_the_loads_own_are_counted() -> None:
    answering = anyio.Event()

    async def respond(_: httpx.Request) -> httpx.Response:
        await answering.wait()
        return httpx.Response(200, content=b"{}")

    async with asking(respond) as http, anyio.create_task_group() as group:
        target = HttpTarget("naive", "http://proxy", http)
        for _ in range(CONNECTIONS + 5):
            group.start_soon(target.look_up, "one")
        await wait_all_tasks_blocked()
        answering.set()
    assert await target.counts() == Counts(0, 0, CONNECTIONS + 5, queued=5)
