"""Lanes: as many as are needed at once, the last used first, none for ever; in virtual time."""

from __future__ import annotations

import anyio
import pytest
from attrs import define

from oxaigen_auth._upstream.transport_pool import Lanes
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio


@define(eq=False)
class Lane:
    closed: bool = False

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


async def test_a_lane_serves_one_user_at_a_time_and_is_used_again() -> None:
    lanes = Lanes(Lane, 5)
    with lanes.take() as first, lanes.take() as second:
        assert first is not second
    with lanes.take() as again:
        assert again is first  # the one that was left last
    assert len(lanes) == 2


async def test_a_lane_is_left_by_an_exception_too() -> None:
    lanes = Lanes(Lane, 5)
    with pytest.raises(LookupError), lanes.take() as first:
        raise LookupError
    with lanes.take() as again:
        assert again is first


async def test_lanes_that_a_burst_left_behind_are_closed_one_by_one() -> None:
    lanes = Lanes(Lane, 5)
    with lanes.take() as first, lanes.take() as second:
        pass
    await lanes.close_stale()
    assert not first.closed
    await anyio.sleep(5)
    await lanes.close_stale()
    assert (first.closed, second.closed, len(lanes)) == (False, True, 1)
    await anyio.sleep(1)
    await lanes.close_stale()
    await lanes.close_stale()
    assert (first.closed, len(lanes)) == (True, 0)


async def test_a_lane_that_was_just_used_keeps_none_open_that_was_not() -> None:
    lanes = Lanes(Lane, 5)
    with lanes.take() as busy:
        with lanes.take() as idle:
            pass
        await anyio.sleep(3)
    await anyio.sleep(2)
    await lanes.close_stale()
    assert (busy.closed, idle.closed) == (False, True)


async def test_all_lanes_are_closed_also_those_in_use() -> None:
    lanes = Lanes(Lane, 5)
    with lanes.take() as used:
        with lanes.take() as idle:
            pass
        await lanes.aclose()
        assert (used.closed, idle.closed, len(lanes)) == (True, True, 0)
