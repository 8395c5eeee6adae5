"""Requests per second of a protected and an unprotected route on hypercorn. Needs wrk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import anyio
from fastapi import Depends, FastAPI

from benchmarks.harness import Figure, NotMeasuredError, alternate_calls, measured, ratios
from benchmarks.proxy_process import local_proxy, serving_process
from benchmarks.route import TOKEN, no_op
from oxaigen_auth import get_current_user
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from typing import Any

ROUNDS = 7
SECONDS = 2
CONNECTIONS = 32


def measure() -> list[Figure]:
    return [
        figure
        for backend in ("asyncio", "trio")
        for figure in measured(
            [Figure(f"server: protected ÷ unprotected route, {backend}", at_least=0.95)],
            partial(_measure, backend),
        )
    ]


def _measure(backend: str) -> list[tuple[float, ...]]:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise NotMeasuredError("needs wrk")
    with local_proxy() as proxy, serving_process(serve, backend, proxy.url) as url:
        rounds = [partial(_rate, wrk, url, path) for path in ("protected", "unprotected")]
        return [ratios(*alternate_calls(ROUNDS, *rounds))]


def _rate(wrk: str, url: str, path: str) -> float:
    """Return the requests per second that wrk reports. A response other than 2xx raises."""
    words = [wrk, "-t", "1", "-c", f"{CONNECTIONS}", "-d", f"{SECONDS}s"]
    words += ["-H", f"Authorization: Bearer {TOKEN}", f"{url}/{path}"]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout  # noqa: S603
    rate = re.search(r"Requests/sec: +([\d.]+)", output)
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    return float(rate[1])


def serve(ready: Connection, backend: str, proxy: str) -> None:
    """Serve the app with one worker."""
    os.environ["OXAIGEN_AUTH_PROXY_URL_OVERRIDE"] = proxy
    os.environ["OXAIGEN_AUTH_CACHE_TTL_SECONDS"] = "3600"
    anyio.run(_serve_until_terminated, ready, backend=backend)


async def _serve_until_terminated(ready: Connection) -> None:
    app = FastAPI()
    _add_route(app, "/protected", get_current_user)
    _add_route(app, "/unprotected", no_op)
    async with serving(app, listen()) as url:
        ready.send(url)
        await anyio.sleep_forever()


def _add_route(app: FastAPI, path: str, dependency: Callable[..., Any]) -> None:
    @app.get(path)
    async def route(_: Any = Depends(dependency)) -> dict[str, bool]:  # noqa: B008, FAST002
        return {"ok": True}
