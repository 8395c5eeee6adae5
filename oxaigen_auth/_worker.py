"""The client of a process and the background thread with its event loop, for synchronous code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal
from attrs import define, field

from oxaigen_auth._core.background import call_soon_threadsafe, in_event_loop, running_loop
from oxaigen_auth._validation.loop_state import client_closed
from oxaigen_auth._validation.question import Question
from oxaigen_auth.client import ProxyAuthClient

T = TypeVar("T")


@define(eq=False)
class Worker:
    """The client of one process, and the thread with its event loop.

    No call starts after `close`, which takes the lock: the event loop would never run it.
    """

    client: ProxyAuthClient
    _lock: Lock = field(factory=Lock, init=False)
    _loop: BackgroundLoop | None = field(default=None, init=False)

    def validate(self, question: Question, bearer_token: str, *, fresh: bool = False) -> Any:
        """Return the verdict from the cache, or else from a lookup in the event loop."""
        validator = self.client.validator
        try:
            verdict = None if fresh else validator.cached(question, bearer_token)
            return verdict or self.run(
                lambda: validator.validate(question, bearer_token, fresh=fresh)  # noqa: F821 (deleted later)
            )
        finally:
            del bearer_token  # it also empties the closure, which the event loop's frames hold

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call a function in the event loop. If this thread is interrupted, cancel the call."""
        if in_event_loop():
            raise RuntimeError(
                "BlockingProxyAuthClient would block the event loop that runs in this thread: use "
                "ProxyAuthClient and await its methods, or call this one in a worker thread, as in "
                "await anyio.to_thread.run_sync(client.get_me, token)."
            )
        with self._lock:
            if self.client.validator.loops.closed:
                raise client_closed()
            if self._loop is None:
                self._loop = BackgroundLoop(self.client)
            future = self._loop.portal.start_task_soon(function)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # no effect if it is done
            raise

    def close(self) -> None:
        with self._lock:
            self.client.validator.loops.closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop_soon()
            loop.thread.join()

    def stop_soon(self) -> None:
        if self._loop is not None:
            self._loop.stop_soon()


class BackgroundLoop:
    """An asyncio event loop in a daemon thread, in which a client is open.

    Unlike `anyio.from_thread.start_blocking_portal`, it can be abandoned: whatever is left of it
    when the interpreter exits, or is garbage-collected in any thread, waits for no thread.
    """

    def __init__(self, client: ProxyAuthClient) -> None:
        self._client = client
        self._started: Future[BlockingPortal] = Future()
        self.thread = Thread(target=self._run, name="oxaigen-auth", daemon=True)
        try:
            self.thread.start()
            self.portal = self._started.result()
        except BaseException:
            self._started.cancel()  # an interrupted thread waits no longer
            raise

    def stop_soon(self) -> None:
        """End the event loop, from any thread, without waiting for its end."""
        call_soon_threadsafe(self._native_loop, self._stop.set)

    def _run(self) -> None:
        try:
            anyio.run(self._serve, backend="asyncio")
        except Exception as error:  # noqa: BLE001 (such as too many open files: the caller gets it)
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._native_loop, self._stop = running_loop(), anyio.Event()
        async with BlockingPortal() as portal:
            if self._started.set_running_or_notify_cancel():
                self._started.set_result(portal)
                async with self._client:
                    await self._stop.wait()
