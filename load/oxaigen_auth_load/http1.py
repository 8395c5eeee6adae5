"""Connections over which a load calls one URL: HTTP/1.1 with as little work per call as possible.

They are used in turn, so that all processes of an app that share a port get a part of the load.

A connection carries one request at a time. It is used again after a complete answer that keeps it
open, and closed in all other cases, so that no caller gets the answer of another.
"""

import ssl
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from string import punctuation
from urllib.parse import quote, urlsplit

from anyio import (
    BrokenResourceError,
    CapacityLimiter,
    ClosedResourceError,
    EndOfStream,
    Semaphore,
    WouldBlock,
    aclose_forcefully,
    connect_tcp,
    create_task_group,
    fail_after,
)
from anyio.abc import ByteStream
from attrs import define, field

from oxaigen_auth_load.http1_connection import (
    Connection,
    ConnectionFailedError,
    InvalidTokenError,
    RequestTimeoutError,
    Response,
)

PORTS = {"http": 80, "https": 443}
MAX_CONNECTING = 100  # at a time
TRANSPORT_ERRORS = (BrokenResourceError, ClosedResourceError, EndOfStream, OSError)


@define(eq=False)
class ConnectionPool:
    """Connections to one URL, without proxies of the environment.

    Attributes:
        timeout: of a request in seconds, with the time for a connection.
        max_connections: further requests wait for one of these.
        waited: the number of requests that waited for one.
        open_connections: the number of those that are open now, in use or not.
    """

    url: str
    timeout: float
    max_connections: int
    waited: int = field(default=0, init=False)
    open_connections: int = field(default=0, init=False)
    _opened: int = field(default=0, init=False)
    _idle: deque[Connection] = field(factory=deque, init=False)
    _in_use: Semaphore = field(init=False)
    _host: str = field(init=False)
    _port: int = field(init=False)
    _tls: ssl.SSLContext | None = field(init=False)
    _head: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        url = urlsplit(self.url)
        self._host, self._port = url.hostname or "", url.port or PORTS[url.scheme]
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._in_use = Semaphore(self.max_connections, fast_acquire=True)
        path = quote(f"{url.path or '/'}{'?' if url.query else ''}{url.query}", punctuation)
        self._head = (
            f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: application/json\r\n"
            "User-Agent: oxaigen-auth-load\r\nAuthorization: Bearer "
        ).encode()

    async def open(self, number: int) -> None:
        """Open this many connections in advance, at most as many as are allowed.

        Raises:
            ConnectionFailedError: one cannot be made.
            RequestTimeoutError: they take longer than a request may.
        """
        limiter, failures = CapacityLimiter(MAX_CONNECTING), list[Exception]()

        async def connect() -> None:
            try:
                async with limiter:
                    self._idle.append(await self._connect())
            except TRANSPORT_ERRORS as error:
                failures.append(error)

        with self._failures(), fail_after(self.timeout):
            async with create_task_group() as group:
                for _ in range(min(number, self.max_connections)):
                    group.start_soon(connect)
            for failure in failures:
                raise failure

    async def get(self, token: str, on_sent: Callable[[], None] = lambda: None) -> Response:
        """Send a request with a bearer token, and return the answer.

        Args:
            token: the bearer token.
            on_sent: called when the request is written, and again if it is repeated.

        Raises:
            InvalidTokenError: the token cannot be in a header.
            RequestTimeoutError: there is no answer in time.
            ConnectionFailedError: the connection failed.
            ProtocolError: the answer is not HTTP, or too long.
        """
        if not token.isprintable():
            raise InvalidTokenError("the token has characters that a header cannot have")
        request = b"%b%b\r\n\r\n" % (self._head, token.encode())
        with self._failures(), fail_after(self.timeout):
            try:
                self._in_use.acquire_nowait()
            except WouldBlock:
                self.waited += 1
                await self._in_use.acquire()
            try:
                return await self._call(request, on_sent)
            finally:
                self._in_use.release()

    async def aclose(self) -> None:
        while self._idle:
            await self._close(self._idle.popleft())

    async def _call(self, request: bytes, on_sent: Callable[[], None]) -> Response:
        """Repeat a request on a new connection if the server had closed the old one."""
        connection = await self._take_idle()
        if connection is not None:
            try:
                return await self._use(connection, request, on_sent)
            except TRANSPORT_ERRORS:
                if connection.received:
                    raise
        return await self._use(await self._connect(), request, on_sent)

    async def _take_idle(self) -> Connection | None:
        """Return an idle connection, and close those on which something has arrived.

        That would be read as the next answer. With TLS it may be a session ticket.
        """
        while self._idle:
            connection = self._idle.popleft()
            if self._tls is not None or not connection.has_unread():
                return connection
            await self._close(connection)
        return None

    async def _use(
        self, connection: Connection, request: bytes, on_sent: Callable[[], None]
    ) -> Response:
        try:
            response = await connection.call(request, on_sent)
        except BaseException:
            await self._close(connection)  # noqa: ASYNC102 (it does not wait)
            raise
        if connection.keeps_alive:
            self._idle.append(connection)
        else:
            await self._close(connection)
        return response

    async def _connect(self) -> Connection:
        if self._tls is None:
            stream: ByteStream = await connect_tcp(self._host, self._port)
        else:
            stream = await connect_tcp(
                self._host, self._port, ssl_context=self._tls, tls_standard_compatible=False
            )
        self._opened += 1
        self.open_connections += 1
        return Connection(stream, self._opened)

    async def _close(self, connection: Connection) -> None:
        self.open_connections -= 1
        await aclose_forcefully(connection.stream)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise RequestTimeoutError("no answer in time") from error
        except TRANSPORT_ERRORS as error:
            raise ConnectionFailedError(str(error)) from error
