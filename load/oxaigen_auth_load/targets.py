"""The targets of a load: the SDK's client, a protected app, or the proxy without the SDK.

A target turns a token into an outcome: `accepted`, `rejected`, or the kind of error.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from anyio import CapacityLimiter
from attrs import define, field, frozen

from oxaigen_auth import (
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
)

if TYPE_CHECKING:
    import httpx
else:
    httpx = import_module("httpx2" if find_spec("httpx2") else "httpx")  # as the SDK does

LIBRARY = f"{httpx.__name__} {httpx.__version__}"
CONNECTIONS = 100  # the SDK's default
LIMITS = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
REJECTIONS = (401, 403)
CONTROL_TIMEOUT = 5.0  # seconds, for calls that are not part of the load


@frozen
class Counts:
    """The counters of a target; None if it cannot count them.

    Attributes:
        queued: lookups that found none of the load tool's own connections free.
    """

    cache_hits: int | None = None
    coalesced: int | None = None
    upstream_calls: int | None = None
    queued: int = 0


class Target(Protocol):
    """Validates tokens."""

    name: str

    async def look_up(self, token: str) -> str:
        """Return `accepted`, `rejected`, or the kind of error."""
        ...

    def upstream_calls(self) -> int | None:
        """Return the number of upstream calls so far, or None if it is unknown until the end."""
        ...

    async def counts(self) -> Counts:
        """Return the counters at the end of a run."""
        ...


@define(eq=False)
class ClientTarget:
    """`ProxyAuthClient.get_me`, as workers call it."""

    client: ProxyAuthClient
    name: str = "client"

    async def look_up(self, token: str) -> str:
        try:
            await self.client.get_me(token)
        except (OxaigenAuthUnauthenticatedError, OxaigenAuthPermissionDeniedError):
            return "rejected"
        except OxaigenAuthUpstreamError:
            return "unavailable"
        return "accepted"

    def upstream_calls(self) -> int:
        return self.client.stats().upstream_calls

    async def counts(self) -> Counts:
        stats = self.client.stats()
        return Counts(stats.hits, stats.coalesced, stats.upstream_calls)


@define(eq=False)
class HttpTarget:
    """A URL that is called with the bearer token for each lookup, over one connection pool.

    The limiter keeps calls from queueing inside the pool, which is slow with thousands of them.
    """

    name: str
    url: str
    http: httpx.AsyncClient
    _limiter: CapacityLimiter = field(factory=lambda: CapacityLimiter(CONNECTIONS))
    _calls: int = 0
    _queued: int = 0

    async def look_up(self, token: str) -> str:
        self._queued += self._limiter.available_tokens <= 0
        async with self._limiter:
            self._calls += 1
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            try:
                response = await self.http.get(self.url, headers=headers)
            except httpx.TimeoutException:
                return "timeout"
            except httpx.TransportError:
                return "connection"
            except httpx.DecodingError:
                return "decoding"
        status = response.status_code
        if status in REJECTIONS:
            return "rejected"
        if status != 200:  # noqa: PLR2004
            return f"status_{status}"
        return "accepted" if self._is_expected(response) else "no_profile"

    def _is_expected(self, response: httpx.Response) -> bool:
        """Return whether a response of the proxy is a JSON object, as a profile is."""
        try:
            return isinstance(response.json(), dict)
        except ValueError:
            return False

    def upstream_calls(self) -> int | None:
        return self._calls

    async def counts(self) -> Counts:
        return Counts(0, 0, self._calls, self._queued)


@define(eq=False)
class AppTarget(HttpTarget):
    """A protected route. If the app's proxy is an embedded mock, that counts the upstream calls."""

    mock_url: str = ""

    def _is_expected(self, response: httpx.Response) -> bool:  # noqa: ARG002 (any 200 is expected)
        return True

    def upstream_calls(self) -> int | None:
        return None

    async def counts(self) -> Counts:
        return Counts(upstream_calls=await self._count_at_mock(), queued=self._queued)

    async def _count_at_mock(self) -> int | None:
        """Ask the mock for its count; if it fails to answer, the count is unknown."""
        if not self.mock_url:
            return None
        url = f"{self.mock_url}/_mock/api/calls"
        try:
            total: int = (await self.http.get(url, timeout=CONTROL_TIMEOUT)).json()["total"]
        except (httpx.HTTPError, ValueError, KeyError):
            return None
        return total


@asynccontextmanager
async def client_target(proxy_url: str, timeout: float) -> AsyncGenerator[Target]:  # noqa: ASYNC109 (a setting)
    """Open a client with the SDK's defaults, apart from the timeout of a lookup in seconds."""
    settings = OxaigenAuthSettings(proxy_timeout_seconds=timeout)
    async with ProxyAuthClient(proxy_url, settings=settings) as client:
        yield ClientTarget(client)


@asynccontextmanager
async def naive_target(proxy_url: str, timeout: float) -> AsyncGenerator[Target]:  # noqa: ASYNC109 (a setting)
    """Open a pool to the proxy; each lookup is a call, as in an app without the SDK."""
    async with _http(timeout) as http:
        yield HttpTarget("naive", f"{proxy_url}/_oxa_auth/get-me", http)


@asynccontextmanager
async def app_target(url: str, timeout: float, mock_url: str = "") -> AsyncGenerator[Target]:  # noqa: ASYNC109 (a setting)
    """Open a pool to a protected route."""
    async with _http(timeout) as http:
        yield AppTarget("app", url, http, mock_url=mock_url)


def _http(timeout: float) -> httpx.AsyncClient:
    return httpx.AsyncClient(limits=LIMITS, timeout=timeout, trust_env=False)


def is_url(text: str) -> bool:
    """Return whether this is an http or https URL without a user and password."""
    try:
        url = urlsplit(text)
        has_authority = bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    return has_authority and url.scheme in {"http", "https"} and "@" not in text


def is_reachable(url: str) -> bool:
    """Return whether anything answers at this URL, with any status."""
    try:
        httpx.get(url, timeout=CONTROL_TIMEOUT, trust_env=False)
    except (httpx.TransportError, httpx.InvalidURL):
        return False
    return True
