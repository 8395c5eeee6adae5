"""An HTTP/1.1 connection, and the answers that it receives."""

import select
from collections.abc import Callable
from typing import Protocol

from anyio import EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from attrs import define, field, frozen
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

CHUNK = 65536  # bytes
MAX_ANSWER = 10_000_000  # bytes
MIN_FINAL_STATUS = 200  # lower ones precede another answer


class RequestTimeoutError(Exception):
    """A request was not answered in time."""


class ConnectionFailedError(Exception):
    """No connection could be made, or it ended before the answer did."""


class ProtocolError(Exception):
    """An answer is not HTTP, or is too long."""


class InvalidTokenError(Exception):
    """A token cannot be in a header."""


@frozen
class Response:
    """An answer.

    Attributes:
        headers: their names in lower case.
        connection: the number of the connection that carried it; one process of the server answers
            all requests of a connection.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    connection: int

    def header(self, name: bytes) -> bytes | None:
        return next((value for known, value in self.headers if known == name), None)


class _Parser(Protocol):
    def feed_data(self, data: bytes) -> None: ...
    def get_status_code(self) -> int: ...
    def should_keep_alive(self) -> bool: ...


@define(eq=False)
class Connection:
    """A connection, and the answer that it is receiving. The parser calls the `on_…` methods."""

    stream: ByteStream
    number: int
    received: int = field(default=0, init=False)
    keeps_alive: bool = field(default=False, init=False)
    _parser: _Parser = field(init=False)
    _poll: select.poll = field(factory=select.poll, init=False)
    _headers: list[tuple[bytes, bytes]] = field(factory=list, init=False)
    _body: list[bytes] = field(factory=list, init=False)
    _has_headers: bool = field(default=False, init=False)
    _is_complete: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._parser = HttpResponseParser(self)
        raw_socket = self.stream.extra(SocketAttribute.raw_socket)  # noqa: S610 (not Django's)
        self._poll.register(raw_socket, select.POLLIN)

    def has_unread(self) -> bool:
        """Return whether something has arrived since the last answer: data, or the end."""
        return bool(self._poll.poll(0))

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise ProtocolError("more than an answer")
        self._headers, self._body, self._has_headers = [], [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_headers:  # otherwise it is a trailer
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._has_headers = True

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._is_complete = self._parser.get_status_code() >= MIN_FINAL_STATUS
        self.keeps_alive = self._parser.should_keep_alive()

    async def call(self, request: bytes, on_sent: Callable[[], None]) -> Response:
        """Send a request, and receive its answer.

        Raises:
            ProtocolError: the answer is not HTTP, or too long.
            EndOfStream, BrokenResourceError, OSError: the connection ended.
        """
        self.received, self.keeps_alive, self._is_complete = 0, False, False
        await self.stream.send(request)
        on_sent()
        while not self._is_complete:
            await self._receive()
        status = self._parser.get_status_code()
        return Response(status, tuple(self._headers), b"".join(self._body), self.number)

    async def _receive(self) -> None:
        try:
            data = await self.stream.receive(CHUNK)
        except EndOfStream:
            if not self._ends_with_the_connection():
                raise
            self._is_complete = True
            return
        self.received += len(data)
        if self.received > MAX_ANSWER:
            raise ProtocolError(f"an answer has more than {MAX_ANSWER:,} bytes")
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.keeps_alive = False
            if not self._is_complete:
                raise ProtocolError(f"an answer is not HTTP/1.1: {error}") from error

    def _ends_with_the_connection(self) -> bool:
        names = {name for name, _ in self._headers}
        return self._has_headers and not names & {b"content-length", b"transfer-encoding"}
