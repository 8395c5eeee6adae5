"""Notices a server that does not answer any more."""

from __future__ import annotations

from time import monotonic

from anyio import sleep
from coredis.connection import BaseConnection

from oxaigen_auth._shared.redis.errors import ConnectionLostError

HEARTBEAT = 0.25  # seconds between two PINGs
SILENCE = 0.6  # seconds without an answer to a PING, after which the connection is given up
TICK = 0.1  # seconds between two looks for a late answer
MIN_LOOKS = 3  # before that, our own event loop may have been busy


async def watch(connection: BaseConnection) -> None:
    """Send PINGs, and raise `ConnectionLostError` when the server is silent.

    While our own event loop is busy, time passes but no answer can be read. So the time counts only
    if we have looked several times, between which the event loop has run.
    """
    while True:
        asked, looks = monotonic(), 0
        ping = connection.create_request(b"PING")
        await sleep(HEARTBEAT)
        while not ping.complete:
            looks += 1
            if looks > MIN_LOOKS and monotonic() - asked >= SILENCE:
                raise ConnectionLostError(f"the server did not answer for {SILENCE:g} s")
            await sleep(TICK)
        await ping  # raises if it was refused
