"""What a Redis server says about itself, for an operator."""

from __future__ import annotations

import ssl
import time
from typing import Any

from attrs import frozen
from coredis import Redis
from coredis.exceptions import RedisError
from coredis.retry import NoRetryPolicy

from oxaigen_auth._syntax.shared_store_urls import RedisUrl


@frozen
class ServerFacts:
    """
    Attributes:
        version: such as "Redis 7.2.4".
        max_memory: bytes; 0 if it is not limited, or not known.
        used_memory: bytes.
        policy: what the server does when its memory is full, such as "noeviction".
        ahead: by how many seconds the server's clock is ahead of that of this host.
        accuracy: by how many seconds `ahead` may be wrong.
    """  # noqa: D205, D212

    version: str
    max_memory: int
    used_memory: int
    policy: str
    ahead: float
    accuracy: float


async def read_facts(url: RedisUrl) -> ServerFacts | None:
    """Connect, and return what the server says; None if its user may not ask that."""
    async with _client(url) as client:
        began = time.time()
        try:
            info: dict[str, Any] = await client.info("server", "memory")
        except RedisError:
            return None
        ended = time.time()
    name = "Valkey" if "valkey_version" in info else "Redis"
    return ServerFacts(
        f"{name} {info.get('valkey_version') or info.get('redis_version')}",
        int(info.get("maxmemory", 0)),
        int(info.get("used_memory", 0)),
        str(info.get("maxmemory_policy", "")),
        int(info.get("server_time_usec", 0)) / 1e6 - (began + ended) / 2,
        (ended - began) / 2,
    )


def _client(url: RedisUrl) -> Redis[str]:
    context = ssl.create_default_context(cafile=url.ca_file) if url.is_tls else None
    return Redis(
        url.host,
        url.port,
        url.database,
        username=url.username,
        password=url.password,
        unix_socket_path=url.path or None,
        ssl_context=context,
        decode_responses=True,
        verify_version=False,
        retry_policy=NoRetryPolicy(),
    )
