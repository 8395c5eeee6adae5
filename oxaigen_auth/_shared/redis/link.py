"""The connection of one event loop: commands, events and heartbeats on one socket.

States of a link, all of which change without yielding to the event loop:

connecting  no connection, no failure yet. Callers wait.
live        subscribed. Callers use the connection; the listener is notified that events arrive.
failed      no connection; `_failure` says why. Callers fail at once. It tries again by itself.

A connection that is lost is replaced at once; after failures, with backoff. The answers on a
connection come in the order of the commands, and the library reads those of cancelled callers too.
So a caller can be cancelled at any time, and no one gets the answer of another. A server that stops
answering is noticed by the heartbeats, which then end the connection for all callers.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError, current_task
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from random import uniform
from time import monotonic
from typing import Protocol

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    fail_after,
    sleep,
)
from attrs import define, field
from coredis.connection import BaseConnection
from coredis.exceptions import ReadOnlyError, RedisError

from oxaigen_auth._core.background import (
    call_soon_threadsafe,
    running_loop,
    start_background_task,
)
from oxaigen_auth._shared.redis.errors import ConnectionLostError, describe, quiet
from oxaigen_auth._shared.redis.heartbeat import HEARTBEAT, watch
from oxaigen_auth._shared.store import SharedStoreError

CONNECT_TIMEOUT = 1.0  # seconds for connecting, and again for signing in and subscribing
FIRST_BACKOFF = 0.05  # seconds; doubled with each failure
MAX_BACKOFF = 0.5


class Subscriber(Protocol):
    """What a link tells the store."""

    def on_message(self, data: bytes) -> None: ...
    def on_live(self, link: RedisLink, *, live: bool) -> None: ...
    def on_end(self, link: RedisLink) -> None: ...
    async def send_pending(self, connection: BaseConnection) -> None:
        """Send all waiting events. May raise anything; then it is called again."""
        ...


@define(eq=False)
class RedisLink:
    """The link of one event loop to the server. It runs in a background task until it is closed."""

    channel: bytes
    connect: Callable[[], Awaitable[BaseConnection]]
    subscriber: Subscriber
    loop: object = field(factory=running_loop, init=False)
    _connection: BaseConnection | None = field(default=None, init=False)
    _failure: str | None = field(default=None, init=False)
    _changed: Event = field(factory=Event, init=False)
    _work: Event = field(factory=Event, init=False)
    _ended: Event = field(factory=Event, init=False)
    _scope: CancelScope = field(factory=CancelScope, init=False)
    _task: object = field(default=None, init=False)

    def open(self) -> None:
        self._task = start_background_task(self._run, self._end)

    async def aclose(self) -> None:
        """End the background task, and its connection with it."""
        self._scope.cancel()
        await self._ended.wait()

    async def connection(self) -> BaseConnection:
        """Return the connection; wait while it is being made for the first time.

        Raises:
            SharedStoreError: if it cannot be made.
        """
        while self._connection is None:
            if self._failure is not None:
                raise SharedStoreError(self._failure)
            await self._changed.wait()
        return self._connection

    def reconnect(self) -> None:
        """End the connection, so that a new one is made."""
        if self._connection is not None:
            self._connection.invalidate()

    def wake(self) -> None:
        """Let the events be sent that are waiting now. May be called in any thread."""
        call_soon_threadsafe(self.loop, self._start_sending)

    def _start_sending(self) -> None:
        self._work.set()

    async def _run(self) -> None:
        quiet.set(True)
        with self._scope:
            await self._keep_connected()

    async def _keep_connected(self) -> None:
        backoff = 0.0
        while True:
            began = monotonic()
            failure = await self._serve()
            _restore_cancellation()
            if monotonic() - began > 2 * CONNECT_TIMEOUT + HEARTBEAT:
                backoff = 0.0  # it was live for a while
            else:
                self._fail(failure)
                backoff = min(backoff * 2 or FIRST_BACKOFF, MAX_BACKOFF)
                await sleep(backoff * uniform(0.5, 1))  # noqa: S311 (many workers, one server)

    def _end(self) -> None:
        self._fail("the connection of this event loop is closed")
        self._ended.set()
        self.subscriber.on_end(self)

    async def _serve(self) -> str:
        """Connect, and return when the connection has ended. Return why."""
        failures: list[Exception] = []
        try:
            with fail_after(CONNECT_TIMEOUT):
                connection = await self.connect()
            await self._use(connection, failures)
            failures.append(ConnectionLostError("the connection was cancelled"))
        except Exception as error:  # noqa: BLE001 (whatever it is, users must be served)
            failures.append(error)
        return describe(failures[0])

    async def _use(self, connection: BaseConnection, failures: list[Exception]) -> None:
        ready = _Ready()
        async with create_task_group() as group:
            run_part = partial(self._run_part, connection, group.cancel_scope, failures)
            # `start()` would never return if asyncio cancels the task before its first step.
            group.start_soon(run_part, partial(_hold, ready=ready))
            with fail_after(CONNECT_TIMEOUT):
                await ready.wait()
                await self._subscribe(connection)
            self._set_live(connection)
            for part in (self._receive, watch, self._send):
                group.start_soon(run_part, part)

    async def _run_part(
        self,
        connection: BaseConnection,
        scope: CancelScope,
        failures: list[Exception],
        part: Callable[[BaseConnection], Awaitable[None]],
    ) -> None:
        """Run one of the tasks of a connection. Its end is the end of all of them."""
        try:
            await part(connection)
        except Exception as error:  # noqa: BLE001 (see above)
            failures.append(error)
        finally:
            self._lose(connection)
            scope.cancel()

    async def _subscribe(self, connection: BaseConnection) -> None:
        """Subscribe, before anything else is sent.

        Only a refusal is an answer in the order of the commands: the PING raises it.
        """
        connection.send_command(b"SUBSCRIBE", self.channel)
        await connection.create_request(b"PING")

    async def _receive(self, connection: BaseConnection) -> None:
        async with aclosing(connection.push_messages) as pushes:
            async for push in pushes:
                if push[0] == b"message" and isinstance(push[2], bytes):
                    self.subscriber.on_message(push[2])

    async def _send(self, connection: BaseConnection) -> None:
        backoff = 0.0
        while True:
            self._work = Event()
            try:
                await self.subscriber.send_pending(connection)
            except ReadOnlyError:
                raise  # after a failover, the name of the server may lead to another one
            except RedisError:
                backoff = min(backoff * 2 or FIRST_BACKOFF, MAX_BACKOFF)
                await sleep(backoff)
            else:
                backoff = 0.0
                await self._work.wait()

    def _set_live(self, connection: BaseConnection) -> None:
        self._connection, self._failure = connection, None
        self._notify()
        self.subscriber.on_live(self, live=True)

    def _lose(self, connection: BaseConnection) -> None:
        if self._connection is connection:
            self._connection = None
            self.subscriber.on_live(self, live=False)

    def _fail(self, failure: str) -> None:
        self._failure = failure
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = Event()


class _Ready:
    """What a connection calls when it is ready, instead of a task status of anyio."""

    def __init__(self) -> None:
        self._event = Event()
        self.wait = self._event.wait

    def started(self, value: None = None) -> None:  # noqa: ARG002 (as anyio's)
        self._event.set()


async def _hold(connection: BaseConnection, *, ready: _Ready) -> None:
    await connection.run(task_status=ready)
    raise ConnectionLostError("the server closed the connection")


def _restore_cancellation() -> None:
    """Raise a native cancellation of this task, for example because the event loop ends.

    A task group raises the errors of its tasks instead.
    """
    if isinstance(running_loop(), AbstractEventLoop):
        task = current_task()
        if task is not None and task.cancelling():
            raise CancelledError
