"""Close and reset the connection of a call; the only module that uses hypercorn's internals.

Without hypercorn, for example under httpx's ASGITransport, there is no connection to break. Then
the error is raised that a caller would see. A caller in the same process receives it; another
server treats it like any error of an app (uvicorn: a 500, or a broken connection once the response
has begun).
"""

import logging
import socket
import struct
from functools import cache
from typing import Any, Final, TypeAlias, cast

import hypercorn.asyncio.tcp_server
import hypercorn.trio.tcp_server
from hypercorn.events import Closed
from hypercorn.protocol.http_stream import HTTPStream
from starlette.types import Scope

SEND_KEY: Final = "oxaigen_auth_mock.send"  # the scope key of the server's own `send`
NO_LINGER: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: closing sends a reset

_logger = logging.getLogger("oxaigen_auth_mock")

AsyncioConnection: TypeAlias = hypercorn.asyncio.tcp_server.TCPServer
TrioConnection: TypeAlias = hypercorn.trio.tcp_server.TCPServer


def connection_of(scope: Scope) -> AsyncioConnection | TrioConnection | None:
    """Return hypercorn's connection object for a call, or None if hypercorn does not serve it."""
    stream = getattr(scope.get(SEND_KEY), "__self__", None)
    if not isinstance(stream, HTTPStream):
        return None
    try:
        protocol = cast("Any", stream.send).__self__
        return cast("AsyncioConnection | TrioConnection", protocol.send.__self__)
    except AttributeError:
        _warn_of_unknown_hypercorn()
        return None


@cache
def _warn_of_unknown_hypercorn() -> None:
    """Log once per process that the internals of hypercorn have changed."""
    _logger.warning("Faults cannot break connections: the mock does not support this hypercorn.")


async def close(scope: Scope) -> None:
    """Close the connection after what was sent; with HTTP/2 that ends its other calls too.

    Raises:
        ConnectionAbortedError: hypercorn does not serve the call.
    """
    connection = connection_of(scope)
    if connection is None:
        raise ConnectionAbortedError("A fault of the mock closed the connection.")
    await connection.protocol.handle(Closed())  # otherwise hypercorn answers 500 for the app
    async with connection.send_lock:  # hypercorn on trio crashes if two tasks send
        await connection.protocol_send(Closed())


async def reset(scope: Scope) -> None:
    """Break the connection with a TCP reset.

    Raises:
        ConnectionResetError: hypercorn does not serve the call.
    """
    connection = drop(scope)
    if connection is None:
        raise ConnectionResetError("A fault of the mock reset the connection.")
    await connection.protocol.handle(Closed())


def drop(scope: Scope) -> AsyncioConnection | TrioConnection | None:
    """Reset the connection of a call at once, if it has one, and return it.

    Data that hypercorn still buffers is not sent.
    """
    connection = connection_of(scope)
    if isinstance(connection, TrioConnection):
        stream = cast("Any", connection.stream)
        sock = getattr(stream, "transport_stream", stream).socket  # below TLS
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        sock.close()
    elif connection is not None:
        sock = connection.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        connection.writer.transport.abort()
    return connection
