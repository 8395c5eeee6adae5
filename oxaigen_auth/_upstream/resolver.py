"""Resolves host names in separate threads, so that a slow name server delays its own hosts only.

Event loops resolve names in a thread pool that the whole process shares; asyncio's has six threads
on two cores. A lookup there cannot be cancelled, so a few names whose servers do not answer would
delay all others. Here each name has a thread, which all callers of that name share.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import Any

from anyio import CancelScope, Event, create_task_group, move_on_after
from attrs import define, field

from oxaigen_auth._core.background import call_soon_threadsafe, running_loop
from oxaigen_auth._core.recent_set import RecentSet
from oxaigen_auth._upstream.httpcore_internals import wrap_network_backend

MAX_KNOWN = 256  # recently resolved names
MAX_UNKNOWN = 512  # other names that are resolved at once, each in a thread
ATTEMPT_DELAY = 0.25  # seconds until the next address is tried as well (RFC 8305 §5)


class ResolverBusyError(OSError):
    """Too many names are being looked up. The host itself may be fine."""


@define(eq=False)
class _Lookup:
    is_known: bool
    done: Event = field(factory=Event)
    addresses: list[str] = field(factory=list)
    error: OSError | None = None


@define(eq=False)
class Resolver:
    """Looks up names for one event loop. Caches nothing: name servers and libc do."""

    _running: dict[str, _Lookup] = field(factory=dict, init=False)
    _known: RecentSet[str] = field(factory=lambda: RecentSet(MAX_KNOWN), init=False)

    async def resolve(self, host: str) -> list[str]:
        """Return the addresses of a host, the preferred one first.

        Raises:
            ResolverBusyError: too many names are being looked up.
            OSError: the name has no address.
        """
        lookup = self._running.get(host) or self._start(host)
        await lookup.done.wait()
        if lookup.error is not None:
            raise type(lookup.error)(*lookup.error.args)  # a new one for each caller
        return lookup.addresses

    def _start(self, host: str) -> _Lookup:
        is_known = host in self._known
        unknown = sum(not lookup.is_known for lookup in self._running.values())
        if not is_known and unknown >= MAX_UNKNOWN:
            raise ResolverBusyError("too many host names are being looked up")
        lookup = _Lookup(is_known)
        thread = Thread(target=self._look_up, args=(host, lookup, running_loop()), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise ResolverBusyError("no thread could be started to look up the name") from error
        self._running[host] = lookup
        return lookup

    def _look_up(self, host: str, lookup: _Lookup, loop: Any) -> None:
        """Run in a thread."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            lookup.addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        except OSError as error:
            lookup.error = error.with_traceback(None)
        except ValueError:  # it cannot be encoded, or contains a null character
            lookup.error = socket.gaierror(socket.EAI_NONAME, "it is not a host name")
        call_soon_threadsafe(loop, partial(self._finish, host, lookup))

    def _finish(self, host: str, lookup: _Lookup) -> None:
        del self._running[host]
        if lookup.error is None:
            self._known.add(host)
        lookup.done.set()


@define(eq=False)
class ResolvingBackend:
    """A network backend of the HTTP library that resolves names with a `Resolver`."""

    backend: Any
    resolver: Resolver

    async def connect_tcp(self, host: str, **options: Any) -> Any:
        """Connect to the address that answers first (RFC 8305)."""
        addresses = [host] if _is_address(host) else await self.resolver.resolve(host)
        connect = partial(self.backend.connect_tcp, **options)
        if len(addresses) == 1:
            return await connect(addresses[0])
        return await _connect_to_first(addresses, connect)


def use_resolver(transport: Any, resolver: Resolver) -> None:
    """Make a transport of the HTTP library resolve names with `resolver`."""
    wrap_network_backend(transport, lambda backend: ResolvingBackend(backend, resolver))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _connect_to_first(
    addresses: Iterable[str], connect: Callable[[str], Awaitable[Any]]
) -> Any:
    """Try the addresses, each `ATTEMPT_DELAY` after the last, until one is connected."""
    streams: list[Any] = []
    failures: list[Exception] = []

    async def attempt(address: str, ended: Event) -> None:
        try:
            streams.append(await connect(address))
            group.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 (raised below if no address is connected)
            failures.append(error)
        finally:
            ended.set()

    try:
        async with create_task_group() as group:
            for address in addresses:
                ended = Event()
                group.start_soon(attempt, address, ended)
                with move_on_after(ATTEMPT_DELAY):
                    await ended.wait()
        if not streams:
            raise failures[-1] if failures else OSError("the attempts to connect were cancelled")
        return streams.pop(0)
    finally:
        with CancelScope(shield=True):
            for surplus in streams:
                await surplus.aclose()
