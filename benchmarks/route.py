"""What a cached user adds to a route, called in process: no server, no HTTP client."""

from __future__ import annotations

import os
from functools import partial
from time import process_time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import anyio
from fastapi import Depends, FastAPI

from benchmarks.harness import Figure, alternate, ratios
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

ROUNDS = 60
REQUESTS = 100  # per round


async def anyone() -> None:
    """Be the dependency that costs least."""


def make_app(dependency: Callable[..., Any], *, middleware: bool = False) -> FastAPI:
    """Return an app of one route: only what it depends on differs."""
    app = FastAPI()
    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)

    @app.get("/")
    async def route(_: Any = Depends(dependency)) -> dict[str, bool]:  # noqa: B008, FAST002
        return {"ok": True}

    return app


def measure() -> list[Figure]:
    with local_proxy() as proxy:
        # As in production, every request says where the proxy is.
        environ = {
            "OXAIGEN_AUTH_PROXY_SCHEME": "http",
            "OXAIGEN_AUTH_ALLOWED_HOSTS": "app.example.com,127.0.0.1:*",
            "OXAIGEN_AUTH_CACHE_TTL_SECONDS": "3600",
        }
        with patch.dict(os.environ, environ):
            return anyio.run(_measure, proxy.url.removeprefix("http://"))


async def _measure(host: str) -> list[Figure]:
    permitted = require_permission("audit")
    apps = [
        make_app(anyone),
        make_app(get_current_user),
        make_app(permitted),
        make_app(get_current_user, middleware=True),
        make_app(permitted, middleware=True),
    ]
    nothing, user, permission, both, both_permission = await alternate(
        ROUNDS, *(partial(_requests, app, host) for app in apps)
    )
    await aclose_client()
    return [
        Figure("route: get_current_user", ratios(user, nothing), at_most=1.15),
        Figure("route: middleware, get_current_user", ratios(both, nothing), at_most=1.3),
        Figure("route: require_permission", ratios(permission, nothing)),
        Figure("route: middleware, require_permission", ratios(both_permission, nothing)),
    ]


async def _requests(app: ASGIApp, host: str) -> float:
    """Return the processor seconds that some requests take, after one that fills the cache."""
    await _request(app, host)
    start = process_time()
    for _ in range(REQUESTS):
        await _request(app, host)
    return process_time() - start


async def _request(app: ASGIApp, host: str) -> None:
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
            (b"authorization", b"Bearer " + b"x" * 800 + b"-7"),
            (b"cookie", b"theme=dark; session=0123456789abcdef"),
            (b"connection", b"keep-alive"),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
