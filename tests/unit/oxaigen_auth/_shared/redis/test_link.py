from __future__ import annotations

import asyncio
from contextlib import suppress

import anyio
import pytest
from attrs import define, field
from coredis.connection import BaseConnection

from oxaigen_auth._shared.redis.link import RedisLink
from oxaigen_auth._shared.store import SharedStoreError

pytestmark = pytest.mark.anyio


@define(eq=False)
class Subscriber:
    """Is told the end only, as there is no connection."""

    ended: list[RedisLink] = field(factory=list)

    def on_message(self, data: bytes) -> None: ...
    def on_live(self, link: RedisLink, *, live: bool) -> None: ...
    async def send_pending(self, connection: BaseConnection) -> None: ...

    def on_end(self, link: RedisLink) -> None:
        self.ended.append(link)


async def refuse() -> BaseConnection:
    raise OSError("the network is down")


async def test_whoever_waits_for_a_connection_is_told_why_there_is_none() -> None:
    subscriber = Subscriber()
    link = RedisLink(b"channel", refuse, subscriber)
    link.open()
    with pytest.raises(SharedStoreError, match="the network is down"):
        await link.connection()
    link.reconnect()  # it does so anyway
    await link.aclose()
    assert subscriber.ended == [link]
    with pytest.raises(SharedStoreError, match="is closed"):
        await link.connection()


def test_a_native_cancellation_ends_it_even_if_an_error_replaces_the_cancellation() -> None:
    subscriber = Subscriber()

    async def connect() -> BaseConnection:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await anyio.sleep(1)
        raise OSError("the network is down")

    async def serve() -> None:
        link = RedisLink(b"channel", connect, subscriber)
        link.open()
        with anyio.fail_after(5):
            while not subscriber.ended:  # noqa: ASYNC110 (it has no event)
                await anyio.sleep(0.001)

    anyio.run(serve, backend="asyncio")
