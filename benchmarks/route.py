"""The cost of identifying a cached user on a route, called in process, without a server.

Runs with either package installed. Both have the imported names and the settings.
"""

from __future__ import annotations

import sys
from functools import cache, partial
from time import process_time
from typing import TYPE_CHECKING, Any

import anyio
from fastapi import Depends, FastAPI

from benchmarks.harness import Figure, alternate_calls, measured, ratios
from benchmarks.package_process import package_process, published_python
from benchmarks.proxy_process import local_proxy
from oxaigen_auth import (
    OxaigenAuthMiddleware,
    aclose_client,
    get_current_user,
    require_permission,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message

    from benchmarks.package_process import PackageProcess

ROUNDS = 60
REQUESTS = 100  # per round
TOKEN = "x" * 800 + "-7"
# As in production, the host of the request determines the URL of the proxy.
ENVIRON = {
    "OXAIGEN_AUTH_PROXY_SCHEME": "http",
    "OXAIGEN_AUTH_ALLOWED_HOSTS": "app.example.com,127.0.0.1:*",
    "OXAIGEN_AUTH_CACHE_TTL_SECONDS": "3600",
    "OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS": "600",  # valgrind is slow
}
TARGETS = {  # of each app but the first, in the order of `apps`
    "get_current_user": 1.05,
    "middleware, get_current_user": 1.15,
    "require_permission": 1.1,
    "middleware, require_permission": None,
}


async def no_op() -> None:
    """Do nothing, as the dependency of the reference route."""


def make_app(dependency: Callable[..., Any], *, middleware: bool = False) -> FastAPI:
    """Return an app with one route that has this dependency."""
    app = FastAPI()
    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)

    @app.get("/")
    async def route(_: Any = Depends(dependency)) -> dict[str, bool]:  # noqa: B008, FAST002
        return {"ok": True}

    return app


@cache
def apps() -> list[FastAPI]:
    """Return the reference app, and the apps that are compared with it."""
    permitted = require_permission("audit")
    return [
        make_app(no_op),
        make_app(get_current_user),
        make_app(get_current_user, middleware=True),
        make_app(permitted),
        make_app(permitted, middleware=True),
    ]


def figures(label: str, *, targets: bool) -> list[Figure]:
    return [
        Figure(f"{label}: {case}", at_most=target if targets else None, digits=3)
        for case, target in TARGETS.items()
    ]


def measure() -> list[Figure]:
    with local_proxy() as proxy:
        host = proxy.url.removeprefix("http://")
        return [
            *measured(figures("route", targets=True), lambda: _measure(sys.executable, host)),
            *measured(
                figures("route, published", targets=False),
                lambda: _measure(published_python(), host),
            ),
        ]


def _measure(python: str, host: str) -> list[tuple[float, ...]]:
    with package_process(python, ENVIRON) as process:
        cases = range(len(TARGETS) + 1)
        rounds = [partial(_round, process, case, host) for case in cases]
        trivial, *others = alternate_calls(ROUNDS, *rounds)
    return [ratios(other, trivial) for other in others]


def _round(process: PackageProcess, case: int, host: str) -> float:
    return float(process.call(requests, case, host))


def requests(case: int, host: str) -> float:
    """Return the processor seconds of `REQUESTS` requests, after one that fills the cache."""
    return anyio.run(_requests, apps()[case], host)


async def _requests(app: ASGIApp, host: str) -> float:
    await ask(app, host)
    start = process_time()
    for _ in range(REQUESTS):
        await ask(app, host)
    seconds = process_time() - start
    await aclose_client()
    return seconds


async def ask(app: ASGIApp, host: str) -> None:
    """Send one request with the headers of a browser and a token."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(_scope(host), receive, send)
    if statuses != [200]:
        raise RuntimeError(f"The route answered {statuses}")


def _scope(host: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"app.internal:8000"),
            (b"x-forwarded-host", host.encode()),
            (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"),
            (b"accept", b"application/json"),
            (b"accept-language", b"en,de;q=0.7"),
            (b"accept-encoding", b"gzip, deflate, br"),
            (b"authorization", f"Bearer {TOKEN}".encode()),
            (b"cookie", b"theme=dark; session=0123456789abcdef"),
            (b"connection", b"keep-alive"),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
