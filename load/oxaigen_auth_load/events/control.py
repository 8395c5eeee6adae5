"""Calls of the embedded mock's control API."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from attrs import define

from oxaigen_auth_load.events.event import EventError
from oxaigen_auth_load.http_library import CONTROL_TIMEOUT, httpx


@define(eq=False)
class MockApi:
    """The control API. Each method raises `EventError` if the mock does not answer as expected."""

    _http: httpx.AsyncClient

    async def revoke(self, token: str) -> None:
        await self._call("POST", "revocations", {"token": token})

    async def add_fault(self, fault: Mapping[str, Any]) -> int:
        """Add a fault, and return its id."""
        added: int = (await self._call("POST", "faults", fault)).json()["id"]
        return added

    async def remove_fault(self, fault: int) -> None:
        await self._call("DELETE", f"faults/{fault}")

    async def calls(self) -> int:
        """Return the number of calls to the endpoints of the proxy so far."""
        total: int = (await self._call("GET", "calls")).json()["total"]
        return total

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        try:
            response = await self._http.request(method, f"/_mock/api/{path}", json=body)
            return response.raise_for_status()
        except httpx.HTTPError as error:
            raise EventError(f"the embedded mock failed: {method} {path}: {error!r}") from None


@asynccontextmanager
async def mock_api(url: str) -> AsyncGenerator[MockApi]:
    """Open the client before the event, so that the event takes no time of the event loop.

    The mock is at a loopback address without TLS, so certificates need not be read.
    """
    http = httpx.AsyncClient(
        base_url=url,
        timeout=CONTROL_TIMEOUT,
        trust_env=False,
        verify=False,
    )
    async with http:
        yield MockApi(http)
