"""The client of a process and the background thread with its event loop, for synchronous code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from threading import Lock, Thread, local
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal
from attrs import define, field

from oxaigen_auth._core.background import call_soon_threadsafe, in_event_loop, running_loop
from oxaigen_auth._core.process_cache import process_cache
from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth._upstream.proxy import default_ssl_context
from oxaigen_auth._validation.loop_state import client_closed
from oxaigen_auth._validation.question import Question
from oxaigen_auth.client import ProxyAuthClient

T = TypeVar("T")

JOIN_TIMEOUT = 5.0  # seconds


class _Thread(local):
    """The state of one thread."""

    is_calling = False


@define(eq=False)
class Worker:
    """The client of one process, and the thread with its event loop.

    Calls take locks, and wait for the event loop, which may need those locks. So in one thread, no
    call may interrupt another one, as from a signal handler or `__del__`: `call` raises instead. A
    `close` that interrupts a call waits for nothing: the interrupted call closes when it ends.

    No call starts after `_close`, which takes the lock: the event loop would never run it.
    """

    client: ProxyAuthClient
    _lock: Lock = field(factory=Lock, init=False)
    _loop: BackgroundLoop | None = field(default=None, init=False)
    _thread: _Thread = field(factory=_Thread, init=False)
    _must_close: bool = field(default=False, init=False)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function that may take locks or wait.

        Raises:
            RuntimeError: this interrupts another call, or the interpreter exits.
        """
        if sys.is_finalizing():  # the other threads have stopped, perhaps with a lock
            raise RuntimeError("BlockingProxyAuthClient cannot be used while the interpreter exits")
        if self._thread.is_calling:
            raise RuntimeError(
                "A signal handler or __del__ interrupted a call of this BlockingProxyAuthClient: "
                "there, it can only call close()."
            )
        try:
            self._thread.is_calling = True
            return function()
        finally:
            self._thread.is_calling = False
            if self._must_close:
                self.close()

    def validate(self, question: Question, bearer_token: str, *, fresh: bool = False) -> Any:
        """Return the verdict from the cache, or else from a lookup in the event loop."""
        try:
            return self.call(
                lambda: self._validate(question, bearer_token, fresh=fresh)  # noqa: F821 (deleted later)
            )
        finally:
            del bearer_token  # it also empties the closure

    def _validate(self, question: Question, bearer_token: str, *, fresh: bool) -> Any:
        validator = self.client.validator
        try:
            verdict = None if fresh else validator.cached(question, bearer_token)
            return verdict or self._run(
                lambda: validator.validate(question, bearer_token, fresh=fresh)  # noqa: F821 (deleted later)
            )
        finally:
            del bearer_token  # it also empties the closure, which the event loop's frames hold

    def forget(self, forget: Callable[[], None]) -> None:
        """Forget something, and let the event loop send it to the shared store, if there is one."""

        def forget_and_send() -> None:
            forget()
            validator = self.client.validator
            with self._lock:
                if validator.shared is not None and not validator.loops.closed:
                    self._loop = self._loop or BackgroundLoop(self.client)

        self.call(forget_and_send)

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call a function in the event loop. If this thread is interrupted, cancel the call."""
        return self.call(lambda: self._run(function))

    def _run(self, function: Callable[[], Awaitable[T]]) -> T:
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
        """Close the client, or let the call do so that this interrupts."""
        self._must_close = True
        if not (self._thread.is_calling or sys.is_finalizing()):
            self.call(self._close)

    def _close(self) -> None:
        self._must_close = False
        with self._lock:
            self.client.validator.loops.closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop_soon()
            # It cannot end if it needs a lock that this thread holds, such as one of `logging`.
            loop.thread.join(JOIN_TIMEOUT)

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


@process_cache  # a fork in another thread waits for it
def prepare_process() -> None:
    """Import and initialize in advance what the background threads need.

    If a thread imports a module, or initializes OpenSSL, while another one forks, the child has
    half of it, and waits forever for a lock that nobody releases.
    """
    import_module("anyio._backends._asyncio")  # as `anyio.run` does
    import_module("encodings.idna")  # as `socket.getaddrinfo` does
    httpx.AsyncHTTPTransport(verify=False)  # it imports the rest, and sends nothing
    asyncio.new_event_loop().close()
    with suppress(OSError):  # an error is logged with the first call that needs the certificates
        default_ssl_context()
