"""Failures of a Redis server, as sentences for an operator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from coredis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 (the library's)
    ReadOnlyError,
    RedisClusterError,
    ResponseError,
    UnknownCommandError,
)

from oxaigen_auth._shared.store import SharedStoreError

Method = TypeVar("Method", bound=Callable[..., Coroutine[Any, Any, Any]])

MAX_MESSAGE = 200  # characters of the server's own text

_ADVICE: dict[type[Exception], str] = {
    AuthenticationError: "the server refuses the user or the password",
    AuthorizationError: "the server's user lacks a permission",
    BusyLoadingError: "the server is still loading its data",
    ReadOnlyError: "the server is a read-only replica",
    RedisClusterError: "the server belongs to a cluster; it must be a single primary",
    UnknownCommandError: "the server does not know a command; it needs Redis 6.2, or Valkey",
}


_REFUSED_IN_SCRIPT = "user executing the script can't"


class ConnectionLostError(Exception):
    """The connection has ended, or the server is silent."""


class Reconnecting(Protocol):
    """What has methods that talk to the server."""

    def reconnect(self) -> None: ...


def translated(method: Method) -> Method:
    """Raise `SharedStoreError` for whatever fails in a method that talks to the server."""

    @wraps(method)
    async def call(self: Reconnecting, /, *args: Any, **options: Any) -> Any:
        try:
            return await method(self, *args, **options)
        except SharedStoreError:
            raise
        except ReadOnlyError as error:
            self.reconnect()  # after a failover, the name of the server may lead to another one
            raise SharedStoreError(describe(error)) from error
        except Exception as error:  # a server can break the protocol in many ways
            raise SharedStoreError(describe(error)) from error

    return cast("Method", call)


def is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "OOM" in str(error)


def describe(error: BaseException) -> str:
    """Return one line that says what is wrong. It holds no password."""
    error = _root(error)
    if isinstance(error, Exception) and is_out_of_memory(error):
        return "the server has no memory left (maxmemory)"
    if isinstance(error, ResponseError) and _REFUSED_IN_SCRIPT in str(error):
        return _ADVICE[AuthorizationError]
    for kind, advice in _ADVICE.items():
        if isinstance(error, kind):
            return advice
    if isinstance(error, TimeoutError) and not str(error):
        return "the server does not answer"
    text = " ".join(str(error).split())[:MAX_MESSAGE]
    return text or "the connection to the server was lost"


def _root(error: BaseException) -> BaseException:
    """Return what an exception was caused by, or the most telling one of a group."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = max(error.exceptions, key=lambda part: not _is_loss(part))
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return error


def _is_loss(error: BaseException) -> bool:
    return type(error) in (ConnectionLostError, ConnectionError)


quiet: ContextVar[bool] = ContextVar("oxaigen_auth_quiet", default=False)


def _is_wanted(_: logging.LogRecord) -> bool:
    return not quiet.get()


# It logs each failed attempt to connect, where we report changes of state only. The log records of
# other users of the library pass.
logging.getLogger("coredis").addFilter(_is_wanted)
