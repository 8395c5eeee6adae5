"""Outcomes of responses, and counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define, field

from oxaigen_auth_load.counts import Counts
from oxaigen_auth_load.http1 import ConnectionPool
from oxaigen_auth_load.http1_connection import (
    ConnectionFailedError,
    InvalidTokenError,
    ProtocolError,
    RequestTimeoutError,
    Response,
)
from oxaigen_auth_load.targets import (
    AppTarget,
    HttpTarget,
    Target,
    TargetAddress,
)
from tests.support.raw_server import answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


@define(eq=False)
class Pool(ConnectionPool):
    """Answers each request in the same way, without a connection."""

    url: str = "http://proxy"
    timeout: float = 1.0
    max_connections: int = 5
    answer: Response | Exception = field(factory=lambda: Response(200, (), b"{}", 1))

    async def get(self, token: str, on_sent: Callable[[], None] = lambda: None) -> Response:
        assert token == "one"
        on_sent()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def outcome(target: Target) -> str:
    return await target.look_up("one", lambda: None)


@pytest.mark.parametrize(
    ("status", "body", "naive", "app"),
    [
        (200, b'{"id": 1}', "accepted", "accepted"),
        (200, b"<html>", "no_profile", "accepted"),
        (200, b"[]", "no_profile", "accepted"),
        (200, b"\xff", "no_profile", "accepted"),
        (401, b"", "rejected", "rejected"),
        (403, b"", "rejected", "rejected"),
        (429, b"", "status_429", "status_429"),
        (503, b"", "status_503", "status_503"),
    ],
)
async def test_a_response_is_a_verdict_or_an_error_of_its_kind(
    status: int, body: bytes, naive: str, app: str
) -> None:
    pool = Pool(answer=Response(status, (), body, 1))
    assert await outcome(HttpTarget("naive", pool)) == naive
    assert await outcome(AppTarget("app", pool)) == app


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestTimeoutError(), "timeout"),
        (ConnectionFailedError(), "connection"),
        (ProtocolError(), "protocol"),
        (InvalidTokenError(), "invalid_token"),
    ],
)
async def test_a_failed_call_is_an_error_of_its_kind(error: Exception, kind: str) -> None:
    assert await outcome(HttpTarget("naive", Pool(answer=error))) == kind


async def test_each_lookup_of_the_naive_target_is_an_upstream_call() -> None:
    target = HttpTarget("naive", Pool())
    assert [await outcome(target) for _ in range(3)] == ["accepted"] * 3
    assert (target.upstream_calls(), await target.counts()) == (3, Counts(0, 0, 3))
    assert (target.max_connections, target.waited()) == (5, 0)
    assert AppTarget("app", Pool()).upstream_calls() is None


@pytest.mark.parametrize(
    ("body", "count"), [(b"<html>", None), (b"{}", None), (b"[]", None), (b'{"total": 7}', 7)]
)
async def test_a_mock_without_counts_loses_no_results(body: bytes, count: int | None) -> None:
    async def respond(_: bytes) -> bytes:
        return answer(200, body)

    async with serving(respond) as mock:
        target = AppTarget("app", Pool(), mock_url=mock.url)
        assert (await target.counts()).upstream_calls == count


async def test_counters_are_added_and_subtracted_where_they_are_known() -> None:
    known, unknown = Counts(3, None, 5), Counts()
    assert known + Counts(1, 1, 1) == Counts(4, 1, 6)
    assert known - Counts(1, None, 2) == Counts(2, None, 3)
    assert known - unknown == unknown + known == known
    assert unknown + unknown == unknown


@pytest.mark.parametrize("name", ["naive", "app"])
async def test_a_target_that_cannot_be_reached_is_not_opened(name: str) -> None:
    address = TargetAddress(name=name, url="http://127.0.0.1:9", timeout=1.0, connections=2)
    with pytest.raises(ConnectionFailedError):
        await address.open().__aenter__()


async def never_asked(_: bytes) -> None: ...


async def test_the_connections_of_a_target_are_opened_in_advance() -> None:
    async with serving(never_asked) as app:
        address = TargetAddress(
            name="app", url=app.url, timeout=1.0, connections=9, max_connections=4
        )
        async with address.open() as target:
            assert isinstance(target, AppTarget)
            assert target.pool.open_connections == target.max_connections == 4
