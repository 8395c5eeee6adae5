"""Breaks the connection that a call came on: the one place that knows hypercorn from the inside.

In a process without hypercorn there is no connection to break. Then the error that a caller would
see is raised: a caller in the same process gets it, another server makes of it what it makes of
any error of an app (uvicorn: a 500, or a broken connection once the answer has begun).
"""

import socket
import struct
from typing import Any, Final, TypeAlias, cast

import hypercorn.asyncio.tcp_server
import hypercorn.trio.tcp_server
from hypercorn.events import Closed
from hypercorn.protocol.http_stream import HTTPStream
from starlette.types import Scope

SEND: Final = "oxaigen_auth_mock.send"  # where a call's scope has the server's own `send`
NO_LINGER: Final = struct.pack("ii", 1, 0)  # on, for 0 seconds: what closes, resets

AsyncioConnection: TypeAlias = hypercorn.asyncio.tcp_server.TCPServer
TrioConnection: TypeAlias = hypercorn.trio.tcp_server.TCPServer


def connection_of(scope: Scope) -> AsyncioConnection | TrioConnection | None:
    """Find hypercorn's end of a call's connection; None where no hypercorn serves the call."""
    stream = getattr(scope.get(SEND), "__self__", None)
    if not isinstance(stream, HTTPStream):
        return None
    protocol = _owner(stream.send)
    return cast("AsyncioConnection | TrioConnection", _owner(protocol.send))


def _owner(method: Any) -> Any:
    return method.__self__


async def close(scope: Scope) -> None:
    """Close the connection behind what was sent; with HTTP/2 that ends its other calls too.

    Raises:
        ConnectionAbortedError: there is no connection.
    """
    connection = connection_of(scope)
    if connection is None:
        raise ConnectionAbortedError("The mock closed the connection, as a fault tells it to.")
    await connection.protocol.handle(Closed())  # lest it answer 500 in the app's place
    async with connection.send_lock:  # hypercorn on trio fails as a whole if it sends meanwhile
        await connection.protocol_send(Closed())


async def reset(scope: Scope) -> None:
    """Break the connection with a TCP reset.

    Raises:
        ConnectionResetError: there is no connection.
    """
    connection = connection_of(scope)
    if connection is None:
        raise ConnectionResetError("The mock reset the connection, as a fault tells it to.")
    drop(connection)
    await connection.protocol.handle(Closed())


def drop_of(scope: Scope) -> None:
    """Reset a call's connection at once, if it has one."""
    connection = connection_of(scope)
    if connection is not None:
        drop(connection)


def drop(connection: AsyncioConnection | TrioConnection) -> None:
    """Reset it at once: what hypercorn has not handed to the system by now is never sent."""
    if isinstance(connection, TrioConnection):
        sock = cast("Any", connection.stream).socket
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        sock.close()
        return
    sock = connection.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    connection.writer.transport.abort()
