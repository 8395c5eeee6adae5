"""Counts the bad tokens of each address. Knows no token, only fingerprints."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from threading import Lock
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = 60.0  # seconds
MAX_TOKENS = 65_536  # that are remembered, of all addresses; of more the oldest minute is forgotten


@define(eq=False)
class _Minute:
    """What came of one address since the first bad token, at `start`."""

    start: float
    tokens: set[bytes] = field(factory=set)


@define(eq=False)
class Throttle:
    """Tells which addresses brought more than `limit` different bad tokens within a minute.

    A `limit` of 0 switches it off. Safe to share between threads.
    """

    limit: int
    clock: Callable[[], float]
    _minutes: OrderedDict[str, _Minute] = field(factory=OrderedDict, init=False)  # oldest first
    _remembered: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def shut_for(self, address: str) -> float:
        """Return for how many more seconds an address is shut out; 0 if it is not."""
        if not self.limit:
            return 0.0
        with self._lock:
            minute = self._minutes.get(_network(address))
            if minute is None or len(minute.tokens) <= self.limit:
                return 0.0
            return max(0.0, minute.start + MINUTE - self.clock())

    def note(self, address: str, fingerprint: bytes) -> None:
        """Count a bad token; of one that is shut out nothing more is remembered."""
        if not self.limit:
            return
        network = _network(address)
        with self._lock:
            minute = self._minutes.get(network)
            if minute is None or self.clock() - minute.start >= MINUTE:
                self._forget(network)
                minute = self._minutes[network] = _Minute(self.clock())
            if len(minute.tokens) <= self.limit and fingerprint not in minute.tokens:
                minute.tokens.add(fingerprint)
                self._remembered += 1
            while self._remembered > MAX_TOKENS:
                self._forget(next(iter(self._minutes)))

    def _forget(self, network: str) -> None:
        minute = self._minutes.pop(network, None)
        if minute is not None:
            self._remembered -= len(minute.tokens)


def _network(address: str) -> str:
    """Return what one client has: an IPv4 address, or the 64 bits of an IPv6 network (RFC 4291)."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address  # a socket of another family
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or f"{int(ip) >> 64:x}::/64")
