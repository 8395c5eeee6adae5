"""Backends whose clocks jump ahead when every task waits, so that no test sleeps for real."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import looptime
import pytest
from attrs import define
from trio.testing import MockClock


def new_event_loop(**options: Any) -> asyncio.AbstractEventLoop:
    """Return an asyncio loop in virtual time, which waits for its threads when it is closed.

    Since Python 3.12 it waits until a timeout, which virtual time would reach at once.
    """
    loop = looptime.new_event_loop(**options)
    shutdown = loop.shutdown_default_executor
    vars(loop)["shutdown_default_executor"] = lambda *_, **__: shutdown()
    return loop


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": new_event_loop}
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@define(eq=False)
class SlowToClose:
    seconds: float = 0.9
    closed: bool = False

    async def aclose(self) -> None:
        await anyio.sleep(self.seconds)
        self.closed = True
