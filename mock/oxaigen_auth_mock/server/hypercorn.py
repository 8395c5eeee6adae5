"""Runs an app under hypercorn on the event loop that is there, be it asyncio's or trio's."""

import math
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import hypercorn.asyncio
import hypercorn.trio
import trio
from anyio import CancelScope, Event, current_time
from anyio.lowlevel import checkpoint
from attrs import define, field
from hypercorn.config import Config, Sockets
from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth_mock.server.background_task import BackgroundTask
from oxaigen_auth_mock.server.sockets import BACKLOG, base_url

IDLE: Final = 60.0  # seconds until a request must come; a burst on a busy machine may take long
GRACE: Final = 0.5  # seconds that running calls get to finish when the server stops


@asynccontextmanager
async def serving(app: ASGIApp, *listeners: socket.socket) -> AsyncGenerator[str]:
    """Serve the app while the block runs; gives its base URL once calls are answered.

    Takes over the listeners, and closes them; the URL is the first one's. The block may end in
    another task than it began in. After it, calls that still run get `GRACE` seconds to finish;
    those that do not are answered with 500.

    >>> import anyio, httpx
    >>> from oxaigen_auth_mock.server.sockets import listen
    >>> from oxaigen_auth_mock import MockSettings, create_app
    >>> async def call_it():
    ...     async with serving(create_app(MockSettings()), listen()) as url:
    ...         async with httpx.AsyncClient(base_url=url) as client:
    ...             return (await client.get("/health")).status_code
    >>> anyio.run(call_it, backend="trio")
    200
    """
    url = base_url(listeners[0])
    stopping = Event()
    server = BackgroundTask(partial(_serve, app, listeners, stopping))
    server.start()
    try:
        await server.wait_started()
        if server.error is None:
            yield url
    finally:
        stopping.set()
        await server.wait_ended()  # noqa: ASYNC102 (it shields, and the server ends in bounded time)
        for listener in listeners:
            listener.close()
    if server.error is not None:
        raise server.error


async def _serve(
    app: ASGIApp,
    listeners: Sequence[socket.socket],
    stopping: Event,
    started: Callable[[], None],
) -> None:
    """Run hypercorn until it is told to stop, and for `3 * GRACE` seconds after that at most."""
    calls = EndingCalls(app)
    with CancelScope() as scope:

        async def until_stopping() -> None:
            await checkpoint()  # hypercorn on trio also asks when the lifespan has failed
            started()  # hypercorn asks for its trigger only when it has begun to accept
            await stopping.wait()
            calls.end_by(current_time() + GRACE)
            scope.deadline = current_time() + 3 * GRACE

        config = _with_common_settings(_ConfigOfSockets(listeners))
        await _hypercorn()(calls, config, shutdown_trigger=until_stopping)


@define(eq=False)
class EndingCalls:
    """The app, but its calls can be ended: each sits in a scope with the common deadline.

    hypercorn would cancel whole connections instead, which asyncio reports as errors.
    """

    _app: ASGIApp
    _deadline: float = math.inf
    _running: set[CancelScope] = field(factory=set[CancelScope])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        with CancelScope(deadline=self._deadline) as call:
            self._running.add(call)
            try:
                await self._app(scope, receive, send)
            finally:
                self._running.discard(call)

    def end_by(self, deadline: float) -> None:
        self._deadline = deadline
        for call in self._running:
            call.deadline = deadline


def _hypercorn() -> Callable[..., Awaitable[None]]:
    """Choose the server for the loop that runs."""
    if trio.lowlevel.in_trio_run():
        return hypercorn.trio.serve  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - untyped dicts
    return hypercorn.asyncio.serve  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - untyped dicts


class _ConfigOfSockets(Config):
    """Has hypercorn use these sockets, whose owner closes them even if hypercorn does not start."""

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        super().__init__()
        self._listeners = listeners

    def create_sockets(self) -> Sockets:
        return Sockets([], list(self._listeners), [])


def _with_common_settings(config: Config) -> Config:
    config.backlog = BACKLOG
    config.graceful_timeout = 2 * GRACE
    config.keep_alive_timeout = IDLE
    config.loglevel = "ERROR"
    return config
