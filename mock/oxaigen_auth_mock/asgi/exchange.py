"""One call of HTTP and its answer, for those who meddle with them. Knows nothing of faults."""

from collections.abc import Iterable, Sequence
from typing import Final

from anyio import CancelScope, create_task_group, get_cancelled_exc_class, sleep
from attrs import define, evolve, field, frozen
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth_mock.asgi import hypercorn_connections

Header = tuple[bytes, bytes]

NO_STORE: Final = {"Cache-Control": "no-store"}  # on answers that are good for one caller, once


def with_header(headers: Iterable[Header], name: bytes, value: bytes) -> list[Header]:
    """Put one header in the place of all that have its name."""
    return [*(each for each in headers if each[0].lower() != name), (name, value)]


async def until_left(receive: Receive) -> None:
    """Wait until the caller of a call has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


@frozen
class Answer:
    """What an app answered, or shall seem to have."""

    status: int
    headers: Sequence[Header]
    body: bytes = b""

    def announcing(self, size: int) -> "Answer":
        """Return it with a Content-Length of so many bytes, be it true or not."""
        headers = with_header(self.headers, b"content-length", str(size).encode())
        return evolve(self, headers=headers)


@define(eq=False)
class Exchange:
    """A call that came to an app. `left` tells whether its caller is known to have left.

    `streamed` tells whether all parts of a stream were sent.
    """

    _app: ASGIApp
    scope: Scope
    _receive: Receive
    send: Send
    left: bool = field(default=False, init=False)
    streamed: bool = field(default=False, init=False)

    async def receive(self) -> Message:
        """Receive as the app does, and remember that the caller has left: servers say it once."""
        message = await self._receive()
        self.left = message["type"] == "http.disconnect"
        return message

    async def read_request(self) -> None:
        """Read the body to its end: what is left unread clogs the connection, or resets it."""
        while (await self.receive()).get("more_body", False):
            pass

    async def wait_until_left(self) -> None:
        while not self.left:
            await self.receive()

    async def run_app(self, send: Send) -> None:
        await self._app(self.scope, self.receive, send)

    async def real_answer(self) -> Answer | None:
        """Run the app to its end and keep what it answers; None if that is nothing."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.run_app(keep)
        if not messages:
            return None
        body = b"".join(message.get("body", b"") for message in messages)
        return Answer(messages[0]["status"], messages[0].get("headers", ()), body)

    async def start(self, answer: Answer) -> None:
        """Send the head of an answer."""
        head = {"status": answer.status, "headers": answer.headers}
        await self.send({"type": "http.response.start", **head})

    async def send_part(self, body: bytes) -> None:
        """Send a part of a body, which is not the last."""
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def stream(self, head: Answer, parts: Iterable[bytes], *, pause: float = 0) -> None:
        """Send a body in parts as long as the caller is there, with `pause` seconds before each."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._watch, tasks.cancel_scope)
            await self.start(head)
            for part in parts:
                await sleep(pause)
                await self.send_part(part)
            self.streamed = True
            tasks.cancel_scope.cancel()
        if not self.left:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, streaming: CancelScope) -> None:
        """End the streaming when the caller leaves; drop the connection if the server stops.

        A stopping hypercorn on trio would wait forever for a caller that reads no more. Which of
        the two tasks is cancelled first is up to the event loop.
        """
        try:
            await self.wait_until_left()
        except get_cancelled_exc_class():
            if not self.streamed:
                hypercorn_connections.drop_of(self.scope)
            raise
        streaming.cancel()
