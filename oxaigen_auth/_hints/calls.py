"""Errors for calls as in the published package, with the form to write instead."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

F = TypeVar("F", bound="Callable[..., Any]")

_ONCE_STATIC = frozenset({"get_me", "test_permission"})


class ClientType(ABCMeta):
    """Raises an error if a method is called on the class.

    In the published package these are static methods. Only attributes that are read from the class
    pass here, so a call on a client is as fast as usual. It is an `ABCMeta`, so that subclasses may
    be abstract, or protocols.
    """

    if not TYPE_CHECKING:  # type checkers see the methods as they are written

        def __getattribute__(cls, name: str) -> object:
            found = super().__getattribute__(name)
            return _of_an_instance(cls, found) if name in _ONCE_STATIC else found


def _of_an_instance(cls: type[Any], method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        if args and isinstance(args[0], cls):
            return method(*args, **options)
        del args, options  # a traceback that is kept would keep the token
        name = method.__name__
        raise TypeError(
            f"{name} is called on a client: make one, client = {cls.__name__}(proxy_base_url), "
            f"use it for all calls, and write await client.{name}(bearer_token, …)."
        )

    return call


def takes_connection(function: F) -> F:
    """Make a function raise an error that suggests a positional argument instead of `request=`."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if "request" in options:
            name = function.__name__
            raise TypeError(f"{name} takes the request by position: write {name}(request, …).")
        return function(*args, **options)

    return cast("F", call)
