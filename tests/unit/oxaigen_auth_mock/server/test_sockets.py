import errno
import socket
from typing import Any

import pytest

from oxaigen_auth_mock.server import sockets
from oxaigen_auth_mock.server.sockets import RemoteAddressError, base_url, listen, listen_on_all
from tests.unit.oxaigen_auth_mock.conftest import needs_ipv6


def test_a_port_that_is_taken_is_an_os_error() -> None:
    with listen() as listener, pytest.raises(OSError, match="already in use"):
        listen("127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b"])
def test_an_invalid_host_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the message depends on the system
        listen(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104
def test_an_address_that_other_machines_reach_is_refused(host: str) -> None:
    with pytest.raises(RemoteAddressError, match=f"{host} is no loopback address"):
        listen(host)


def test_a_name_that_resolves_to_an_address_of_other_machines_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(_host: str, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.7", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(RemoteAddressError, match=r"192\.0\.2\.7 is no loopback address"):
        listen("my-laptop")


def test_with_allow_remote_any_address_of_this_machine_is_accepted() -> None:
    with listen("0.0.0.0", allow_remote=True) as listener:  # noqa: S104
        assert listener.getsockname()[0] == "0.0.0.0"  # noqa: S104


def test_the_url_of_a_listener_has_its_real_port() -> None:
    with listen() as listener:
        assert base_url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def addresses(listeners: list[socket.socket]) -> list[tuple[str, int]]:
    """Close listeners; gives the address and port of each."""
    found = [listener.getsockname()[:2] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


def resolve_to(monkeypatch: pytest.MonkeyPatch, *ips: str) -> None:
    """Let every name stand for these addresses."""

    def resolve(_host: str, port: int, **_: object) -> list[Any]:
        families = [socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in ips]
        ends: list[tuple[int, ...]] = [(0, 0) if ":" in ip else () for ip in ips]
        return [
            (family, socket.SOCK_STREAM, 0, "", (ip, port, *end))
            for family, ip, end in zip(families, ips, ends, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@needs_ipv6
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
def test_pitfall_59_localhost_is_both_loopback_addresses_with_one_port(host: str) -> None:
    (one, port), other = addresses(listen_on_all(host))
    assert (one, other) == ("127.0.0.1", ("::1", port))
    assert [got for _, got in addresses(listen_on_all(host, port))] == [port, port]


@needs_ipv6
def test_a_name_is_bound_once_at_each_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.2", "::1", "127.0.0.2")
    bound = addresses(listen_on_all("mine"))
    assert [ip for ip, _ in bound] == ["127.0.0.2", "::1"]


@pytest.mark.parametrize("first", ["192.0.2.1", "2001:db8::1"])
def test_an_address_that_this_machine_lacks_is_skipped(
    monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    resolve_to(monkeypatch, first, "127.0.0.1")
    ((ip, _),) = addresses(listen_on_all("mine", allow_remote=True))
    assert ip == "127.0.0.1"
    resolve_to(monkeypatch, first)
    with pytest.raises(OSError, match="assign requested address"):
        listen_on_all("mine", allow_remote=True)


def test_pitfall_59_a_family_that_this_machine_has_not_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class WithoutIPv6(socket.socket):
        def __init__(self, family: int = -1, *args: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *args)

    monkeypatch.setattr(socket, "socket", WithoutIPv6)
    assert [ip for ip, _ in addresses(listen_on_all("localhost"))] == ["127.0.0.1"]


@needs_ipv6
def test_a_port_that_is_taken_at_one_address_is_an_error_and_leaves_nothing_open() -> None:
    with listen("::1") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="already in use"):
            listen_on_all("localhost", port)
        listen("127.0.0.1", port).close()


@needs_ipv6
def test_any_free_port_is_one_that_is_free_at_all_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted: list[int] = []
    bound = sockets._bind  # noqa: SLF001 - the only function that binds a port

    def bound_late(family: int, address: tuple[Any, ...], **kwargs: Any) -> socket.socket:
        wanted.append(address[1])
        if len(wanted) == 2:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return bound(family, address, **kwargs)

    monkeypatch.setattr(sockets, "_bind", bound_late)
    assert len(addresses(listen_on_all("localhost"))) == 2
    assert [port == 0 for port in wanted] == [True, False, True, False]


def test_a_name_with_one_address_of_other_machines_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_to(monkeypatch, "127.0.1.1", "192.0.2.7")
    with pytest.raises(RemoteAddressError, match=r"192\.0\.2\.7 is no loopback address"):
        listen_on_all("my-laptop")


@pytest.mark.parametrize(("host", "expected"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])  # noqa: S104
def test_the_url_of_a_listener_at_every_address_can_be_called(host: str, expected: str) -> None:
    with listen(host, allow_remote=True) as listener:
        assert base_url(listener) == f"http://{expected}:{listener.getsockname()[1]}"


def test_answers_are_sent_without_delay() -> None:
    with listen() as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
