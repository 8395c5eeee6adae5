"""Runs an app under hypercorn on the event loop that is there, be it asyncio's or trio's."""

import math
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from errno import EADDRNOTAVAIL, EAFNOSUPPORT
from functools import partial
from typing import Any, Final, TypeAlias

import hypercorn.asyncio
import hypercorn.trio
import trio
from anyio import CancelScope, Event, current_time
from anyio.lowlevel import checkpoint
from attrs import define, field
from hypercorn.config import Config, Sockets
from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth_mock.asgi.middleware import is_remote
from oxaigen_auth_mock.server.background_task import BackgroundTask

BACKLOG: Final = 1024
IDLE: Final = 60.0  # seconds until a request must come; a burst on a busy machine may take long
GRACE: Final = 0.5  # seconds that running calls get to finish when the server stops
ATTEMPTS: Final = 10  # to find a port that is free at several addresses
NOT_THERE: Final = (EADDRNOTAVAIL, EAFNOSUPPORT)
LOOPBACK_OF: Final[dict[str, str]] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - tells where to call it

Address: TypeAlias = tuple[int, tuple[Any, ...]]  # a family, and what its sockets are bound to


class RemoteAddressError(OSError):
    """Other machines could reach this address, and that was not asked for."""


def listen(host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False) -> socket.socket:
    """Open a listening TCP socket at the first address of a host; port 0 takes any free one.

    The caller owns it.

    Raises:
        RemoteAddressError: the host is, or its name stands for, no loopback address.
        OSError: the host is not known here, or the port is taken or not allowed.
    """
    return _listen_at(addresses_of(host, allow_remote=allow_remote)[:1], port)[0]


def listen_on_all(
    host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
) -> list[socket.socket]:
    """Open a listening TCP socket at every address of a host, all with the same port.

    Addresses that this machine does not have, such as `::1` without IPv6, are left out. Port 0
    takes a port that is free at all of them. The caller owns the sockets.

    Raises:
        RemoteAddressError: the host is, or its name stands for, no loopback address.
        OSError: the host is not known here, or the port is taken or not allowed.
    """
    addresses = addresses_of(host, allow_remote=allow_remote)
    for _ in range(ATTEMPTS if port == 0 else 0):
        with suppress(OSError):
            return _listen_at(addresses, port)
    return _listen_at(addresses, port)


def addresses_of(host: str, *, allow_remote: bool = False) -> list[Address]:
    """Find the addresses of a host; `localhost` has both of RFC 6761 §6.3, whatever is configured.

    Raises:
        RemoteAddressError: one of them is no loopback address.
        OSError: the host is not known here.
    """
    if host.lower() == "localhost":
        return [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0))]
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:
        raise OSError(f"{host!r} is not a host name") from error
    addresses: list[Address] = [(family, address) for family, _, _, _, address in found]
    for _, (ip, *_) in addresses:
        if not allow_remote and is_remote(str(ip)):
            raise RemoteAddressError(f"{ip} is no loopback address")
    return list(dict.fromkeys(addresses))


def _listen_at(addresses: list[Address], port: int) -> list[socket.socket]:
    """Listen at those of the addresses that there are, with the port that the first one got."""
    listeners: list[socket.socket] = []
    missing = OSError("no address")
    with ExitStack() as undo:
        for family, (ip, _, *rest) in addresses:
            try:
                listener = _bound(family, (ip, port, *rest), alone=len(addresses) == 1)
            except OSError as error:
                if error.errno not in NOT_THERE:
                    raise
                missing = error
                continue
            listeners.append(undo.enter_context(listener))
            port = listener.getsockname()[1]
        undo.pop_all()
    if not listeners:
        raise missing
    return listeners


def _bound(family: int, address: tuple[Any, ...], *, alone: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not alone:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def base_url(listener: socket.socket) -> str:
    """Tell where a listening socket can be reached, as `http://host:port`.

    For one that is bound to every address, that is the loopback address of its family.
    """
    host: str
    port: int
    host, port = listener.getsockname()[:2]
    return f"http://{host_and_port(LOOPBACK_OF.get(host, host), port)}"


def host_and_port(host: str, port: int) -> str:
    """Join them as in a URL, where an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def serving(app: ASGIApp, *listeners: socket.socket) -> AsyncGenerator[str]:
    """Serve the app while the block runs; gives its base URL once calls are answered.

    Takes over the listeners, and closes them; the URL is the first one's. The block may end in
    another task than it began in. After it, calls that still run get `GRACE` seconds to finish;
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


def configuration(listeners: Iterable[socket.socket]) -> Config:
    """Hand hypercorn the sockets, for good: it closes the descriptors when it stops."""
    config = _with_common_settings(Config())
    config.bind = [f"fd://{listener.detach()}" for listener in listeners]
    return config


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
