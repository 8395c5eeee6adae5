"""Answers never cross over: thousands of calls, of distinct tokens, over connections that break."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import anyio
import pytest

from oxaigen_auth import OxaigenAuthSettings, OxaigenAuthUpstreamError, ProxyAuthClient
from tests.simulation.faulty_server import (
    answer,
    closes_after,
    faulty_server,
    good,
    number_in,
    profile,
    resets_after,
)
from tests.support.tokens import MARK

if TYPE_CHECKING:
    import socket

pytestmark = pytest.mark.anyio

SEED = 20261124
SHORT, LONG = 500, 10_000  # calls on each backend
AT_ONCE = 40
DEADLINE = 1.0  # seconds
SETTINGS = OxaigenAuthSettings(
    proxy_timeout_seconds=DEADLINE, breaker=False, max_connections=8, cache_max_entries=LONG
)


def misbehaves(peer: socket.socket, request: bytes) -> None:
    """Answer well, late, partly, twice, or not at all, depending on the number in the token."""
    number = number_in(request)
    dice = Random(SEED + number)
    whole = answer(profile(number) if request.startswith(b"GET") else b"true")
    match dice.choices(range(6), weights=[60, 15, 5, 5, 5, 10])[0]:
        case 0:
            good(peer, request)
        case 1:
            time.sleep(dice.uniform(0, 0.03))
            good(peer, request)
        case 2:
            resets_after(whole[: dice.randrange(len(whole))])(peer, request)
        case 3:
            closes_after(whole[: dice.randrange(len(whole))])(peer, request)
        case 4:
            time.sleep(DEADLINE * dice.uniform(0.9, 1.2))  # about when the caller gives up
            good(peer, request)
        case _:
            peer.sendall(whole + whole)  # a second time, without a request


async def test_everyone_gets_their_own_user_or_an_error(long: bool) -> None:  # noqa: FBT001
    calls = LONG if long else SHORT
    dice = Random(SEED)
    outcomes: Counter[str] = Counter()
    turns = anyio.CapacityLimiter(AT_ONCE)

    async def call(number: int, seconds: float) -> None:
        async with turns:
            with anyio.move_on_after(seconds):
                try:
                    user = await client.get_me(f"{MARK}-{number}")
                    assert user.user_name == f"user{number}"
                    assert await client.test_permission(f"{MARK}-{number}", "audit")
                except OxaigenAuthUpstreamError:
                    outcomes["failed"] += 1
                else:
                    outcomes["right"] += 1
                return
            outcomes["cancelled"] += 1

    with faulty_server() as server:
        server.behave = misbehaves
        async with (
            ProxyAuthClient(f"http://127.0.0.1:{server.port}", settings=SETTINGS) as client,
            anyio.create_task_group() as group,
        ):
            for number in range(calls):
                group.start_soon(call, number, dice.choice([9, 9, 9, dice.uniform(0, 0.1)]))
    assert outcomes.total() == calls
    assert all(outcomes[kind] > calls / 20 for kind in ("right", "failed", "cancelled")), outcomes
