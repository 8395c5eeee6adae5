"""Builds the validator of a client.

Imported with the first client, not with the package, because it takes most of the import time and
an app may need only the types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from ssl import SSLContext
from typing import TYPE_CHECKING

from oxaigen_auth._syntax.shared_store_urls import shown_shared_store_url
from oxaigen_auth._upstream.given_transport import Transport, check_transport
from oxaigen_auth._upstream.profile import structure_user
from oxaigen_auth._upstream.proxy import Proxy
from oxaigen_auth._validation.log_observer import LogObserver
from oxaigen_auth._validation.observer import Observer, Observers, process_observers
from oxaigen_auth._validation.validator import Validator
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.settings import OxaigenAuthSettings

if TYPE_CHECKING:
    from oxaigen_auth._validation.shared_verdicts import SharedVerdicts


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
    shared = _build_shared(settings, store, observers) if settings.shared_store else None
    return Validator(settings, clock, store, open_upstream, observers, shared)


def _build_shared(
    settings: OxaigenAuthSettings, verdicts: VerdictStore, observer: Observer
) -> SharedVerdicts | None:
    """Return what the client shares with other processes; None if that failed, which is logged.

    Raises:
        OxaigenAuthConfigurationError: the store cannot be used as it is configured.
    """
    from oxaigen_auth._shared.clocks import HostClock  # noqa: PLC0415 (few apps need it)
    from oxaigen_auth._shared.engines import new_engine  # noqa: PLC0415
    from oxaigen_auth._shared.store import SharedStoreError  # noqa: PLC0415
    from oxaigen_auth._validation.shared_entries import SharedEntries  # noqa: PLC0415
    from oxaigen_auth._validation.shared_verdicts import SharedVerdicts  # noqa: PLC0415

    try:
        engine, keyring = new_engine(settings)
    except SharedStoreError as error:
        observer.on_shared_store_failed(
            shown_shared_store_url(settings.shared_store), "open", str(error)
        )
        return None
    clock = HostClock(wall=verdicts.wall_clock)
    entries = SharedEntries(settings, keyring, clock, structure_user)
    return SharedVerdicts(engine, entries, verdicts, observer)
