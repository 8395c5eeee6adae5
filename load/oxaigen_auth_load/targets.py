"""The targets of a load: the SDK's client, a protected app, or the proxy without the SDK.

A target turns a token into an outcome: `accepted`, `rejected`, or the kind of error.
"""

import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from anyio import CancelScope
from attrs import define, field, frozen

from oxaigen_auth import (
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
)
from oxaigen_auth_load.counts import Counts
from oxaigen_auth_load.http1 import ConnectionPool
from oxaigen_auth_load.http1_connection import (
    ConnectionFailedError,
    InvalidTokenError,
    ProtocolError,
    RequestTimeoutError,
    Response,
)
from oxaigen_auth_load.http_library import CONTROL_TIMEOUT, httpx

REJECTIONS = (401, 403)
FAILURES: dict[type[Exception], str] = {
    RequestTimeoutError: "timeout",
    ConnectionFailedError: "connection",
    ProtocolError: "protocol",
    InvalidTokenError: "invalid_token",
}


class Target(Protocol):
    """Validates tokens.

    Attributes:
        max_connections: 0 if lookups have no connections of the load tool.
    """

    name: str

    @property
    def max_connections(self) -> int: ...

    async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
        """Return `accepted`, `rejected`, or the kind of error; call `on_sent` once it is sent."""
        ...

    def answered_by(self) -> str:
        """Name the worker of the target that answered the lookup that ended last.

        Call it before the next `await`. It is "" without an answer.
        """
        ...

    def upstream_calls(self) -> int | None:
        """Return the number of upstream calls so far, or None if it is unknown until the end."""
        ...

    def waited(self) -> int:
        """Return how many lookups waited for one of the connections so far."""
        ...

    async def counts(self) -> Counts:
        """Return the counters so far."""
        ...


@define(eq=False)
class ClientTarget:
    """`ProxyAuthClient.get_me`, as workers call it."""

    client: ProxyAuthClient
    name: str = "client"
    max_connections: int = 0

    async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
        on_sent()
        try:
            await self.client.get_me(token)
        except (OxaigenAuthUnauthenticatedError, OxaigenAuthPermissionDeniedError):
            return "rejected"
        except OxaigenAuthUpstreamError:
            return "unavailable"
        return "accepted"

    def answered_by(self) -> str:
        return f"client {os.getpid()}"

    def upstream_calls(self) -> int:
        return self.client.stats().upstream_calls

    def waited(self) -> int:
        return 0

    async def counts(self) -> Counts:
        stats = self.client.stats()
        return Counts(stats.hits, stats.coalesced, stats.upstream_calls)


@define(eq=False)
class HttpTarget:
    """A URL that is called with the bearer token for each lookup.

    Attributes:
        worker_header: names the worker that answered; if it is missing, the connection does.
    """

    name: str
    pool: ConnectionPool
    worker_header: str = field(default="", kw_only=True)
    _calls: int = 0
    _last: Response | None = None

    @property
    def max_connections(self) -> int:
        return self.pool.max_connections

    async def look_up(self, token: str, on_sent: Callable[[], None]) -> str:
        self._calls += 1
        try:
            response = await self.pool.get(token, on_sent)
        except tuple(FAILURES) as error:
            self._last = None
            return FAILURES[type(error)]
        self._last = response
        if response.status in REJECTIONS:
            return "rejected"
        if response.status != 200:  # noqa: PLR2004
            return f"status_{response.status}"
        return "accepted" if self._is_expected(response.body) else "no_profile"

    def _is_expected(self, body: bytes) -> bool:
        """Return whether a response of the proxy is a JSON object, as a profile is."""
        try:
            return isinstance(json.loads(body), dict)
        except ValueError:
            return False

    def answered_by(self) -> str:
        if self._last is None:
            return ""
        named = self._last.header(self.worker_header.lower().encode())
        if named is None:
            return f"connection {self._last.connection} of process {os.getpid()}"
        return named.decode("latin-1")

    def upstream_calls(self) -> int | None:
        return self._calls

    def waited(self) -> int:
        return self.pool.waited

    async def counts(self) -> Counts:
        return Counts(0, 0, self._calls)


@define(eq=False)
class AppTarget(HttpTarget):
    """A protected route. If the app's proxy is an embedded mock, that counts the upstream calls."""

    mock_url: str = ""

    def _is_expected(self, body: bytes) -> bool:  # noqa: ARG002 (any 200 is expected)
        return True

    def upstream_calls(self) -> int | None:
        return None

    async def counts(self) -> Counts:
        return Counts(upstream_calls=await self._count_at_mock())

    async def _count_at_mock(self) -> int | None:
        """Ask the mock for its count; if it fails to answer, the count is unknown."""
        if not self.mock_url:
            return None
        url = f"{self.mock_url}/_mock/api/calls"
        try:
            async with httpx.AsyncClient(timeout=CONTROL_TIMEOUT, trust_env=False) as http:
                total: int = (await http.get(url)).json()["total"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
        return total


@frozen(kw_only=True)
class TargetAddress:
    """What a process needs to open a target.

    Attributes:
        name: `client`, `naive` or `app`.
        url: of the proxy for a client, otherwise of the route that is called.
        timeout: of a lookup, in seconds.
        mock_url: of the embedded mock that counts the calls of an app; "" for none.
        max_connections: of this process to the URL.
        connections: to open in advance.
        ttl: of a client's cache, in seconds.
        worker_header: of an app, names the worker that answered; "" for none.
    """

    name: str
    url: str
    timeout: float
    mock_url: str = ""
    max_connections: int = 100
    connections: int = 0
    ttl: float = 30.0
    worker_header: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Target]:
        """Open the target, and its connections.

        Raises:
            ConnectionFailedError: a connection cannot be made.
            RequestTimeoutError: they take longer than a lookup may.
        """
        if self.name == "client":
            settings = OxaigenAuthSettings(
                proxy_timeout_seconds=self.timeout, cache_ttl_seconds=self.ttl
            )
            async with ProxyAuthClient(self.url, settings=settings) as client:
                yield ClientTarget(client)
            return
        pool = ConnectionPool(self.url, self.timeout, self.max_connections)
        try:
            await pool.open(self.connections)
            if self.name == "app":
                header = self.worker_header
                yield AppTarget(self.name, pool, mock_url=self.mock_url, worker_header=header)
            else:
                yield HttpTarget(self.name, pool)
        finally:
            with CancelScope(shield=True):
                await pool.aclose()
