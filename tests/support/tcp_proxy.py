"""A TCP proxy that delays, drops in silence, resets, or refuses."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator


@define(eq=False)
class _Pair:
    """A connection of a client and the one to the server. Two threads copy between them."""

    client: socket.socket
    server: socket.socket
    cut_up: bool = False  # from the client to the server
    cut_down: bool = False

    def reset(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads
            with suppress(OSError):
                end.close()


@define(eq=False)
class TcpProxy:
    """Forwards connections to a port of the loopback interface.

    `delay`: seconds by which each piece of data is late. `silent`: all data is dropped, also that
    of new connections. `refusing`: new connections are closed at once.
    """

    target: int
    delay: float = 0.0
    silent: bool = False
    refusing: bool = False
    _listener: socket.socket = field(init=False)
    _pairs: list[_Pair] = field(factory=list, init=False)
    _closed: Event = field(factory=Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def cut(self, *, up: bool = True, down: bool = True) -> None:
        """Drop in silence what the present connections carry, in one direction or both."""
        for pair in self._pairs:
            pair.cut_up, pair.cut_down = up, down

    def reset(self) -> None:
        """End the present connections with RST."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.reset()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            pair = _Pair(client, socket.create_connection(("127.0.0.1", self.target)))
            self._pairs.append(pair)
            Thread(target=self._copy_up, args=[pair], daemon=True).start()
            Thread(target=self._copy_down, args=[pair], daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RD)
        self._listener.close()
        self.reset()

    def _copy_up(self, pair: _Pair) -> None:
        for data in _received(pair.client):
            self._closed.wait(self.delay)
            if not (pair.cut_up or self.silent):
                _send(pair.server, data)

    def _copy_down(self, pair: _Pair) -> None:
        for data in _received(pair.server):
            self._closed.wait(self.delay)
            if not (pair.cut_down or self.silent):
                _send(pair.client, data)
        if not (pair.cut_down or self.silent):
            with suppress(OSError):
                pair.client.shutdown(socket.SHUT_WR)


def _received(connection: socket.socket) -> Iterator[bytes]:
    with suppress(OSError):
        while data := connection.recv(65536):
            yield data


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        connection.sendall(data)


@contextmanager
def tcp_proxy(target: int) -> Iterator[TcpProxy]:
    """Serve on a free port until the block ends."""
    proxy = TcpProxy(target)
    thread = Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
