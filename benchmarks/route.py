"""What a cached user adds to a route, called in process: no server, no HTTP client."""

from __future__ import annotations

import os
from functools import partial
from time import process_time
from typing import TYPE_CHECKING, Annotated, Any
from unittest.mock import patch

import anyio
from fastapi import Depends, FastAPI

from benchmarks.harness import Figure, alternate, ratios
from benchmarks.proxy_process import local_proxy
from oxaigen_auth import (
    OxaigenAuthMiddleware,
    User,
    aclose_client,
    get_current_user,
    require_permission,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

ROUNDS = 60
REQUESTS = 100  # per round

CurrentUser = Annotated[User, Depends(get_current_user)]
PermittedUser = Annotated[User, Depends(require_permission("audit"))]


async def anyone() -> None:
    """Be the dependency that costs least."""


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/anyone")
    async def for_anyone(_: Annotated[None, Depends(anyone)]) -> dict[str, bool]:
        return {"ok": True}

    @app.get("/user")
    async def for_user(_: CurrentUser) -> dict[str, bool]:
        return {"ok": True}

    @app.get("/permitted")
    async def for_permitted(
        _: Annotated[User, Depends(require_permission("audit"))],
    ) -> dict[str, bool]:
        return {"ok": True}

    return app


def make_app_with_middleware() -> FastAPI:
    app = make_app()
    app.add_middleware(OxaigenAuthMiddleware)
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
    plain, fronted = make_app(), make_app_with_middleware()
    nothing, user, permitted, both, both_permitted = await alternate(
        ROUNDS,
        partial(_requests, plain, "/anyone", host),
        partial(_requests, plain, "/user", host),
        partial(_requests, plain, "/permitted", host),
        partial(_requests, fronted, "/user", host),
        partial(_requests, fronted, "/permitted", host),
    )
    await aclose_client()
    return [
        Figure("route: get_current_user", ratios(user, nothing), at_most=1.15),
        Figure("route: middleware, get_current_user", ratios(both, nothing), at_most=1.3),
        Figure("route: require_permission", ratios(permitted, nothing)),
        Figure("route: middleware, require_permission", ratios(both_permitted, nothing)),
    ]


async def _requests(app: ASGIApp, path: str, host: str) -> float:
    """Return the processor seconds that some requests take, after one that fills the cache."""
    await _request(app, path, host)
    start = process_time()
    for _ in range(REQUESTS):
        await _request(app, path, host)
    return process_time() - start


async def _request(app: ASGIApp, path: str, host: str) -> None:
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(_scope(path, host), receive, send)
    if statuses != [200]:
        raise RuntimeError(f"{path} answered {statuses}")


def _scope(path: str, host: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
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
