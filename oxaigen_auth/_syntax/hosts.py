"""Parses the hosts and origins of requests, and patterns of allowed ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_HOST = re.compile(rf"({_NAME}|\[[0-9a-f:.]+\])\.?(?::([0-9]{{1,5}}))?")
_PATTERN = re.compile(rf"((?:\*\.)?{_NAME}|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}|\*))?")
_MAX_HOST = 253 + len(".:65535")  # characters (RFC 1035 §2.3.4)
_MAX_PORT = 65535
_STANDARD_PORTS = {"http": "80", "https": "443"}
_COMMA, _NEWLINE = b",\n"  # bytes search for a number several times as fast as for b","


@frozen
class Host:
    """A host and its port, in one spelling: lower case, no final dot, no leading zero.

    `port` is "" for the standard one of the scheme; in a pattern it may also be "*", and `name`
    may start with "*.", which stands for one label or more.
    """

    name: str
    port: str

    def __str__(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name

    @property
    def is_loopback(self) -> bool:
        """Whether this is the local machine (RFC 6761 §6.3, RFC 1122 §3.2.1.3, RFC 4291)."""
        if self.name == "localhost" or self.name.endswith(".localhost"):
            return True
        try:
            return ip_address(self.name.strip("[]")).is_loopback
        except ValueError:
            return False

    def matches(self, pattern: Host) -> bool:
        name = pattern.name
        same_name = self.name.endswith(name[1:]) if name.startswith("*.") else self.name == name
        return same_name and pattern.port in {self.port, "*"}


@frozen
class Origin:
    """The origin of a page (RFC 6454 §4), or a pattern of origins, whose host is a pattern."""

    scheme: str
    host: Host

    def matches(self, pattern: Origin) -> bool:
        return self.scheme == pattern.scheme and self.host.matches(pattern.host)


def request_host(headers: Mapping[bytes, bytes], scheme: str, patterns: tuple[str, ...]) -> bytes:
    """Return the host that a request was sent to, as bytes; empty if the request has none.

    A chain of proxies sends several values of `X-Forwarded-Host`. The first one counts if the
    patterns allow it, because the sender of the request can set it.
    """
    header = headers.get(b"x-forwarded-host")
    if header is None:
        return headers.get(b"host", b"")
    if not has_several_values(header):
        return header
    first = first_value(header)
    return first if patterns and resolve_base_url(first, scheme, patterns)[1] else b""


def has_several_values(header: bytes) -> bool:
    """Return whether a header is a list (RFC 9110 §5.6.1), or is repeated."""
    return _COMMA in header or _NEWLINE in header


def first_value(header: bytes) -> bytes:
    """Return the first value of a header that is a list, or is repeated."""
    return header.partition(b"\n")[0].partition(b",")[0].strip(b" \t")


def parse_host(text: str, scheme: str) -> Host | None:
    """Read a `Host` header (RFC 9110 §7.2); None if it is malformed."""
    return _parse(_HOST, text, scheme) if len(text) <= _MAX_HOST else None


def parse_pattern(text: str, scheme: str) -> Host | None:
    """Read an allowed host, such as app.example.com, *.example.com, localhost:8000, [::1]:*."""
    return _parse(_PATTERN, text, scheme)


def parse_origin(text: str) -> Origin | None:
    """Read an `Origin` header (RFC 6454 §7); None if it is malformed, or "null"."""
    return _parse_origin(parse_host, text)


def parse_origin_pattern(text: str) -> Origin | None:
    """Read a trusted origin, such as https://app.example.com, https://*.example.com."""
    return _parse_origin(parse_pattern, text)


def resolve_base_url(header: bytes, scheme: str, patterns: tuple[str, ...]) -> tuple[str, bool]:
    """Return the normalized URL of a host, "" if malformed, and whether it is allowed.

    Without patterns every well-formed host is allowed.
    """
    # A host that is too long is not cached, so that requests cannot fill the memory.
    return _resolve_base_url(header, scheme, patterns) if len(header) <= _MAX_HOST else ("", False)


@lru_cache(maxsize=1024)
def _resolve_base_url(header: bytes, scheme: str, patterns: tuple[str, ...]) -> tuple[str, bool]:
    host = parse_host(header.decode("latin-1"), scheme)
    if host is None:
        return "", False
    allowed = _parse_patterns(patterns, scheme)
    return f"{scheme}://{host}", not patterns or any(host.matches(it) for it in allowed)


@lru_cache(maxsize=64)
def _parse_patterns(patterns: tuple[str, ...], scheme: str) -> tuple[Host, ...]:
    return tuple(pattern for text in patterns if (pattern := parse_pattern(text, scheme)))


def _parse(form: re.Pattern[str], text: str, scheme: str) -> Host | None:
    match = form.fullmatch(text.lower())
    if match is None:
        return None
    name, port = match[1], match[2] or ""
    if not _is_possible(name):
        return None
    if port not in {"", "*"}:
        if not 0 < int(port) <= _MAX_PORT:
            return None
        port = str(int(port))
    return Host(name, "" if port == _STANDARD_PORTS[scheme] else port)


def _parse_origin(parse: Callable[[str, str], Host | None], text: str) -> Origin | None:
    scheme, _, rest = text.partition("://")
    host = parse(rest, scheme) if scheme in _STANDARD_PORTS else None
    return None if host is None else Origin(scheme, host)


def _is_possible(name: str) -> bool:
    """Return whether a name that looks like an address is valid (RFC 3986 §3.2.2, WHATWG URL).

    A name whose last label is a number must be an IPv4 address, unlike 999.1.1.1 or 1.2.3.
    """
    try:
        if name.startswith("["):
            IPv6Address(name[1:-1])
        elif name.rpartition(".")[2].isdigit():
            IPv4Address(name)
    except ValueError:
        return False
    return True
