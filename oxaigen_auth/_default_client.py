"""The client that the dependencies share in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from oxaigen_auth._core.process_cache import clear_process_caches, process_cache
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.settings import default_settings

if TYPE_CHECKING:
    from oxaigen_auth._upstream.given_transport import Transport

default_transports: list[Transport] = []  # those of running tests; the last one is used


@process_cache
def default_client() -> ProxyAuthClient:
    """Return the client that the dependencies share in this process."""
    settings = default_settings()
    if not default_transports:
        return ProxyAuthClient(settings=settings)
    # What a fake proxy accepts must not be accepted in other processes.
    settings = evolve(settings, shared_store=None)
    return ProxyAuthClient(settings=settings, transport=default_transports[-1])


async def aclose_client() -> None:
    """Close the default client. The next use makes a new one and reads the settings again.

    Like `oxaigen_auth.testing.reset`, this also clears the process-wide caches.
    """
    client = default_client() if default_client.cache_info().currsize else None
    clear_process_caches()
    if client is not None:
        await client.aclose()
