"""What belongs to an event loop, and how its end is waited for; in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import anyio
import pytest
from attrs import define

from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._validation.loop_state import LoopState
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from oxaigen_auth._upstream.proxy import Proxy

pytestmark = pytest.mark.anyio


@define(eq=False)
class SlowToClose:
    """A proxy whose connections take that many seconds to close."""

    seconds: float
    closed: bool = False

    async def aclose(self) -> None:
        await anyio.sleep(self.seconds)
        self.closed = True


async def new_state(proxy: SlowToClose) -> LoopState:
    state = LoopState(cast("Proxy", proxy), SingleFlight())
    await state.start()
    return state


async def test_connections_are_closed_although_whoever_closes_them_is_cancelled() -> None:
    proxy = SlowToClose(0.9)
    state = await new_state(proxy)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await state.aclose()
    assert proxy.closed


async def test_connections_that_do_not_close_within_a_second_are_left_alone() -> None:
    proxy = SlowToClose(60)
    state = await new_state(proxy)
    start = anyio.current_time()
    await state.aclose()
    assert anyio.current_time() - start == pytest.approx(1)
    assert not proxy.closed


async def test_closing_twice_is_closing_once() -> None:
    state = await new_state(SlowToClose(0))
    await state.aclose()
    await state.aclose()
