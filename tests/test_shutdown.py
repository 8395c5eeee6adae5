"""A server that is told to stop in the middle of a lookup: it ends in time, quietly and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from attrs import define, field

from oxaigen_auth_mock.serving import base_url, listen
from tests.raw_server import PROFILE, answer, serving
from tests.tokens import TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import Process

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]
BEARER = {"authorization": f"Bearer {TOKEN}"}
GRACE = 1  # seconds that hypercorn gives requests under way

every_worker = pytest.mark.parametrize("worker", ["asyncio", "trio"])


@pytest.fixture
def anyio_backend() -> str:
    """Of the test alone; the server under test has its own."""
    return "asyncio"


@define(eq=False)
class StallingProxy:
    """Answers nobody before it is told to."""

    asked: anyio.Event = field(factory=anyio.Event)
    answers: anyio.Event = field(factory=anyio.Event)

    async def __call__(self, _: bytes) -> bytes:
        self.asked.set()
        await self.answers.wait()
        return answer(200, PROFILE)


@asynccontextmanager
async def app_process(
    worker: str, proxy_url: str, deadline: float
) -> AsyncGenerator[tuple[Process, str]]:
    """Serve the example app by hypercorn's command, with every warning an error."""
    listener = listen()
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "hypercorn"]
    options = ["--bind", f"fd://{listener.fileno()}", "--worker-class", worker]
    options += ["--graceful-timeout", str(GRACE), "--error-logfile", "-"]
    async with await anyio.open_process(
        [*command, *options, "docs.examples.app:app"],
        cwd=ROOT,
        env={
            **os.environ,
            "OXAIGEN_AUTH_PROXY_URL_OVERRIDE": proxy_url,
            "OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS": str(deadline),
        },
        stdout=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
    ) as process:
        yield process, base_url(listener)
    listener.close()


async def everything_said(process: Process) -> str:
    assert process.stderr is not None
    return b"".join([chunk async for chunk in process.stderr]).decode()


@define(frozen=True)
class Stop:
    """What the caller got, and what the server said until it was gone."""

    got: int | str
    said: str


async def stop_during_a_lookup(worker: str, *, deadline: float, answers: bool = False) -> Stop:
    proxy = StallingProxy()
    got: list[int | str] = []

    async def ask(url: str) -> None:
        async with httpx.AsyncClient(timeout=20) as caller:
            try:
                got.append((await caller.get(f"{url}/v1/me", headers=BEARER)).status_code)
            except httpx.RemoteProtocolError:
                got.append("cut off")

    with anyio.fail_after(30):
        async with (
            serving(proxy) as upstream,
            app_process(worker, upstream.url, deadline) as (app, url),
            anyio.create_task_group() as group,
        ):
            group.start_soon(ask, url)
            await proxy.asked.wait()
            app.send_signal(signal.SIGTERM)
            if answers:
                await anyio.sleep(0.2)
                proxy.answers.set()
            with anyio.fail_after(GRACE + 10):
                said = await everything_said(app)
                assert await app.wait() == 0
    assert len(got) == 1
    return Stop(got[0], said)


def is_quiet(said: str) -> bool:
    return not any(bad in said for bad in ("ERROR", "Error", "Exception", "Traceback", "Warning"))


@every_worker
async def test_a_lookup_that_is_answered_in_time_serves_its_caller(worker: str) -> None:
    stop = await stop_during_a_lookup(worker, deadline=30, answers=True)
    assert stop.got == 200
    assert is_quiet(stop.said), stop.said


@every_worker
async def test_a_lookup_that_is_over_in_time_is_unavailable(worker: str) -> None:
    stop = await stop_during_a_lookup(worker, deadline=0.5)
    assert stop.got == 502
    assert is_quiet(stop.said.replace("Auth proxy unavailable", "")), stop.said


async def test_a_lookup_longer_than_the_servers_grace_leaves_nothing_behind_on_trio() -> None:
    stop = await stop_during_a_lookup("trio", deadline=30)
    assert stop.got == "cut off"
    assert is_quiet(stop.said), stop.said


async def test_a_lookup_longer_than_the_servers_grace_leaves_nothing_behind_on_asyncio() -> None:
    """There hypercorn answers 500, and asyncio tells of the cancelled connection: of any route.

    From Python 3.12 on it waits for the end of every connection, so that the lookup's own counts.
    """
    stop = await stop_during_a_lookup("asyncio", deadline=3 * GRACE)
    assert stop.got == {False: 500, True: 502}[sys.version_info >= (3, 12)]
    assert stop.said.count("Traceback") == stop.said.count("Exception in callback StreamReader")
    assert not any(ours in stop.said for ours in ("oxaigen", "httpx", "httpcore", "Warning"))
