"""What one call to the proxy does with a connection that nobody uses; in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from attrs import define

from oxaigen_auth._upstream import proxy as proxy_module
from oxaigen_auth._upstream.proxy import Proxy, _Call
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio

CONNECTED = "connection.connect_tcp.complete"
SENDING = "http11.send_request_headers.started"


@define(eq=False)
class SlowToClose:
    """A connection that takes that many seconds to close."""

    seconds: float = 0.9
    closed: bool = False

    async def aclose(self) -> None:
        await anyio.sleep(self.seconds)
        self.closed = True


def watched() -> tuple[_Call, Callable[[str, dict[str, Any]], Awaitable[None]]]:
    """Return a call, and what the library calls with each event of it."""
    call, request = _Call(anyio.CancelScope()), httpx.Request("GET", "http://x")
    call.watch(request)
    return call, request.extensions["trace"]


async def test_a_connection_that_is_never_used_is_closed_although_the_call_is_cancelled() -> None:
    call, trace = watched()
    connection = SlowToClose()
    await trace(CONNECTED, {"return_value": connection})
    with anyio.CancelScope() as scope:
        scope.cancel()
        await call.close_unused()
    assert connection.closed


async def test_one_that_does_not_close_within_a_second_is_left_alone() -> None:
    call, trace = watched()
    connection = SlowToClose(60)
    await trace(CONNECTED, {"return_value": connection})
    start = anyio.current_time()
    await call.close_unused()
    assert anyio.current_time() - start == pytest.approx(1)
    assert not connection.closed


async def test_one_over_which_the_request_goes_is_the_librarys_to_close() -> None:
    call, trace = watched()
    connection = SlowToClose()
    await trace(CONNECTED, {"return_value": connection})
    await trace(SENDING, {})
    await call.close_unused()
    assert call.new_connection
    assert not connection.closed


async def test_a_call_over_a_connection_that_was_there_closes_nothing() -> None:
    call, trace = watched()
    await trace(SENDING, {})
    await call.close_unused()
    assert not call.new_connection


@define(eq=False)
class SurplusTransport(SlowToClose):
    """A transport of whose connection nobody knows what else came over it."""

    answered: Callable[[], None] = lambda: None

    async def handle_async_request(self, _: object) -> Any:
        await checkpoint()
        self.answered()
        return vars(proxy_module)["httpx"].Response(200, content=b"true")


async def test_a_transport_with_a_surplus_is_closed_although_the_call_is_cancelled() -> None:
    transport: Any = SurplusTransport()
    request: Any = httpx.Request("GET", "http://x")
    proxy = Proxy(5, None, lambda: None, refuse_mock=False)
    with anyio.CancelScope() as scope:
        transport.answered = scope.cancel
        await proxy._send(transport, _Call(scope), request)  # noqa: SLF001
    assert transport.closed
