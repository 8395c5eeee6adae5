"""A server that is told to stop in the middle of a lookup: it ends in time, quietly and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from attrs import define, field

from oxaigen_auth_mock.server.sockets import base_url, listen
from tests.support.paths import ROOT
from tests.support.processes import TIMEOUT, kill_group
from tests.support.raw_server import PROFILE, answer, serving
from tests.support.tokens import OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import ByteStream, Process

pytestmark = pytest.mark.anyio

BEARER = {"authorization": f"Bearer {TOKEN}"}
OTHER_BEARER = f"authorization: Bearer {OTHER}"
LONG, SHORT = 60, 3  # seconds: more than a busy machine needs for all of a test, and for a call

every_worker = pytest.mark.parametrize("worker", ["asyncio", "trio"])


@pytest.fixture
def anyio_backend() -> str:
    """Of the test alone; the server under test has its own."""
    return "asyncio"


@define(eq=False)
class StallingProxy:
    """Answers no call for TOKEN before it is told to, and all others at once."""

    asked: anyio.Event = field(factory=anyio.Event)
    answers: anyio.Event = field(factory=anyio.Event)

    async def __call__(self, request: bytes) -> bytes:
        if TOKEN.encode() in request:
            self.asked.set()
            await self.answers.wait()
        return answer(200, PROFILE)


@asynccontextmanager
async def app_process(
    worker: str, proxy_url: str, deadline: int, grace: int
) -> AsyncGenerator[tuple[Process, str]]:
    """Serve the example app by hypercorn's command, with every warning an error."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "hypercorn"]
    options = ["--worker-class", worker, "--error-logfile", "-"]
    options += ["--graceful-timeout", str(grace), "--keep-alive", str(TIMEOUT)]
    with listen() as listener:
        async with await anyio.open_process(
            [*command, *options, "--bind", f"fd://{listener.fileno()}", "docs.examples.app:app"],
            cwd=ROOT,
            env={
                **os.environ,
                "OXAIGEN_AUTH_PROXY_URL_OVERRIDE": proxy_url,
                "OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS": str(deadline),
            },
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        ) as process:
            try:
                yield process, base_url(listener)
            finally:
                kill_group(process.pid)  # hypercorn's worker is a process of its own


async def everything_said(process: Process) -> str:
    assert process.stderr is not None
    return b"".join([chunk async for chunk in process.stderr]).decode()


@define(frozen=True)
class Stop:
    """What the caller got, and what the server said until it was gone."""

    got: int | str
    said: str


async def stop_during_a_lookup(
    worker: str, *, deadline: int, grace: int, answers: bool = False
) -> Stop:
    proxy = StallingProxy()
    got: list[int | str] = []

    async def ask(url: str) -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT) as caller:
            try:
                got.append((await caller.get(f"{url}/v1/me", headers=BEARER)).status_code)
            except httpx.RemoteProtocolError:
                got.append("cut off")

    with anyio.fail_after(TIMEOUT):
        async with (
            serving(proxy) as upstream,
            app_process(worker, upstream.url, deadline, grace) as (app, url),
            anyio.create_task_group() as group,
        ):
            idle = await used_connection(url)
            group.start_soon(ask, url)
            await proxy.asked.wait()
            assert not got
            app.send_signal(signal.SIGTERM)
            await until_closed(idle)  # the server has begun to stop
            if answers:
                proxy.answers.set()
            said = await everything_said(app)
            assert await app.wait() == 0
    assert len(got) == 1
    return Stop(got[0], said)


async def used_connection(url: str) -> ByteStream:
    """Make a request, so that the lookup under test sees no import; hand back the connection."""
    stream = await anyio.connect_tcp("127.0.0.1", int(url.rpartition(":")[2]))
    await stream.send(f"GET /v1/me HTTP/1.1\r\nhost: app\r\n{OTHER_BEARER}\r\n\r\n".encode())
    assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
    return stream


async def until_closed(stream: ByteStream) -> None:
    """Read the rest of the answer, if there is any, and the end of the stream."""
    async with stream:
        with suppress(anyio.EndOfStream):
            while True:
                await stream.receive()


def is_quiet(said: str) -> bool:
    return not any(bad in said for bad in ("ERROR", "Error", "Exception", "Traceback", "Warning"))


@every_worker
async def test_a_lookup_that_is_answered_in_time_serves_its_caller(worker: str) -> None:
    stop = await stop_during_a_lookup(worker, deadline=LONG, grace=LONG, answers=True)
    assert stop.got == 200
    assert is_quiet(stop.said), stop.said


@every_worker
async def test_a_lookup_whose_timeout_ends_before_the_grace_is_unavailable(worker: str) -> None:
    stop = await stop_during_a_lookup(worker, deadline=SHORT, grace=LONG)
    assert stop.got == 502
    assert is_quiet(stop.said.replace("Auth proxy unavailable", "")), stop.said


async def test_a_lookup_longer_than_the_servers_grace_leaves_nothing_behind_on_trio() -> None:
    stop = await stop_during_a_lookup("trio", deadline=LONG, grace=1)
    assert stop.got == "cut off"
    assert is_quiet(stop.said), stop.said


async def test_a_lookup_longer_than_the_servers_grace_leaves_nothing_behind_on_asyncio() -> None:
    """There hypercorn answers 500, and asyncio tells of the cancelled connection: of any route.

    From Python 3.12 on it waits for the end of every connection, so that the lookup's own counts.
    """
    waits_for_all = sys.version_info >= (3, 12)
    deadline = SHORT if waits_for_all else LONG
    stop = await stop_during_a_lookup("asyncio", deadline=deadline, grace=1)
    assert stop.got == {False: 500, True: 502}[waits_for_all]
    assert stop.said.count("Traceback") == stop.said.count("Exception in callback StreamReader")
    assert not any(ours in stop.said for ours in ("oxaigen", "httpx", "httpcore", "Warning"))
