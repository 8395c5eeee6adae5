"""A server of plain sockets and threads, for which a test chooses every byte."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import contextmanager, suppress
from itertools import repeat
from threading import Thread
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ssl import SSLContext

    Behaviour = Callable[[socket.socket, bytes], None]

LONGEST = 20  # seconds that a connection lasts at most


def answer(body: bytes, status: int = 200, *fields: bytes, length: object = None) -> bytes:
    """Return a whole answer. `length` replaces the length of the body."""
    stated = len(body) if length is None else length
    head = [f"HTTP/1.1 {status} Reason".encode(), f"Content-Length: {stated}".encode(), *fields]
    return b"\r\n".join([*head, b"", body])


def number_in(request: bytes) -> int:
    """Return the number at the end of the bearer token."""
    token = request.lower().partition(b"authorization: bearer ")[2].partition(b"\r\n")[0]
    return int(token.rpartition(b"-")[2])


def profile(number: int) -> bytes:
    return b'{"is_authenticated": true, "user_name": "user%d"}' % number


def good(peer: socket.socket, request: bytes) -> None:
    """Answer as a proxy that accepts every token and grants every permission."""
    peer.sendall(answer(profile(number_in(request)) if request.startswith(b"GET") else b"true"))


def sends(*parts: bytes) -> Behaviour:
    """Send this, and leave the connection open."""

    def behave(peer: socket.socket, _: bytes) -> None:
        for part in parts:
            peer.sendall(part)

    return behave


def closes_after(*parts: bytes) -> Behaviour:
    def behave(peer: socket.socket, _: bytes) -> None:
        for part in parts:
            peer.sendall(part)
        peer.close()

    return behave


def resets_after(part: bytes) -> Behaviour:
    def behave(peer: socket.socket, _: bytes) -> None:
        peer.sendall(part)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    return behave


def drips(head: bytes, part: bytes = b"a", pause: float = 0.05) -> Behaviour:
    """Send a part every `pause` seconds, until the peer is gone."""
    return sends_for_ever(head, repeat(part), pause)


def sends_for_ever(head: bytes, parts: Iterable[bytes], pause: float = 0.0) -> Behaviour:
    def behave(peer: socket.socket, _: bytes) -> None:
        peer.sendall(head)
        for part in parts:  # pragma: no branch (it ends when the peer is gone)
            peer.sendall(part)
            time.sleep(pause)

    return behave


def afterwards(part: bytes, pause: float) -> Behaviour:
    """Answer well, and once more without a request."""

    def behave(peer: socket.socket, request: bytes) -> None:
        good(peer, request)
        time.sleep(pause)
        peer.sendall(part)

    return behave


@define(eq=False)
class FaultyServer:
    """Passes each request to the current `behave`."""

    listener: socket.socket
    ssl_context: SSLContext | None = None
    behave: Behaviour = good
    requests: list[bytes] = field(factory=list)
    behaving: set[socket.socket] = field(factory=set)  # connections with a running `behave`

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def run(self) -> None:
        with suppress(OSError):  # raised when the listener is shut down
            while True:
                peer, _ = self.listener.accept()
                Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        peer.settimeout(LONGEST)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # small parts arrive at once
        with peer, suppress(OSError):
            if self.ssl_context is None:
                self._converse(peer)
            else:
                with self.ssl_context.wrap_socket(peer, server_side=True) as secure:
                    self._converse(secure)

    def _converse(self, peer: socket.socket) -> None:
        request = b""
        while data := peer.recv(65536):
            request += data
            if request.endswith(b"\r\n\r\n"):
                self.requests.append(request)
                self._behave(peer, request)
                request = b""

    def _behave(self, peer: socket.socket, request: bytes) -> None:
        self.behaving.add(peer)
        try:
            self.behave(peer, request)
        finally:
            self.behaving.discard(peer)


@contextmanager
def faulty_server(ssl_context: SSLContext | None = None) -> Iterator[FaultyServer]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = FaultyServer(listener, ssl_context)
        thread = Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
