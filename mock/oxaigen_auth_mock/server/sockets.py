"""Opens listening TCP sockets, only on loopback addresses unless others are allowed."""

import os
import socket
from contextlib import ExitStack, suppress
from errno import EADDRNOTAVAIL, EAFNOSUPPORT
from typing import Any, Final, TypeAlias

from oxaigen_auth_mock.asgi.middleware import is_remote

BACKLOG: Final = 1024
PORT_ATTEMPTS: Final = 10  # to find a port that is free at several addresses
UNAVAILABLE: Final = (EADDRNOTAVAIL, EAFNOSUPPORT)  # the machine lacks the address or family
LOOPBACK: Final[dict[str, str]] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - for the URL

Address: TypeAlias = tuple[int, tuple[Any, ...]]  # the arguments of `socket` and `bind`


class RemoteAddressError(OSError):
    """The address can be reached from other machines, which was not allowed."""


def listen(host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False) -> socket.socket:
    """Open a listening TCP socket at the first address of a host; port 0 picks a free one.

    The caller closes it.

    Raises:
        RemoteAddressError: the host is no loopback address, or has another one.
        OSError: the host is unknown, or the port is in use or not permitted.
    """
    return _listen_at(addresses_of(host, allow_remote=allow_remote)[:1], port)[0]


def listen_on_all(
    host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
) -> list[socket.socket]:
    """Open a listening TCP socket at every address of a host, all with the same port.

    Addresses that this machine lacks, such as `::1` without IPv6, are skipped. Port 0 picks a port
    that is free at all of them. The caller closes the sockets.

    Raises:
        RemoteAddressError: the host is no loopback address, or has another one.
        OSError: the host is unknown, or the port is in use or not permitted.
    """
    addresses = addresses_of(host, allow_remote=allow_remote)
    for _ in range(PORT_ATTEMPTS if port == 0 else 0):
        with suppress(OSError):
            return _listen_at(addresses, port)
    return _listen_at(addresses, port)


def addresses_of(host: str, *, allow_remote: bool = False) -> list[Address]:
    """Resolve a host; `localhost` always has both addresses of RFC 6761 §6.3.

    Raises:
        RemoteAddressError: one of them is no loopback address.
        OSError: the host is unknown.
    """
    if host.lower() == "localhost":
        return [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0))]
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:
        raise OSError(f"{host!r} is not a host name") from error
    addresses: list[Address] = [(family, address) for family, _, _, _, address in found]
    for _, (ip, *_) in addresses:
        if not allow_remote and is_remote(str(ip)):
            raise RemoteAddressError(f"{ip} is no loopback address")
    return list(dict.fromkeys(addresses))


def _listen_at(addresses: list[Address], port: int) -> list[socket.socket]:
    """Listen at the available addresses, all with the port of the first one."""
    listeners: list[socket.socket] = []
    missing = OSError("no address")
    with ExitStack() as undo:
        for family, (ip, _, *rest) in addresses:
            try:
                listener = _bind(family, (ip, port, *rest), alone=len(addresses) == 1)
            except OSError as error:
                if error.errno not in UNAVAILABLE:
                    raise
                missing = error
                continue
            listeners.append(undo.enter_context(listener))
            port = port_of(listener)
        undo.pop_all()
    if not listeners:
        raise missing
    return listeners


def _bind(family: int, address: tuple[Any, ...], *, alone: bool) -> socket.socket:
    """Listen at one address; `::` alone accepts IPv4 connections too."""
    dual = alone and family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            address, family=family, backlog=BACKLOG, dualstack_ipv6=dual
        )
    except OSError as error:  # its message repeats the address
        raise OSError(error.errno, os.strerror(error.errno or 0)) from error
    # asyncio does not do this for such sockets; each answer on a kept connection would take 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def port_of(listener: socket.socket) -> int:
    """Return the port of a listening socket."""
    port: int = listener.getsockname()[1]
    return port


def base_url(listener: socket.socket, *, scheme: str = "http") -> str:
    """Return the URL of a listening socket, as `http://host:port`.

    A socket that is bound to every address has the URL of the loopback address of its family.
    """
    host: str
    port: int
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{host_and_port(LOOPBACK.get(host, host), port)}"


def host_and_port(host: str, port: int) -> str:
    """Join them as in a URL, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
