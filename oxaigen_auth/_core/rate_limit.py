"""Counts the rejected tokens of each address, by their fingerprints."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from threading import Lock

from attrs import define, field

MINUTE = 60.0  # seconds
MAX_TOKENS = 65_536  # of all addresses together; above that the oldest minute is discarded


@define(eq=False)
class _Minute:
    """The rejected tokens of one address since `start`, when the first was recorded."""

    start: float
    tokens: set[bytes] = field(factory=set)


@define(eq=False)
class RateLimit:
    """Limits addresses that sent more than `limit` different rejected tokens within a minute.

    A `limit` of 0 switches it off. Safe to share between threads.
    """

    limit: int
    clock: Callable[[], float]
    _minutes: OrderedDict[str, _Minute] = field(factory=OrderedDict, init=False)  # oldest first
    _total: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def retry_after(self, address: str) -> float:
        """Return for how many more seconds an address is limited; 0 if it is not."""
        if not self.limit:
            return 0.0
        with self._lock:
            minute = self._minutes.get(_network(address))
            if minute is None or len(minute.tokens) <= self.limit:
                return 0.0
            return max(0.0, minute.start + MINUTE - self.clock())

    def record(self, address: str, fingerprint: bytes) -> None:
        """Count a rejected token, unless the address is limited already."""
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
                self._total += 1
            while self._total > MAX_TOKENS:
                self._forget(next(iter(self._minutes)))

    def _forget(self, network: str) -> None:
        minute = self._minutes.pop(network, None)
        if minute is not None:
            self._total -= len(minute.tokens)


def _network(address: str) -> str:
    """Return an IPv4 address as it is, and the /64 network of an IPv6 address (RFC 4291)."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address  # a socket of another family
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or f"{int(ip) >> 64:x}::/64")
