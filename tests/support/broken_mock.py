"""A mock that injects a test's faults into every call."""

from collections.abc import Sequence
from contextlib import suppress

from anyio import BrokenResourceError, EndOfStream, Event
from anyio.abc import ByteReceiveStream
from attrs import define, field
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.faults.base import inject_faults
from oxaigen_auth_mock.faults.kinds import Fault


def healthy_app() -> FastAPI:
    return create_app(MockSettings())


@define(eq=False)
class BrokenMock:
    """Injects the faults into each call, and adds the header `x-marked` to each response.

    `begun` and `ended` are set by the first call.
    """

    faults: Sequence[Fault]
    app: FastAPI = field(factory=healthy_app)
    scopes: list[Scope] = field(factory=list[Scope])
    begun: Event = field(factory=Event)
    ended: Event = field(factory=Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-marked", b"1")]}
            await send(message)

        scope["oxaigen_auth_mock.send"] = send
        self.scopes.append(scope)
        self.begun.set()
        try:
            await inject_faults(self.faults, self.app, scope, receive, marked)
        finally:
            self.ended.set()

    @property
    def side_effects(self) -> int:
        """How many calls have reached the healthy mock."""
        total: int = self.app.state.mock.journal.counts.report()["total"]
        return total


async def receive_all(stream: ByteReceiveStream) -> tuple[bytes, BaseException | None]:
    """Receive until the end; return the data and the root cause of an error, None for EOF."""
    data = b""
    cause: BaseException | None = None
    with suppress(EndOfStream):
        try:
            while True:
                data += await stream.receive()
        except BrokenResourceError as error:
            cause = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
    return data, cause
