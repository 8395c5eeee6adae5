"""What belongs to an event loop, and how its end is waited for; in virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._validation.loop_state import LoopState
from tests.support.virtual_time import SlowToClose
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio


async def new_state(upstream: Any) -> LoopState:
    state = LoopState(upstream, SingleFlight(), SingleFlight())
    await state.start()
    return state


async def test_connections_are_closed_although_the_caller_is_cancelled() -> None:
    upstream = SlowToClose(0.9)
    state = await new_state(upstream)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await state.aclose()
    assert upstream.closed


async def test_closing_connections_is_given_up_after_a_second() -> None:
    upstream = SlowToClose(60)
    state = await new_state(upstream)
    start = anyio.current_time()
    await state.aclose()
    assert anyio.current_time() - start == pytest.approx(1)
    assert not upstream.closed


async def test_closing_twice_is_allowed() -> None:
    state = await new_state(SlowToClose(0))
    await state.aclose()
    await state.aclose()
