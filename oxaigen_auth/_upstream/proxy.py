"""Asks proxies over HTTP: each call is bounded in time and size, and becomes a verdict.

It uses the HTTP library's transport, not its client: a transport follows no redirect, keeps no
cookie, and reads no proxy or .netrc from the environment, so that a token goes to the auth proxy
and nowhere else.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from ssl import SSLContext
from typing import Any

from anyio import CancelScope, current_time
from anyio.lowlevel import checkpoint
from attrs import define, field

from oxaigen_auth._upstream.call import TOO_LARGE, Call
from oxaigen_auth._upstream.failures import why_it_failed
from oxaigen_auth._upstream.given_transport import GivenTransport, Transport
from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth._upstream.request import build_request
from oxaigen_auth._upstream.resolver import Resolver, ResolverBusyError, use_resolver
from oxaigen_auth._upstream.response import Answer, AnswerError, read_permission, read_user
from oxaigen_auth._upstream.transport_pool import TransportPool
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Question, Secret
from oxaigen_auth._validation.verdict import Unavailable, Verdict
from oxaigen_auth.settings import OxaigenAuthSettings

KEEPALIVE = 5.0  # seconds
MAX_HOSTS = 8  # with a kept-alive connection, per transport


@define(eq=False)
class Proxy:
    """Asks proxies over connections that belong to the current event loop.

    Does not limit the number of calls: the caller does.

    Args:
        settings: the timeout covers a whole call, from the caller's arrival to the last byte. In
            production, every answer of the mock is *unavailable*.
        ssl_context: None: the system's certificates.
        observer: is notified of each request that is sent, and of its answer.
        transport: for all calls. None: a pool of transports of its own.
    """

    settings: OxaigenAuthSettings
    ssl_context: SSLContext | None
    observer: Observer
    transport: Transport | None = None
    _resolver: Resolver = field(factory=Resolver, init=False)
    _transports: TransportPool[Transport] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._transports = TransportPool(self._new_transport, KEEPALIVE)

    def _new_transport(self) -> Transport:
        """Make a transport for one call at a time.

        A single transport for all would search all its connections several times for each call,
        which from about ten of them on takes most of the time.
        """
        if self.transport is not None:
            return GivenTransport(self.transport)
        transport = httpx.AsyncHTTPTransport(
            verify=self.ssl_context or default_ssl_context(),
            limits=httpx.Limits(max_keepalive_connections=MAX_HOSTS, keepalive_expiry=KEEPALIVE),
        )
        use_resolver(transport, self._resolver)
        return transport

    async def ask(
        self, question: Question, secret: Secret, *, since: float | None = None
    ) -> Verdict[Any]:
        """Return the proxy's verdict.

        `since` is when the timeout started, on the event loop's clock; None: now.
        """
        answer = await self._call(question, secret, since)
        if isinstance(answer, Unavailable):
            return answer
        return (read_permission if question.permission else read_user)(answer, secret)

    def prepare(self) -> None:
        """Read the system's certificates now, and not within the timeout of the first call.

        An error is logged with the first call that needs them.
        """
        if self.ssl_context is None and self.transport is None:
            with suppress(OSError):
                default_ssl_context()

    async def aclose(self) -> None:
        await self._transports.aclose()

    async def _call(
        self, question: Question, secret: Secret, since: float | None
    ) -> Answer | Unavailable:
        """Return the complete answer, or *unavailable* for any failure."""
        timeout = self.settings.proxy_timeout_seconds
        began = current_time()
        start = began if since is None else since
        with CancelScope(deadline=start + timeout) as scope:
            is_ours = self.transport is None
            refuse_mock = self.settings.is_production
            call = Call(scope, self.observer, refuse_mock, keeps_connections=is_ours)
            try:
                if scope.cancel_called:
                    await checkpoint()
                await self._transports.evict_idle()
                with self._transports.checkout() as transport:
                    return await call.send(transport, build_request(question, secret))
            except AnswerError as error:
                return Unavailable(str(error))
            except ResolverBusyError as error:
                return Unavailable(str(error), timed_out=True, reason="overloaded")
            except Exception as error:  # noqa: BLE001 (any failure means that nothing is known)
                return Unavailable(why_it_failed(error), is_outage=True, reason="unreachable")
        if call.too_large:
            return Unavailable(TOO_LARGE)
        # If the call spent most of the time in a queue of this client, the proxy may be fine.
        is_outage = began - start <= timeout / 2
        detail = f"there was no answer within {timeout:g} seconds"
        return Unavailable(detail, is_outage=is_outage, timed_out=True, reason="timeout")


@cache
def default_ssl_context() -> SSLContext:
    """Return a context with the system's certificates."""
    return httpx.create_ssl_context()
