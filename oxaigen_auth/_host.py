"""Hosts that a request may name, and the patterns of those that it is allowed to."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address

from attrs import frozen

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_HOST = re.compile(rf"({_NAME}|\[[0-9a-f:.]+\])\.?(?::([0-9]{{1,5}}))?")
_PATTERN = re.compile(rf"((?:\*\.)?{_NAME}|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}|\*))?")
_MAX_HOST = 253 + len(".:65535")  # characters (RFC 1035 §2.3.4)
_MAX_PORT = 65535
_STANDARD_PORTS = {"http": "80", "https": "443"}


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

    def matches(self, pattern: Host) -> bool:
        name = pattern.name
        same_name = self.name.endswith(name[1:]) if name.startswith("*.") else self.name == name
        return same_name and pattern.port in {self.port, "*"}


def parse_host(text: str, scheme: str) -> Host | None:
    """Read a `Host` header (RFC 9110 §7.2); None if it is malformed."""
    return _parse(_HOST, text, scheme) if len(text) <= _MAX_HOST else None


def parse_pattern(text: str, scheme: str) -> Host | None:
    """Read an allowed host, such as app.example.com, *.example.com, localhost:8000, [::1]:*."""
    return _parse(_PATTERN, text, scheme)


def judge(header: bytes, scheme: str, patterns: tuple[str, ...]) -> tuple[str, bool]:
    """Return the URL of a host in its one spelling, "" if malformed, and whether it is allowed.

    Without patterns every well-formed host is.
    """
    # What is too long is not remembered, so that requests cannot fill the memory with hosts.
    return _judge(header, scheme, patterns) if len(header) <= _MAX_HOST else ("", False)


@lru_cache(maxsize=1024)
def _judge(header: bytes, scheme: str, patterns: tuple[str, ...]) -> tuple[str, bool]:
    host = parse_host(header.decode("latin-1"), scheme)
    if host is None:
        return "", False
    allowed = [pattern for text in patterns if (pattern := parse_pattern(text, scheme))]
    return f"{scheme}://{host}", not patterns or any(host.matches(it) for it in allowed)


def _parse(form: re.Pattern[str], text: str, scheme: str) -> Host | None:
    match = form.fullmatch(text.lower())
    if match is None:
        return None
    name, port = match[1], match[2] or ""
    if name.startswith("[") and not _is_ipv6(name[1:-1]):
        return None
    if port not in {"", "*"}:
        if not 0 < int(port) <= _MAX_PORT:
            return None
        port = str(int(port))
    return Host(name, "" if port == _STANDARD_PORTS[scheme] else port)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
