"""How faults are injected into a call, and the base classes of the ways to do so."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth_mock.asgi.exchange import BufferedResponse, Exchange
from oxaigen_auth_mock.faults.match import BaseFault, TimedFault


async def inject_faults(
    faults: Sequence[BaseFault], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer an HTTP call with faults.

    Args:
        faults: the faults that `FaultPlan.apply` returned: at most one that is not stackable.
        app: answers the call without faults.
        scope: the scope of the call, with the server's own `send` at `SEND_KEY`; without it no
            connection can be broken.
        receive: the call's own.
        send: receives the response, also that of a fault; may be wrapped.

    Raises:
        ConnectionResetError: a fault resets the connection, but hypercorn does not serve the call.
        ConnectionAbortedError: the same for a fault that closes the connection.
    """
    for fault in sorted(faults, key=lambda fault: fault.stackable):
        app = partial(_inject, fault, app)
    await app(scope, receive, send)


async def _inject(
    fault: BaseFault, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    await fault.inject(Exchange(app, scope, receive, send))


class HeadFault(BaseFault):
    """A fault that changes the status or headers of the response."""

    @abstractmethod
    def alter_head(self, start: Message) -> Message:
        """Return the `http.response.start` message to send instead."""
        ...

    async def inject(self, exchange: Exchange) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = self.alter_head(message)
            await exchange.send(message)

        await exchange.run_app(send)


class BodyFault(BaseFault):
    """A fault that changes the body of the response, or the way it is sent."""

    @abstractmethod
    async def alter_body(self, exchange: Exchange, response: BufferedResponse) -> None:
        """Send the response with its body altered."""
        ...

    async def inject(self, exchange: Exchange) -> None:
        response = await exchange.buffer_response()
        if response is not None:
            await self.alter_body(exchange, response)


class ReplacementFault(TimedFault):
    """A fault that answers instead of the app. With `when="after"` the app runs first."""

    @abstractmethod
    async def replace_response(self, exchange: Exchange) -> None:
        """Send another response, or break the connection."""
        ...

    async def inject(self, exchange: Exchange) -> None:
        if self.when == "after":
            await exchange.buffer_response()
        else:
            await exchange.read_request()
        await self.replace_response(exchange)
