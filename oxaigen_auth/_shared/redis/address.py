"""Connections to a Redis server."""

from __future__ import annotations

import ssl

from anyio import connect_tcp, connect_unix
from anyio.abc import ByteStream
from attrs import field, frozen
from coredis.connection import BaseConnection, TCPLocation, UnixDomainSocketLocation

from oxaigen_auth._syntax.shared_store_urls import RedisUrl


@frozen
class RedisAddress:
    """Where a server is, and how to sign in there.

    Args:
        ssl_context: for a URL with TLS. Default: trusts the authorities of the URL, or those of the
            system.
    """

    url: RedisUrl
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        context = None
        if self.url.is_tls:
            context = self.ssl_context or ssl.create_default_context(cafile=self.url.ca_file)
        object.__setattr__(self, "ssl_context", context)

    @property
    def location(self) -> TCPLocation | UnixDomainSocketLocation:
        if self.url.path:
            return UnixDomainSocketLocation(self.url.path)
        return TCPLocation(self.url.host, self.url.port)

    async def connect(self) -> RedisConnection:
        """Connect a socket. The connection signs in when it is run.

        Raises:
            OSError: if it cannot be connected, or the certificate is not trusted.
        """
        return RedisConnection(await self._connect_socket(), self)

    async def _connect_socket(self) -> ByteStream:
        if self.url.path:
            return await connect_unix(self.url.path)
        host, port = self.url.host, self.url.port
        if self.ssl_context is None:
            return await connect_tcp(host, port)
        return await connect_tcp(
            host, port, ssl_context=self.ssl_context, tls_standard_compatible=False
        )


class RedisConnection(BaseConnection):
    """A connection over a socket that is connected already, so that the library closes it.

    Its own connections leave streams unclosed, and log an error, if they cannot connect.
    """

    def __init__(self, stream: ByteStream, address: RedisAddress) -> None:
        super().__init__(
            address.location,
            username=address.url.username,
            password=address.url.password,
            db=address.url.database,
            client_name="oxaigen-auth",
        )
        self._stream = stream

    async def _connect(self) -> ByteStream:
        return self._stream

    def describe(self) -> str:
        return f"RedisConnection({self.location})"
