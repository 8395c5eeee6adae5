"""Workers that a server starts itself, by fork or spawn, and that accept from one socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import SHARED_PORT
from tests.support.fleet_parts import running
from tests.support.traffic import Request, send, statuses

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("server", SHARED_PORT)
def test_the_workers_of_one_server_share_answers_and_sign_outs(server: str, tmp_path: Path) -> None:
    with running("sqlite", tmp_path, [server], {}) as parts:
        (front,) = parts.workers
        (token,) = parts.tokens(1)
        assert statuses(send([Request(front, token)] * 200)) == {200: 200}
        assert parts.mock.calls(token) <= 2  # a lease may end on a machine that is busy
        parts.mock.revoke(token)
        front.sign_out(token)
        assert statuses(send([Request(front, token)] * 64)) == {401: 64}
