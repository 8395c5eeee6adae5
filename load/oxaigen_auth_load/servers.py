"""The URLs of a load's servers, and the embedded servers.

Each embedded server has its own process, so that it does not slow down the event loop of the load.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from socket import (
    IPPROTO_TCP,
    SO_REUSEPORT,
    SOL_SOCKET,
    TCP_NODELAY,
    create_server,
    socket,
)
from typing import Annotated, Any

import anyio
from attrs import define, frozen
from fastapi import Depends, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth import User, get_current_user
from oxaigen_auth_load.processes import child_process
from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import BACKLOG, listen

WORKER_HEADER = "X-App-Worker"  # names the process of the embedded app that answers


class EmbeddedServerError(Exception):
    """An embedded server failed to start."""


@frozen
class Servers:
    """The URLs of a load's servers; "" for one that is not used or not known.

    Attributes:
        mock: the proxy's URL if the proxy is an embedded mock.
    """

    proxy: str
    app: str = ""
    mock: str = ""


@contextmanager
def embedded_mock(
    tokens: Sequence[str],
    *,
    latency: float,
    faults: Sequence[Mapping[str, Any]],
    backend: str,
) -> Iterator[str]:
    """Serve a mock that accepts these tokens, and yield its URL.

    Raises:
        EmbeddedServerError: it failed to start.
    """
    with _servers(_mock, backend, [(tuple(tokens), latency, list(faults))]) as url:
        yield url


@contextmanager
def embedded_app(
    proxy_url: str, *, timeout: float, backend: str, ttl: float = 30.0, workers: int = 1
) -> Iterator[str]:
    """Serve an app with one protected route, and yield the URL of that route.

    Several workers are processes that listen at the same port, among which the kernel distributes
    the connections.

    Raises:
        EmbeddedServerError: it failed to start.
    """
    arguments = [(proxy_url, timeout, ttl, str(number)) for number in range(1, workers + 1)]
    with _servers(_app, backend, arguments) as url:
        yield url


@contextmanager
def _servers(
    make: Callable[..., ASGIApp], backend: str, arguments: Sequence[tuple[Any, ...]]
) -> Iterator[str]:
    """Start a process for each tuple of arguments, and yield the URL of all."""
    with ExitStack() as stack:
        port = stack.enter_context(_reserved_port()) if len(arguments) > 1 else 0
        pipes = [
            stack.enter_context(child_process(_serve, make, backend, args, port))
            for args in arguments
        ]
        try:
            urls = [pipe.recv() for pipe in pipes]
        except EOFError:
            raise EmbeddedServerError(
                "an embedded server ended while starting; see above"
            ) from None
        yield urls[0]
        for pipe in pipes:
            pipe.close()  # so that all end at the same time


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Bind a free port without listening, so that only the workers get its connections."""
    with socket() as reserved:
        reserved.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        yield port


def _serve(
    pipe: Connection,
    make: Callable[..., ASGIApp],
    backend: str,
    args: tuple[Any, ...],
    port: int = 0,
) -> None:
    anyio.run(_serve_until_closed, make(*args), pipe, port, backend=backend)


async def _serve_until_closed(app: ASGIApp, pipe: Connection, port: int) -> None:
    async with serving(app, _listen_with_others(port) if port else listen()) as url:
        with suppress(BrokenPipeError):
            pipe.send(url)
        # Readable once the other end is closed, which also happens when its process dies.
        await anyio.wait_readable(pipe.fileno())


def _listen_with_others(port: int) -> socket:
    listener = create_server(("127.0.0.1", port), backlog=BACKLOG, reuse_port=True)
    listener.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # as `listen` does
    return listener


def _mock(tokens: tuple[str, ...], latency: float, faults: list[dict[str, Any]]) -> ASGIApp:
    settings = MockSettings(latency=latency).model_copy(update={"tokens": tokens})  # any text
    app = create_app(settings)
    for fault in faults:
        app.control.fault(**fault)
    return app


def _app(proxy_url: str, timeout: float, ttl: float, worker: str) -> ASGIApp:
    os.environ["OXAIGEN_AUTH_PROXY_URL_OVERRIDE"] = proxy_url
    os.environ["OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS"] = str(timeout)
    os.environ["OXAIGEN_AUTH_CACHE_TTL_SECONDS"] = str(ttl)
    app = FastAPI()

    @app.get("/")
    async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
        return user

    return _NamedWorker(app, worker)


@define(eq=False)
class _NamedWorker:
    """Adds a header with the worker's name to each response, also to those of errors."""

    app: ASGIApp
    name: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[WORKER_HEADER] = self.name
            await send(message)

        await self.app(scope, receive, send_named)
