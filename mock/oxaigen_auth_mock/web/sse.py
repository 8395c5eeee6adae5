"""Tells a page what happens in a mock, as server-sent events (HTML Living Standard §9.2)."""

import json
from typing import Any, Final

from anyio import create_task_group, get_cancelled_exc_class, move_on_after, sleep
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from oxaigen_auth_mock.asgi import hypercorn_connections
from oxaigen_auth_mock.asgi.exchange import NO_STORE, until_left
from oxaigen_auth_mock.state import MockProxy
from oxaigen_auth_mock.web.views import calls_of, state_of

PAUSE: Final = 0.1  # seconds between two tellings, so that a burst of calls is told at once
HEARTBEAT: Final = 15.0  # seconds after which silence is broken, for proxies that end idle streams


class Events(StreamingResponse):
    """An answer that goes on until its client leaves: first all there is, then what is new.

    It is a task of its own beside the one that waits for the client to leave; the first to end
    ends the other. When the mock stops, the connection is dropped: hypercorn on trio would wait
    forever for a page that reads no more. Nothing is kept per page but the number of the last
    change that it was told.
    """

    def __init__(self, proxy: MockProxy) -> None:
        super().__init__((), headers=NO_STORE, media_type="text/event-stream")
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with create_task_group() as tasks:
            tasks.start_soon(self._tell, send)
            try:
                await until_left(receive)
            except get_cancelled_exc_class():
                hypercorn_connections.drop_of(scope)
                raise
            tasks.cancel_scope.cancel()

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        told = -1
        while True:
            now = self._proxy.changes.version
            for event in self._news(told):
                await send({"type": "http.response.body", "body": event, "more_body": True})
            told = now
            await sleep(PAUSE)
            with move_on_after(HEARTBEAT) as silence:
                await self._proxy.changes.beyond(told)
            if silence.cancelled_caught:
                await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})

    def _news(self, told: int) -> list[bytes]:
        """Render what has changed since; calls change the counts of faults, so that both go."""
        if self._proxy.changes.version <= told:
            return []
        events = [_event("calls", calls_of(self._proxy, since=told))]
        if self._proxy.state_version > told or self._proxy.faults.faults:
            events.insert(0, _event("state", state_of(self._proxy)))
        return events


def _event(name: str, data: dict[str, Any]) -> bytes:
    """Write an event; JSON has no line breaks of its own."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
