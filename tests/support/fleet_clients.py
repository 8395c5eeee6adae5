"""Clients that stand for the processes of a fleet: each has a cache of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oxaigen_auth import ProxyAuthClient
from oxaigen_auth._shared.clocks import HostClock
from oxaigen_auth._shared.keys import Keyring
from oxaigen_auth._shared.store import SharedStore
from oxaigen_auth._upstream.profile import structure_user
from oxaigen_auth._validation.shared_entries import SharedEntries
from oxaigen_auth._validation.shared_verdicts import SharedVerdicts
from oxaigen_auth.observers import Observer
from oxaigen_auth.testing import FakeProxy

SECRET = b"a secret of thirty-two bytes ...."


def fleet_client(  # noqa: PLR0913 (what the processes of a fleet differ in)
    store: SharedStore,
    proxy: FakeProxy,
    clock: Callable[[], float],
    *,
    host_clock: HostClock | None = None,
    secrets: tuple[bytes, ...] = (SECRET,),
    observers: tuple[Observer, ...] = (),
    **settings: Any,
) -> ProxyAuthClient:
    """Return a client that uses `store`, whose engine is already made."""
    client = proxy.client(clock=clock, wall_clock=clock, observers=observers, **settings)
    validator = client.validator
    host = host_clock or HostClock(wall=clock, boot=clock, boot_id=bytes(16))
    entries = SharedEntries(client.settings, Keyring(secrets), host, structure_user)
    shared = SharedVerdicts(store, entries, validator.store, validator.observer)
    validator.shared = validator._lookups.shared = shared  # noqa: SLF001 (as `_composition` does)
    validator.loops.shared = store
    client.fingerprint = validator.fingerprint
    return client
