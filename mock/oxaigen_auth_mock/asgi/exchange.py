"""One HTTP call and its response, for code that alters them."""

from collections.abc import Iterable, Sequence
from typing import Final

from anyio import CancelScope, create_task_group, get_cancelled_exc_class, sleep
from attrs import define, evolve, field, frozen
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth_mock.asgi import hypercorn_connections

Header = tuple[bytes, bytes]

NO_STORE: Final = {"Cache-Control": "no-store"}


def with_header(headers: Iterable[Header], name: bytes, value: bytes) -> list[Header]:
    """Return the headers with one header in place of all that have its name."""
    return [*(each for each in headers if each[0].lower() != name), (name, value)]


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the caller has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


@frozen
class BufferedResponse:
    """A complete response."""

    status: int
    headers: Sequence[Header]
    body: bytes = b""

    def with_content_length(self, size: int) -> "BufferedResponse":
        """Return the response with this Content-Length, whatever the size of its body."""
        headers = with_header(self.headers, b"content-length", str(size).encode())
        return evolve(self, headers=headers)


@define(eq=False)
class Exchange:
    """A call to an ASGI app.

    Attributes:
        disconnected: whether the caller is known to have disconnected.
        streamed: whether all chunks of a stream were sent.
    """

    _app: ASGIApp
    scope: Scope
    _receive: Receive
    send: Send
    disconnected: bool = field(default=False, init=False)
    streamed: bool = field(default=False, init=False)

    async def receive(self) -> Message:
        """Receive a message and note a disconnect, which servers report only once."""
        message = await self._receive()
        self.disconnected = message["type"] == "http.disconnect"
        return message

    async def read_request(self) -> None:
        """Read the body to its end; unread bytes would block or reset the connection."""
        while (await self.receive()).get("more_body", False):
            pass

    async def wait_for_disconnect(self) -> None:
        while not self.disconnected:
            await self.receive()

    async def run_app(self, send: Send) -> None:
        await self._app(self.scope, self.receive, send)

    async def buffer_response(self) -> BufferedResponse | None:
        """Run the app to its end and return its response, or None if it sent nothing."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self.run_app(collect)
        if not messages:
            return None
        body = b"".join(message.get("body", b"") for message in messages)
        return BufferedResponse(messages[0]["status"], messages[0].get("headers", ()), body)

    async def respond(self, response: ASGIApp) -> None:
        """Send a response of Starlette."""
        await response(self.scope, self.receive, self.send)

    async def start(self, response: BufferedResponse) -> None:
        """Send the status and headers of a response."""
        head = {"status": response.status, "headers": response.headers}
        await self.send({"type": "http.response.start", **head})

    async def send_chunk(self, body: bytes) -> None:
        """Send a part of a body that is not the last one."""
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def stream(
        self, head: BufferedResponse, chunks: Iterable[bytes], *, pause: float = 0
    ) -> None:
        """Send a body in chunks, with `pause` seconds before each, until the caller disconnects."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._cancel_on_disconnect, tasks.cancel_scope)
            await self.start(head)
            for chunk in chunks:
                await sleep(pause)
                await self.send_chunk(chunk)
            self.streamed = True
            tasks.cancel_scope.cancel()
        if not self.disconnected:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _cancel_on_disconnect(self, streaming: CancelScope) -> None:
        """Cancel the stream when the caller disconnects; drop the connection on cancellation.

        Without the drop, a stopping hypercorn on trio would wait forever for a caller that has
        stopped reading. Which of the two tasks is cancelled first depends on the event loop.
        """
        try:
            await self.wait_for_disconnect()
        except get_cancelled_exc_class():
            if not self.streamed:
                hypercorn_connections.drop(self.scope)
            raise
        streaming.cancel()
