"""BlockingProxyAuthClient: ProxyAuthClient for code without an event loop.

A hit reads the cache in the calling thread. All else runs in one event loop in a background thread,
which starts with the first lookup, so threads share lookups and connections as tasks do.

A fork copies neither that thread nor a consistent state of its locks. So each process has a
`Worker` of its own, found by the process ID: servers such as uWSGI fork without running the
functions of `os.register_at_fork`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from os import getpid
from ssl import SSLContext
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, Self
from weakref import finalize

from oxaigen_auth._syntax.tokens import check_permission_name
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.verdict import Accepted, Verdict, unwrap
from oxaigen_auth._worker import Worker, prepare_process
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings
from oxaigen_auth.stats import ClientStats

if TYPE_CHECKING:
    from oxaigen_auth._upstream.given_transport import Transport


class BlockingProxyAuthClient:
    """Validates bearer tokens from synchronous code: Django, Flask, Celery, scripts.

    Like `ProxyAuthClient`, for threads: they share its cache, and concurrent lookups of one token
    make one call. A lookup blocks the calling thread. After a fork, the child has a client of its
    own, with an empty cache. The background thread ends with `close()`, with the `with` block, or
    with the process.

    Args:
        proxy_base_url: the URL of the proxy. Default: from the settings.
        settings: Default: from the environment (`OxaigenAuthSettings.from_env`).
        ssl_context: for proxies with a private certificate authority. Default: the system's
            certificates.
        clock: returns seconds, for the age of cached answers. Must be monotonic.
        wall_clock: returns seconds since the epoch, for the `exp` of JWTs.
        observers: are notified of what happens, in the background thread; of hits, in the thread
            of the caller.
        transport: see `ProxyAuthClient`.

    Raises:
        OxaigenAuthConfigurationError: the environment holds invalid settings.
        ValueError: `proxy_base_url` is not an http or https URL.
        TypeError: `settings`, an observer or the transport has the wrong type.

    >>> def show(token: str) -> None:
    ...     with BlockingProxyAuthClient("https://app.example.com") as client:
    ...         user = client.get_me(token)
    ...         print(user.user_name, client.stats().upstream_calls)
    """

    def __init__(  # noqa: PLR0913 (as for `ProxyAuthClient`)
        self,
        proxy_base_url: str | None = None,
        *,
        settings: OxaigenAuthSettings | None = None,
        ssl_context: SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        observers: Iterable[Observer] = (),
        transport: Transport | None = None,
    ) -> None:
        new_client = partial(
            ProxyAuthClient,
            proxy_base_url,
            ssl_context=ssl_context,
            clock=clock,
            wall_clock=wall_clock,
            observers=tuple(observers),
            transport=transport,
        )
        client = new_client(settings=settings)
        self._new_client = partial(new_client, settings=client.settings)
        prepare_process()
        self._closed = False
        # A child keeps its parent's worker: to finalize an event loop that runs elsewhere warns.
        self._workers = {getpid(): Worker(client)}
        finalize(self, _stop, self._workers).atexit = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End running lookups and connections; every later call raises `RuntimeError`.

        In a child of a fork, this closes the client of the child. In a signal handler that
        interrupts a call, the client is closed when that call ends.
        """
        self._closed = True
        self._worker().close()

    def get_me(
        self, bearer_token: str, *, proxy_base_url: str | None = None, fresh: bool = False
    ) -> User:
        """Return the bearer of a token, as `ProxyAuthClient.get_me` does.

        Args:
            bearer_token: the token alone, without `Bearer`.
            proxy_base_url: the URL of the proxy. Default: that of the client.
            fresh: ask the proxy now, and use neither the cache nor a lookup that runs already.

        Raises:
            OxaigenAuthUnauthenticatedError: the proxy rejected the token.
            OxaigenAuthPermissionDeniedError: the token is valid, but not for this app.
            OxaigenAuthUpstreamError: the proxy gave no usable answer.
            OxaigenAuthConfigurationError: the URL of the proxy is unknown.
            RuntimeError: the client is closed, a lookup would block this thread's event loop, or
                this interrupts another call, as in a signal handler.

        >>> def greet(client: BlockingProxyAuthClient, token: str) -> str:
        ...     return f"Hello {client.get_me(token).user_name}"
        """
        try:
            worker = self._worker()
            question = worker.client.question(bearer_token, proxy_base_url)
            verdict: Verdict[User] = worker.validate(question, bearer_token, fresh=fresh)
        except BaseException as error:
            clear_frames(error.__traceback__)
            raise
        finally:
            del bearer_token  # a traceback that is kept would keep it
        return unwrap(verdict)

    def test_permission(
        self,
        bearer_token: str,
        permission_name: str,
        *,
        proxy_base_url: str | None = None,
        fresh: bool = False,
    ) -> bool:
        """Return whether the bearer holds a permission, as `ProxyAuthClient.test_permission` does.

        Identifies the user first, as `get_me` does. `fresh` concerns the permission only.

        Raises:
            ValueError: the name is not of the form `[A-Za-z0-9_-]+`.
            OxaigenAuthUnauthenticatedError: the proxy rejected the token.
            OxaigenAuthPermissionDeniedError: the token is valid, but not for this app.
            OxaigenAuthUpstreamError: the proxy gave no usable answer.
            OxaigenAuthConfigurationError: the URL of the proxy is unknown.
            RuntimeError: the client is closed, a lookup would block this thread's event loop, or
                this interrupts another call, as in a signal handler.

        >>> def may_audit(client: BlockingProxyAuthClient, token: str) -> bool:
        ...     return client.test_permission(token, "audit")
        """
        try:
            name = check_permission_name(permission_name)
            worker = self._worker()
            user = worker.client.question(bearer_token, proxy_base_url)
            verdict: Verdict[Any] = worker.validate(user, bearer_token)
            if isinstance(verdict, Accepted):
                question = user.about(name)
                verdict = worker.validate(question, bearer_token, fresh=fresh)
                worker.client.validator.report_refusal(question, verdict)
        except BaseException as error:
            clear_frames(error.__traceback__)
            raise
        finally:
            del bearer_token  # a traceback that is kept would keep it
        return bool(unwrap(verdict))

    def forget(self, bearer_token: str) -> None:
        """Discard all cached answers about a token that was signed out or revoked.

        Raises:
            RuntimeError: this interrupts another call, as in a signal handler.
        """
        try:
            worker = self._worker()
            worker.forget(partial(worker.client.forget, bearer_token))
        except BaseException as error:
            clear_frames(error.__traceback__)
            raise
        finally:
            del bearer_token  # a traceback that is kept would keep it

    def forget_user(self, user_id: int, *, proxy_base_url: str | None = None) -> None:
        """Discard all cached answers about the tokens of a user.

        As `ProxyAuthClient.forget_user` does.

        Raises:
            OxaigenAuthConfigurationError: the URL of the proxy is unknown.
            TypeError: `user_id` is no integer.
            RuntimeError: this interrupts another call, as in a signal handler.
        """
        worker = self._worker()
        forget = partial(worker.client.forget_user, user_id, proxy_base_url=proxy_base_url)
        worker.forget(forget)

    def forget_all(self) -> None:
        """Discard all cached answers, as `ProxyAuthClient.forget_all` does.

        Raises:
            RuntimeError: this interrupts another call, as in a signal handler.
        """
        worker = self._worker()
        worker.forget(worker.client.forget_all)

    def ping(self, *, proxy_base_url: str | None = None) -> bool:
        """Return whether the proxy answers, as `ProxyAuthClient.ping` does.

        Raises:
            OxaigenAuthConfigurationError: the URL of the proxy is unknown.
            ValueError: `proxy_base_url` is not an http or https URL.
            RuntimeError: the client is closed, the ping would block this thread's event loop, or
                this interrupts another call, as in a signal handler.

        >>> def is_ready(client: BlockingProxyAuthClient) -> bool:
        ...     return client.ping()
        """
        worker = self._worker()
        question = worker.client.question("", proxy_base_url)
        return worker.run(partial(worker.client.validator.pings.ping, question))

    def stats(self) -> ClientStats:
        """Return a copy of the counts. A child of a fork counts anew."""
        return self._worker().client.stats()

    def _worker(self) -> Worker:
        """Return the worker of this process."""
        pid = getpid()
        worker = self._workers.get(pid)
        if worker is None:  # this is a child of a fork
            worker = self._workers.setdefault(pid, Worker(self._new_client()))
            worker.client.validator.loops.closed |= self._closed
        return worker


def _stop(workers: dict[int, Worker]) -> None:
    """Stop the event loop of a client that was garbage-collected without `close`."""
    worker = workers.get(getpid())
    if worker is not None:
        worker.stop_soon()
