"""A transport pool holds as many as are needed at once, in virtual time."""

from __future__ import annotations

import anyio
import pytest
from attrs import define

from oxaigen_auth._upstream.transport_pool import TransportPool
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio


@define(eq=False)
class Transport:
    closed: bool = False

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


async def test_a_transport_serves_one_call_at_a_time_and_is_used_again() -> None:
    pool = TransportPool(Transport, 5)
    with pool.checkout() as first, pool.checkout() as second:
        assert first is not second
    with pool.checkout() as again:
        assert again is first  # the one that was left last
    assert len(pool) == 2


async def test_a_transport_is_idle_again_after_an_exception() -> None:
    pool = TransportPool(Transport, 5)
    with pytest.raises(LookupError), pool.checkout() as first:
        raise LookupError
    with pool.checkout() as again:
        assert again is first


async def test_transports_left_over_from_a_burst_are_closed_one_by_one() -> None:
    pool = TransportPool(Transport, 5)
    with pool.checkout() as first, pool.checkout() as second:
        pass
    await pool.evict_idle()
    assert not first.closed
    await anyio.sleep(5)
    await pool.evict_idle()
    assert (first.closed, second.closed, len(pool)) == (False, True, 1)
    await anyio.sleep(1)
    await pool.evict_idle()
    await pool.evict_idle()
    assert (first.closed, len(pool)) == (True, 0)


async def test_a_transport_that_was_just_used_keeps_no_idle_one_open() -> None:
    pool = TransportPool(Transport, 5)
    with pool.checkout() as busy:
        with pool.checkout() as idle:
            pass
        await anyio.sleep(3)
    await anyio.sleep(2)
    await pool.evict_idle()
    assert (busy.closed, idle.closed) == (False, True)


async def test_all_transports_are_closed_including_those_in_use() -> None:
    pool = TransportPool(Transport, 5)
    with pool.checkout() as used:
        with pool.checkout() as idle:
            pass
        await pool.aclose()
        assert (used.closed, idle.closed, len(pool)) == (True, True, 0)
