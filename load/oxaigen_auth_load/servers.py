"""A mock of the proxy, and an app that the SDK protects, each in a process of its own.

So their work is neither counted as that of what is measured, nor does it stall its event loop.
"""

from __future__ import annotations

import multiprocessing
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from fastapi import Depends, FastAPI

from oxaigen_auth import User, get_current_user
from oxaigen_auth_load.signals import signals_blocked
from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.server.hypercorn import listen, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection

    from starlette.types import ASGIApp

_SPAWN = multiprocessing.get_context("spawn")
END = 5.0  # seconds that a process gets to end


class EmbeddedError(Exception):
    """The process could not begin to serve."""


@contextmanager
def embedded_mock(
    tokens: Sequence[str],
    *,
    latency: float,
    faults: Sequence[Mapping[str, Any]],
    backend: str,
) -> Iterator[str]:
    """Serve a mock that knows these tokens, and give its URL."""
    with _process(_mock, backend, tuple(tokens), latency, list(faults)) as url:
        yield url


@contextmanager
def embedded_app(proxy_url: str, *, timeout: float, backend: str) -> Iterator[str]:
    """Serve an app of one protected route, and give the URL of that route."""
    with _process(_app, backend, proxy_url, timeout) as url:
        yield url


@contextmanager
def _process(make: Callable[..., ASGIApp], backend: str, *args: Any) -> Iterator[str]:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(make, backend, theirs, args), daemon=True)
    try:
        with signals_blocked():  # those that go to the whole group: the load ends what it started
            process.start()
        theirs.close()
        yield ours.recv()
    except EOFError:
        raise EmbeddedError("the process that was to serve ended; see above") from None
    finally:
        ours.close()
        if process.pid is not None:  # it was started, and not stopped before
            process.join(END)
            if process.exitcode is None:
                process.kill()


def _serve(
    make: Callable[..., ASGIApp], backend: str, pipe: Connection, args: tuple[Any, ...]
) -> None:
    anyio.run(_serve_until_alone, make(*args), pipe, backend=backend)


async def _serve_until_alone(app: ASGIApp, pipe: Connection) -> None:
    async with serving(app, listen()) as url:
        with suppress(BrokenPipeError):
            pipe.send(url)
        # Readable once the other end is closed, be it that its process is no more.
        await anyio.wait_readable(pipe.fileno())


def _mock(tokens: tuple[str, ...], latency: float, faults: list[dict[str, Any]]) -> ASGIApp:
    app = create_app(MockSettings(tokens=tokens, latency=latency))
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
