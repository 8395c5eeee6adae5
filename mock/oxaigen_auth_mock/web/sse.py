"""Server-sent events for the control page (HTML Living Standard §9.2)."""

import json
from typing import Any, Final

from anyio import create_task_group, get_cancelled_exc_class, move_on_after, sleep
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from oxaigen_auth_mock.asgi import hypercorn_connections
from oxaigen_auth_mock.asgi.exchange import NO_STORE, wait_for_disconnect
from oxaigen_auth_mock.playback import catch_up, seconds_to_next
from oxaigen_auth_mock.state import MockState
from oxaigen_auth_mock.web.views import calls_view, state_view

MIN_INTERVAL: Final = 0.1  # seconds between two batches of events; a burst of calls is one batch
HEARTBEAT: Final = 15.0  # seconds of silence after which a comment is sent, to keep proxies open


class EventStream(StreamingResponse):
    """Send the state and the calls, then their changes, until the client disconnects.

    One task sends and another waits for the disconnect; the first to end cancels the other. When
    the mock stops, the connection is dropped, because hypercorn on trio would wait forever for a
    page that has stopped reading. Per page, only the number of the last change it got is stored.
    It wakes up for the steps of a scenario, which nothing else may apply at their times.
    """

    def __init__(self, state: MockState) -> None:
        super().__init__((), headers=NO_STORE, media_type="text/event-stream")
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with create_task_group() as tasks:
            tasks.start_soon(self._send_events, send)
            try:
                await wait_for_disconnect(receive)
            except get_cancelled_exc_class():
                hypercorn_connections.drop(scope)
                raise
            tasks.cancel_scope.cancel()

    async def _send_events(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sent = -1
        while True:
            catch_up(self._state)
            version = self._state.changes.version
            for event in self._events_since(sent):
                await send({"type": "http.response.body", "body": event, "more_body": True})
            sent = version
            await sleep(MIN_INTERVAL)
            with move_on_after(min(HEARTBEAT, seconds_to_next(self._state))) as silence:
                await self._state.changes.wait_past(sent)
            if silence.cancelled_caught:
                await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})

    def _events_since(self, version: int) -> list[bytes]:
        """Return the events for later changes. Calls change the counts of faults in `state`."""
        if self._state.changes.version <= version:
            return []
        events = [_event("calls", calls_view(self._state, since=version))]
        if self._state.state_version > version or self._state.faults.faults:
            events.insert(0, _event("state", state_view(self._state)))
        return events


def _event(name: str, data: dict[str, Any]) -> bytes:
    """Format an event; `json.dumps` puts its data on one line."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
