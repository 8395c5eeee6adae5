"""What a load goes through: the SDK's client, a protected app, or no SDK at all.

A target turns a token into a word: `accepted`, `rejected`, or the kind of error. No token and no
answer leaves it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

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
    from collections.abc import AsyncGenerator

    import httpx
else:
    httpx = import_module("httpx2" if find_spec("httpx2") else "httpx")  # as the SDK does

LIBRARY = f"{httpx.__name__} {httpx.__version__}"
CONNECTIONS = 100  # as many as the SDK opens by default
REJECTIONS = (401, 403)
PATIENCE = 5.0  # seconds


@frozen
class Counts:
    """What a target knows of itself; None: it does not know."""

    cache_hits: int | None = None
    joined: int | None = None
    upstream_calls: int | None = None
    waited: int = 0  # lookups that found none of the load's own connections free


class Asked(Protocol):
    """Something that tokens can be sent through."""

    async def ask(self, token: str) -> str: ...

    def calls(self) -> int | None:
        """Return the upstream calls so far, if it knows."""
        ...


class Target(Asked, Protocol):
    """It has a name, and tells in the end what it knows of itself."""

    name: str

    async def counts(self) -> Counts: ...


@define(eq=False)
class ClientTarget:
    """`ProxyAuthClient.get_me`, as workers call it."""

    client: ProxyAuthClient
    name: str = "client"

    async def ask(self, token: str) -> str:
        try:
            await self.client.get_me(token)
        except (OxaigenAuthUnauthenticatedError, OxaigenAuthPermissionDeniedError):
            return "rejected"
        except OxaigenAuthUpstreamError:
            return "unavailable"
        return "accepted"

    def calls(self) -> int:
        return self.client.stats().upstream_calls

    async def counts(self) -> Counts:
        stats = self.client.stats()
        return Counts(stats.hits, stats.coalesced, stats.upstream_calls)


@define(eq=False)
class HttpTarget:
    """A URL that wants a bearer token, asked once for each lookup over one connection pool.

    No more calls at once than connections: a pool with a queue of its own would collapse.
    """

    name: str
    url: str
    http: httpx.AsyncClient
    _turns: CapacityLimiter = field(factory=lambda: CapacityLimiter(CONNECTIONS))
    _calls: int = 0
    _waited: int = 0

    async def ask(self, token: str) -> str:
        self._waited += self._turns.available_tokens <= 0
        async with self._turns:
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
        """Tell whether a proxy's answer is a profile, as far as an app would look."""
        try:
            return isinstance(response.json(), dict)
        except ValueError:
            return False

    def calls(self) -> int | None:
        return self._calls

    async def counts(self) -> Counts:
        return Counts(0, 0, self._calls, self._waited)


@define(eq=False)
class AppTarget(HttpTarget):
    """A protected route; the mock that its app asks, if it is one, counts the upstream calls."""

    mock_url: str = ""

    def _is_expected(self, response: httpx.Response) -> bool:  # noqa: ARG002 (an app answers as it likes)
        return True

    def calls(self) -> int | None:
        return None

    async def counts(self) -> Counts:
        return Counts(upstream_calls=await self._upstream_calls(), waited=self._waited)

    async def _upstream_calls(self) -> int | None:
        """Ask the mock; a mock that gives no answer must not cost the other results."""
        if not self.mock_url:
            return None
        url = f"{self.mock_url}/_mock/api/calls"
        try:
            total: int = (await self.http.get(url, timeout=PATIENCE)).json()["total"]
        except (httpx.HTTPError, ValueError, KeyError):
            return None
        return total


@asynccontextmanager
async def through_client(proxy_url: str, timeout: float) -> AsyncGenerator[Target]:  # noqa: ASYNC109 (a setting)
    """Give a client with the SDK's defaults, but for the seconds that a lookup may take."""
    settings = OxaigenAuthSettings(proxy_timeout_seconds=timeout)
    async with ProxyAuthClient(proxy_url, settings=settings) as client:
        yield ClientTarget(client)


@asynccontextmanager
async def through_nothing(proxy_url: str, timeout: float) -> AsyncGenerator[Target]:  # noqa: ASYNC109 (a setting)
    """Give what an app does by hand: every lookup is a call of the proxy."""
    async with _http(timeout) as http:
        yield HttpTarget("naive", f"{proxy_url}/_oxa_auth/get-me", http)


@asynccontextmanager
async def through_app(
    url: str,
    timeout: float,  # noqa: ASYNC109 (a setting)
    mock_url: str = "",
) -> AsyncGenerator[Target]:
    """Give an app's route, which asks the proxy by whatever it has for that."""
    async with _http(timeout) as http:
        yield AppTarget("app", url, http, mock_url=mock_url)


async def is_there(url: str) -> bool:
    """Tell whether anything answers at this URL, whatever it says."""
    async with _http(PATIENCE) as http:
        try:
            await http.get(url)
        except (httpx.TransportError, httpx.InvalidURL):
            return False
        return True


def _http(seconds: float) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return httpx.AsyncClient(limits=limits, timeout=seconds, trust_env=False)
