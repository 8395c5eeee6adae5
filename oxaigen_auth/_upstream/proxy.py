"""The two HTTP calls to the proxy, each bounded in time, size and number → verdicts.

The only module that knows the HTTP library. It drives the library's transport, not its client:
a transport follows no redirect, keeps no cookie and reads no proxy or .netrc from the environment,
so that no credential goes anywhere but to the proxy.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

from anyio import CancelScope, current_time, move_on_after
from anyio.lowlevel import checkpoint
from attrs import define, field

from oxaigen_auth._core.background import CLOSE_TIMEOUT
from oxaigen_auth._upstream.failures import why_it_failed
from oxaigen_auth._upstream.resolver import Resolver, ResolverBusyError, use_resolver
from oxaigen_auth._upstream.response import (
    MAX_BODY,
    MOCK_HEADER,
    MOCKED,
    Answer,
    AnswerError,
    read_permission,
    read_user,
)
from oxaigen_auth._upstream.transport_pool import Lanes
from oxaigen_auth._validation.verdict import Unavailable
from oxaigen_auth._version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
    from ssl import SSLContext

    import httpx
    from anyio.abc import AsyncResource

    from oxaigen_auth._validation.verdict import Verdict
    from oxaigen_auth.models import User
else:
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx

KEEPALIVE = 5.0  # seconds
MAX_HOSTS = 8  # to which a transport keeps a connection

_TOO_LARGE = f"the body is larger than {MAX_BODY} bytes"

# What a kept-alive connection shows when the other side closed it before our request came.
_DEAD = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


@define(eq=False)
class Proxy:
    """Calls proxies over connections that belong to the current event loop.

    `timeout` is in seconds and bounds a whole call, from when the caller began to wait for its turn
    to the last byte. `on_call` is called for each request that goes out. `refuse_mock` makes every
    answer of the mock *unavailable*. How many calls run at once is the caller's business.
    """

    timeout: float
    ssl_context: SSLContext | None
    on_call: Callable[[], None]
    refuse_mock: bool = field(kw_only=True)
    _resolver: Resolver = field(factory=Resolver, init=False)
    _lanes: Lanes[httpx.AsyncHTTPTransport] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lanes = Lanes(self._new_transport, KEEPALIVE)

    def _new_transport(self) -> httpx.AsyncHTTPTransport:
        """Make a transport for one call at a time.

        One for all would go through all its connections several times for each call, which from
        about ten of them on takes most of the time.
        """
        transport = httpx.AsyncHTTPTransport(
            verify=self.ssl_context or _default_ssl_context(),
            limits=httpx.Limits(max_keepalive_connections=MAX_HOSTS, keepalive_expiry=KEEPALIVE),
        )
        use_resolver(transport, self._resolver)
        return transport

    async def get_me(
        self, base_url: str, token: str, *, since: float | None = None
    ) -> Verdict[User]:
        """Ask who the bearer of the token is.

        `since` is when the timeout began to count, on the event loop's clock; None: now.
        """
        answer = await self._ask("GET", f"{base_url}/_oxa_auth/get-me", token, since)
        return answer if isinstance(answer, Unavailable) else read_user(answer, token)

    async def test_permission(
        self, base_url: str, token: str, name: str, *, since: float | None = None
    ) -> Verdict[bool]:
        """Ask whether the bearer holds a permission."""
        url = f"{base_url}/_oxa_auth/test-app-permission/{name}"
        answer = await self._ask("POST", url, token, since)
        return answer if isinstance(answer, Unavailable) else read_permission(answer, token)

    async def aclose(self) -> None:
        await self._lanes.aclose()

    async def _ask(
        self, method: str, url: str, token: str, since: float | None
    ) -> Answer | Unavailable:
        """Return the complete answer; whatever keeps it from coming is *unavailable*."""
        began = current_time()
        start = began if since is None else since
        with CancelScope(deadline=start + self.timeout) as scope:
            call = _Call(scope)
            try:
                if scope.cancel_called:
                    await checkpoint()
                await self._lanes.close_stale()
                with self._lanes.take() as transport:
                    return await self._call(transport, call, _request(method, url, token))
            except AnswerError as error:
                return Unavailable(str(error))
            except ResolverBusyError as error:
                return Unavailable(str(error), timed_out=True)
            except Exception as error:  # noqa: BLE001 (whatever it was, nothing is known)
                return Unavailable(why_it_failed(error), is_outage=True)
        if call.too_large:
            return Unavailable(_TOO_LARGE)
        # A call that spent most of its time in a queue of ours says nothing about the proxy.
        is_outage = began - start <= self.timeout / 2
        reason = f"there was no answer within {self.timeout:g} seconds"
        return Unavailable(reason, is_outage=is_outage, timed_out=True)

    async def _call(
        self, transport: httpx.AsyncHTTPTransport, call: _Call, request: httpx.Request
    ) -> Answer | Unavailable:
        """Send a request, once more if the kept-alive connection it went out on was dead."""
        try:
            return await self._send(transport, call, request)
        except _DEAD as error:
            if call.new_connection or call.answered or not _was_dead(error):
                raise
        return await self._send(transport, call, request)

    async def _send(
        self, transport: httpx.AsyncHTTPTransport, call: _Call, request: httpx.Request
    ) -> Answer | Unavailable:
        call.watch(request)
        self.on_call()
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            await call.close_unused()  # noqa: ASYNC102 (shielded there)
            raise
        call.answered = True
        async with aclosing(response):
            if self.refuse_mock and MOCK_HEADER in response.headers:
                return MOCKED  # whatever is, or is wrong, in its body
            body = await call.read(response)
        if _has_surplus(response):
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await transport.aclose()
        return Answer(response.status_code, response.headers, body)


@define(eq=False)
class _Call:
    """What became of a call so far. `scope` is what it runs in."""

    scope: CancelScope
    new_connection: bool = False
    answered: bool = False
    too_large: bool = False
    _unused: AsyncResource | None = field(default=None, init=False)
    _extensions: dict[str, Any] = field(factory=dict, init=False)

    def watch(self, request: httpx.Request) -> None:
        """Learn whether the request opens a connection."""
        self._extensions = request.extensions
        self._extensions["trace"] = self._trace

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self.new_connection = True
            self._unused = info["return_value"]
        elif event == "http11.send_request_headers.started":
            self._unused = None
            # The library awaits this for each event; there is nothing more to learn.
            self._extensions.pop("trace", None)

    async def close_unused(self) -> None:
        """Close a connection that the library gave up before it used it, and would leave open.

        It does so when it is cancelled during the TLS handshake.
        """
        if self._unused is not None:
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._unused.aclose()

    async def read(self, response: httpx.Response) -> bytes:
        """Return the body as it came. One that is too large is cut off by cancelling the call.

        Leaving the loop instead would abandon the library's nested generators half-way.
        """
        body = bytearray()
        async for chunk in cast("AsyncIterable[bytes]", response.stream):
            body += chunk
            if len(body) > MAX_BODY:
                self.too_large = True
                self.scope.cancel()
        if len(body) > MAX_BODY:  # and complete, so that there was nothing left to cancel
            raise AnswerError(_TOO_LARGE)
        return bytes(body)


def _has_surplus(response: httpx.Response) -> bool:
    """Tell whether more came along with an answer: the next call would take it for its own.

    The library keeps it, and says so nowhere in public. Should it change inside, no connection is
    used twice, and a test fails.
    """
    stream: Any = response.stream
    try:
        surplus, _ = stream._httpcore_stream._stream._connection._h11_state.trailing_data  # noqa: SLF001
    except AttributeError:
        return True
    return bool(surplus)


def _was_dead(error: Exception) -> bool:
    """Tell the end of a connection from an answer that was no HTTP."""
    is_protocol_error = isinstance(error, httpx.RemoteProtocolError)
    return not is_protocol_error or str(error).startswith("Server disconnected")


_HEADERS = (
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", f"oxaigen-auth/{__version__}".encode()),
)


def _request(method: str, url: str, token: str) -> httpx.Request:
    """Return a request that is complete, so that the library has nothing to add to it."""
    parsed, headers = _prepared(method, url)
    authorization = (b"Authorization", b"Bearer " + token.encode())
    return httpx.Request(method, parsed, headers=[*headers, authorization], stream=_NO_BODY)


@lru_cache(maxsize=256)
def _prepared(method: str, url: str) -> tuple[httpx.URL, list[tuple[bytes, bytes]]]:
    """Return what is the same for every token."""
    parsed = httpx.URL(url)
    length = [(b"Content-Length", b"0")] if method == "POST" else []  # RFC 9110 §8.6
    return parsed, [(b"Host", parsed.netloc), *_HEADERS, *length]


class _NoBody(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncGenerator[bytes]:
        return
        yield


_NO_BODY = _NoBody()


def load_certificates() -> None:
    """Read the system's certificates now, and not within the deadline of the first lookup.

    What keeps them from being read is logged with the lookup that needs them.
    """
    with suppress(OSError):
        _default_ssl_context()


@cache
def _default_ssl_context() -> SSLContext:
    return httpx.create_ssl_context()
