"""The URLs of a load's servers, and the embedded servers.

Each embedded server has its own process, so that it does not slow down the event loop of the load.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Annotated, Any

import anyio
from attrs import frozen
from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from oxaigen_auth import User, get_current_user
from oxaigen_auth_load.signals import signals_blocked
from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen

_SPAWN = multiprocessing.get_context("spawn")
EXIT_TIMEOUT = 5.0  # seconds


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
    with _process(_mock, backend, tuple(tokens), latency, list(faults)) as url:
        yield url


@contextmanager
def embedded_app(proxy_url: str, *, timeout: float, backend: str) -> Iterator[str]:
    """Serve an app with one protected route, and yield the URL of that route.

    Raises:
        EmbeddedServerError: it failed to start.
    """
    with _process(_app, backend, proxy_url, timeout) as url:
        yield url


@contextmanager
def _process(make: Callable[..., ASGIApp], backend: str, *args: Any) -> Iterator[str]:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(make, backend, theirs, args), daemon=True)
    try:
        with signals_blocked():  # a signal to the whole group must leave the server running
            process.start()
        theirs.close()
        yield ours.recv()
    except EOFError:
        raise EmbeddedServerError("an embedded server ended while starting; see above") from None
    finally:
        ours.close()
        if process.pid is not None:  # None if an interrupt came before the start
            process.join(EXIT_TIMEOUT)
            if process.exitcode is None:
                process.kill()


def _serve(
    make: Callable[..., ASGIApp], backend: str, pipe: Connection, args: tuple[Any, ...]
) -> None:
    anyio.run(_serve_until_closed, make(*args), pipe, backend=backend)


async def _serve_until_closed(app: ASGIApp, pipe: Connection) -> None:
    async with serving(app, listen()) as url:
        with suppress(BrokenPipeError):
            pipe.send(url)
        # Readable once the other end is closed, which also happens when its process dies.
        await anyio.wait_readable(pipe.fileno())


def _mock(tokens: tuple[str, ...], latency: float, faults: list[dict[str, Any]]) -> ASGIApp:
    settings = MockSettings(latency=latency).model_copy(update={"tokens": tokens})  # any text
    app = create_app(settings)
    for fault in faults:
        app.control.fault(**fault)
    return app


def _app(proxy_url: str, timeout: float) -> ASGIApp:
    os.environ["OXAIGEN_AUTH_PROXY_URL_OVERRIDE"] = proxy_url
    os.environ["OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS"] = str(timeout)
    app = FastAPI()

    @app.get("/")
    async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
        return user

    return app
