"""Serves an app with hypercorn on the running event loop, asyncio or trio."""

import asyncio
import math
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from ssl import SSLContext
from typing import Final

import hypercorn.asyncio
import hypercorn.trio
import trio
from anyio import CancelScope, Event, current_time
from anyio.lowlevel import checkpoint
from attrs import define, field
from hypercorn.config import Config, Sockets
from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth_mock.server.sockets import BACKLOG, base_url
from oxaigen_auth_mock.server.tls import Certificate

KEEP_ALIVE: Final = 60.0  # seconds; in a burst on a busy machine a first request may come late
GRACE: Final = 0.5  # seconds for running calls to finish when the server stops


@asynccontextmanager
async def serving(
    app: ASGIApp, *listeners: socket.socket, certificate: Certificate | None = None
) -> AsyncGenerator[str]:
    """Serve the app during the block, with TLS if there is a certificate.

    Yields the base URL of the first listener.

    The listeners are closed at the end. The block may end in another task than it began in. Running
    calls get `GRACE` seconds to finish after it; those that do not are answered with 500.

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
    url = base_url(listeners[0], scheme="https" if certificate else "http")
    stopping = Event()
    config = _SocketConfig(listeners, certificate)
    server = BackgroundTask(partial(_serve, app, config, stopping))
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
    config: Config,
    stopping: Event,
    started: Callable[[], None],
) -> None:
    """Run hypercorn until `stopping` is set, and for at most `3 * GRACE` seconds longer."""
    calls = CallsWithDeadline(app)
    with CancelScope() as scope:

        async def wait_for_shutdown() -> None:
            await checkpoint()  # on trio, hypercorn waits for shutdown even if the lifespan failed
            started()  # hypercorn waits for shutdown only once it accepts connections
            await stopping.wait()
            calls.set_deadline(current_time() + GRACE)
            scope.deadline = current_time() + 3 * GRACE

        await _hypercorn()(calls, config, shutdown_trigger=wait_for_shutdown)


@define(eq=False)
class CallsWithDeadline:
    """Cancels the calls of an app at a common deadline.

    hypercorn would cancel whole connections instead, which asyncio logs as errors.
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

    def set_deadline(self, deadline: float) -> None:
        self._deadline = deadline
        for call in self._running:
            call.deadline = deadline


def _hypercorn() -> Callable[..., Awaitable[None]]:
    """Return the server for the running event loop."""
    if trio.lowlevel.in_trio_run():
        return hypercorn.trio.serve  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - untyped dicts
    return hypercorn.asyncio.serve  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - untyped dicts


class _SocketConfig(Config):
    """Uses given sockets, which the caller closes even if hypercorn does not start."""

    backlog = BACKLOG
    keep_alive_timeout = KEEP_ALIVE
    loglevel = "ERROR"

    def __init__(self, listeners: Sequence[socket.socket], certificate: Certificate | None) -> None:
        super().__init__()
        self.graceful_timeout = 2 * GRACE
        self._listeners = listeners
        self._certificate = certificate

    @property
    def ssl_enabled(self) -> bool:
        return self._certificate is not None

    def create_ssl_context(self) -> SSLContext | None:
        return self._certificate.create_context() if self._certificate else None

    def create_sockets(self) -> Sockets:
        listeners = list(self._listeners)
        return Sockets(listeners, [], []) if self.ssl_enabled else Sockets([], listeners, [])


@define(eq=False)
class BackgroundTask:
    """Runs a function that no task group or cancel scope of the caller owns.

    A block that holds a task group must be exited by the task that entered it; fixtures of
    pytest-asyncio, pytest-trio and others enter a block in one task and exit it in another.

    The function is called with a callback for when it is ready. Once it has ended, `error` is the
    exception that it raised, unwrapped from exception groups of one.
    """

    _run: Callable[[Callable[[], None]], Awaitable[None]]
    error: Exception | None = field(default=None, init=False)
    _ready: Event = field(factory=Event, init=False)
    _ended: Event = field(factory=Event, init=False)
    _task: object = field(default=None, init=False)  # asyncio itself holds only a weak reference

    def start(self) -> None:
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.spawn_system_task(self._main, name=self._run)
            return
        task = asyncio.create_task(self._main())
        task.add_done_callback(self._end)  # also if it is cancelled before its first step
        self._task = task

    async def wait_started(self) -> None:
        """Wait until the function is ready or has ended."""
        await self._ready.wait()

    async def wait_ended(self) -> None:
        """Wait for the end, even if the caller is cancelled; the function must end soon."""
        with CancelScope(shield=True):
            await self._ended.wait()

    async def _main(self) -> None:
        try:
            await self._run(self._ready.set)
        except Exception as error:  # noqa: BLE001 - for the caller; it would crash trio here
            self.error = _unwrap(error)
        finally:
            self._end()

    def _end(self, _task: object = None) -> None:
        self._ready.set()
        self._ended.set()


def _unwrap(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
