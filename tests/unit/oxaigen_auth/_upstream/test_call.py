"""What a call to the proxy does with connections that it does not use, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import define

from oxaigen_auth._upstream.call import Call
from oxaigen_auth._upstream.http_library import httpx as library
from oxaigen_auth._validation.observer import Observer
from tests.support.virtual_time import SlowToClose
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxaigen_auth._upstream.response import Answer
    from oxaigen_auth._validation.verdict import Unavailable

pytestmark = pytest.mark.anyio

CONNECTED = "connection.connect_tcp.complete"
SENDING = "http11.send_request_headers.started"


@define(eq=False)
class Transport(SlowToClose):
    """A transport that reports `events`, then answers, or raises `error`."""

    events: tuple[tuple[str, dict[str, Any]], ...] = ()
    on_answer: Callable[[], None] = lambda: None
    error: BaseException | None = None

    async def handle_async_request(self, request: Any) -> Any:
        await checkpoint()
        for event in self.events:
            await request.extensions["trace"](*event)
        self.on_answer()
        if self.error is not None:
            await checkpoint()
            raise self.error
        return library.Response(200, content=b"true")


async def send(transport: Any, scope: anyio.CancelScope) -> Answer | Unavailable:
    call = Call(scope, Observer(), refuse_mock=False)
    return await call.send(transport, library.Request("GET", "http://x"))


async def test_a_connection_that_is_never_used_is_closed_although_the_call_is_cancelled() -> None:
    connection = SlowToClose()
    transport = Transport(
        events=((CONNECTED, {"return_value": connection}),), error=ConnectionError()
    )
    with anyio.CancelScope() as scope:
        transport.on_answer = scope.cancel
        await send(transport, scope)
    assert connection.closed


async def test_closing_an_unused_connection_is_given_up_after_a_second() -> None:
    connection = SlowToClose(60)
    transport = Transport(
        events=((CONNECTED, {"return_value": connection}),), error=ConnectionError()
    )
    start = anyio.current_time()
    with pytest.raises(ConnectionError):
        await send(transport, anyio.CancelScope())
    assert anyio.current_time() - start == pytest.approx(1)
    assert not connection.closed


async def test_a_connection_with_a_request_on_it_is_closed_by_the_library() -> None:
    connection = SlowToClose()
    events: Any = ((CONNECTED, {"return_value": connection}), (SENDING, {}))
    with pytest.raises(ConnectionError):
        await send(Transport(events=events, error=ConnectionError()), anyio.CancelScope())
    assert not connection.closed


async def test_a_transport_with_trailing_data_is_closed_although_the_call_is_cancelled() -> None:
    transport = Transport()  # nothing tells whether there is any
    with anyio.CancelScope() as scope:
        transport.on_answer = scope.cancel
        await send(transport, scope)
    assert transport.closed
