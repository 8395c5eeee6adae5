"""Builds the validator of a client.

Imported with the first client, not with the package, because it takes most of the import time and
an app may need only the types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from ssl import SSLContext

from oxaigen_auth._upstream.given_transport import Transport, check_transport
from oxaigen_auth._upstream.proxy import Proxy
from oxaigen_auth._validation.log_observer import LogObserver
from oxaigen_auth._validation.observer import Observer, Observers, process_observers
from oxaigen_auth._validation.validator import Validator
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.settings import OxaigenAuthSettings


def build_validator(  # noqa: PLR0913 (the parts of a client)
    settings: OxaigenAuthSettings,
    stats: Observer,
    app_observers: Iterable[Observer],
    *,
    ssl_context: SSLContext | None,
    transport: Transport | None,
    clock: Callable[[], float],
    wall_clock: Callable[[], float],
) -> Validator:
    """Return a validator that asks the proxy over HTTP, and logs and reports its events.

    Raises:
        TypeError: `transport` is none of the HTTP library, or both it and `ssl_context` are given.
    """
    if transport is not None:
        check_transport(transport, ssl_context)
    own = (stats, LogObserver(settings, clock))
    added = list(app_observers)
    for observer in process_observers:
        if not any(isinstance(it, type(observer)) for it in added):
            added.append(observer)
    observers = Observers(*own, app_observers=added)
    open_upstream = partial(Proxy, settings, ssl_context, observers, transport)
    store = VerdictStore(settings, clock, wall_clock)
    return Validator(settings, clock, store, open_upstream, observers)
