"""Runs an app under hypercorn on the event loop that is there, be it asyncio's or trio's."""

import math
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import hypercorn.asyncio
import hypercorn.trio
import trio
from anyio import CancelScope, Event, create_task_group, current_time
from attrs import define, field
from hypercorn.config import Config
from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth_mock.front import is_remote

BACKLOG: Final = 1024
IDLE: Final = 60.0  # seconds until a request must come; a burst on a busy machine may take long
GRACE: Final = 0.5  # seconds that running calls get to finish when the server stops


class RemoteAddressError(OSError):
    """Other machines could reach this address, and that was not asked for."""


def listen(host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False) -> socket.socket:
    """Open a listening TCP socket, which the caller owns; port 0 takes any free one.

    Raises:
        RemoteAddressError: the host is, or its name stands for, no loopback address.
        OSError: the host is not known here, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except UnicodeError as error:
        raise OSError(f"{host!r} is not a host name") from error
    if not allow_remote and is_remote(str(address[0])):
        raise RemoteAddressError(f"{address[0]} is no loopback address")
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def base_url(listener: socket.socket) -> str:
    """Tell where a listening socket can be reached, as `http://host:port`."""
    host, port = listener.getsockname()[:2]
    return f"http://{host_and_port(host, port)}"


def host_and_port(host: str, port: int) -> str:
    """Join them as in a URL, where an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncGenerator[str]:
    """Serve the app while the block runs; gives its base URL once calls are answered.

    Takes over the listener. After the block, calls that still run get `GRACE` seconds to finish;
    those that do not are answered with 500.

    >>> import anyio, httpx
    >>> from oxaigen_auth_mock import MockSettings, create_app
    >>> async def call_it():
    ...     async with serving(create_app(MockSettings()), listen()) as url:
    ...         async with httpx.AsyncClient(base_url=url) as client:
    ...             return (await client.get("/health")).status_code
    >>> anyio.run(call_it, backend="trio")
    200
    """
    url = base_url(listener)
    started, stopping = Event(), Event()
    failure: Exception | None = None
    async with create_task_group() as tasks:
        tasks.start_soon(_serve, app, listener, started, stopping)
        try:
            await started.wait()
            yield url
        except Exception as error:  # noqa: BLE001 - raised below, where no group wraps it
            failure = error
        finally:
            stopping.set()
    if failure is not None:
        raise failure


async def _serve(app: ASGIApp, listener: socket.socket, started: Event, stopping: Event) -> None:
    """Run hypercorn, shielded: it stops in good order even for a caller that was cancelled."""
    calls = EndingCalls(app)
    with CancelScope(shield=True) as scope:

        async def until_stopping() -> None:
            started.set()  # hypercorn asks for its trigger only when it has begun to accept
            await stopping.wait()
            calls.end_by(current_time() + GRACE)
            scope.deadline = current_time() + 3 * GRACE

        await _hypercorn()(calls, configuration(listener), shutdown_trigger=until_stopping)


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


def configuration(listener: socket.socket) -> Config:
    """Hand hypercorn the socket, for good: it closes the descriptor when it stops."""
    config = Config()
    config.bind = f"fd://{listener.detach()}"
    config.backlog = BACKLOG
    config.graceful_timeout = 2 * GRACE
    config.keep_alive_timeout = IDLE
    config.loglevel = "ERROR"
    return config
