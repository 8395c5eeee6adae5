"""The HTTP library without the SDK, and a process in which only one HTTP library can be imported.

Must not import the SDK, which chooses its HTTP library when it is imported.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.proxy_process import SPAWN

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

T = TypeVar("T")

TIMEOUT = 60.0  # seconds: longer than the last lookup of a burst waits


def in_process_with(library: str, function: Callable[..., T], *args: Any) -> T:
    """Call a function in a new process, in which the SDK uses this library."""
    pool = ProcessPoolExecutor(1, mp_context=SPAWN, initializer=_hide, initargs=(library,))
    with pool:
        return pool.submit(function, *args).result()


def _hide(library: str) -> None:
    """Make importing httpx2 fail if httpx is to be used. Runs before anything else is imported."""
    if library == "httpx":
        vars(sys)["modules"]["httpx2"] = None


def bare_client(connections: int) -> httpx.AsyncClient:
    """Return a client of the library that the SDK uses, with a pool of this size."""
    http = _library()
    limits = http.Limits(max_connections=connections, max_keepalive_connections=connections)
    client: httpx.AsyncClient = http.AsyncClient(limits=limits, timeout=TIMEOUT, trust_env=False)
    return client


async def bare_get(client: httpx.AsyncClient, url: str, token: str) -> bytes:
    headers = {"Accept": "application/json", "Authorization": f"Bearer {token}"}
    answer = await client.get(f"{url}/_oxa_auth/get-me", headers=headers)
    return answer.raise_for_status().content


def _library() -> Any:
    try:
        import httpx2  # noqa: PLC0415 (only one can be imported)
    except ImportError:
        import httpx  # noqa: PLC0415

        return httpx
    return httpx2
