"""Host names → addresses, in threads; name servers and networks are played by the tests."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from threading import Event, Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import define, field

from oxaigen_auth._upstream import resolver as resolver_module
from oxaigen_auth._upstream.resolver import (
    MAX_KNOWN,
    MAX_UNKNOWN,
    Resolver,
    ResolverBusyError,
    ResolvingBackend,
    use_resolver,
)
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.verdict import Unavailable
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.errors import OxaigenAuthUpstreamError
from oxaigen_auth.settings import OxaigenAuthSettings
from tests.support.asked_proxy import AskedProxy
from tests.support.fake_proxy import FakeProxy
from tests.support.raw_server import PROFILE, serving
from tests.support.tokens import MARK, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


@define(eq=False)
class NameServer:
    """Answers in threads; what is `slow` waits until `go` is set."""

    addresses: dict[str, list[str]] = field(factory=dict)
    slow: set[str] = field(factory=set)
    go: Event = field(factory=Event)
    asked: list[str] = field(factory=list)

    def __call__(self, host: str, *_: object, **__: object) -> Any:
        self.asked.append(host)
        if host in self.slow or host.startswith("slow"):
            self.go.wait(30)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in self.addresses[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer({"app.test": ["127.0.0.1"]})
    ours = SimpleNamespace(**{**vars(socket), "getaddrinfo": server})
    monkeypatch.setattr(resolver_module, "socket", ours)  # the test servers need theirs
    yield server
    server.go.set()


async def test_concurrent_callers_share_the_lookup_of_a_name(names: NameServer) -> None:
    resolver, found = Resolver(), []
    names.addresses["slow.test"] = ["10.0.0.1", "10.0.0.2", "10.0.0.1"]

    async def ask() -> None:
        found.append(await resolver.resolve("slow.test"))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        names.go.set()
    assert found == [["10.0.0.1", "10.0.0.2"]] * 5
    assert names.asked == ["slow.test"]
    await resolver.resolve("slow.test")  # nothing is cached
    assert names.asked == ["slow.test"] * 2


async def test_pitfall_10_each_who_asks_for_an_unknown_name_gets_an_error_of_their_own(
    names: NameServer,
) -> None:
    resolver, errors = Resolver(), []

    async def ask() -> None:
        with pytest.raises(socket.gaierror, match="Name or service not known") as caught:
            await resolver.resolve("nowhere.test")
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
    assert len({id(error) for error in errors}) == 3
    assert names.asked == ["nowhere.test"]
    assert not resolver._running  # noqa: SLF001


async def test_an_impossible_name_has_no_address() -> None:
    resolver = Resolver()
    with pytest.raises(socket.gaierror, match="not a host name"):
        await resolver.resolve("a" * 64 + ".test")
    assert not resolver._running  # noqa: SLF001


async def test_pitfall_51_a_slow_name_server_delays_its_own_names_only(names: NameServer) -> None:
    resolver = Resolver()
    names.addresses["late.test"] = ["10.0.0.1"]
    async with anyio.create_task_group() as group:
        for number in range(MAX_UNKNOWN - 1):
            group.start_soon(resolver.resolve, f"slow-{number}.test")
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(10):
            assert await resolver.resolve("late.test") == ["10.0.0.1"]
        group.cancel_scope.cancel()


async def test_pitfall_51_names_that_had_an_address_are_looked_up_beside_many_that_hang(
    names: NameServer,
) -> None:
    resolver = Resolver()
    await resolver.resolve("app.test")
    async with anyio.create_task_group() as group:
        for number in range(MAX_UNKNOWN):
            group.start_soon(resolver.resolve, f"slow-{number}.test")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ResolverBusyError, match="too many host names"):
            await resolver.resolve("one-more.test")
        with anyio.fail_after(10):
            assert await resolver.resolve("app.test") == ["127.0.0.1"]
        group.cancel_scope.cancel()
    assert len(names.asked) == MAX_UNKNOWN + 2


async def test_pitfall_41_a_name_that_got_no_thread_says_nothing_about_its_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    proxy = AskedProxy(OxaigenAuthSettings(), None, Observer())
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", no_thread)
        for _ in range(2):
            said = await proxy.get_me("http://app.test", TOKEN)
            assert said == Unavailable(
                "no thread could be started to look up the name",
                timed_out=True,
                reason="overloaded",
            )
    await proxy.aclose()


async def test_cancelled_callers_leave_the_lookup_to_later_ones(names: NameServer) -> None:
    resolver = Resolver()
    names.addresses["slow.test"] = ["10.0.0.1"]
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(resolver.resolve, "slow.test")
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    async with anyio.create_task_group() as group:
        group.start_soon(resolver.resolve, "slow.test")
        await anyio.wait_all_tasks_blocked()
        names.go.set()
    assert names.asked == ["slow.test"]
    assert not resolver._running  # noqa: SLF001


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_pitfall_52_a_name_that_is_found_after_its_loop_ended_goes_nowhere(
    names: NameServer, backend: str
) -> None:
    before = {*threading.enumerate()}

    async def main() -> None:
        with anyio.move_on_after(0.01):
            await Resolver().resolve("slow.test")

    anyio.run(main, backend=backend)
    (thread,) = {*threading.enumerate()} - before
    names.go.set()
    thread.join(10)  # an exception in it would be a warning, and so an error
    assert not thread.is_alive()
    gc.collect()


# Connecting.


@define(eq=False)
class Stream:
    address: str
    closed: bool = False

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


@define(eq=False)
class Network:
    """Connects to each address after some seconds, or raises what stands in their place."""

    hosts: dict[str, Any]
    streams: list[Stream] = field(factory=list)
    tried: list[str] = field(factory=list)

    async def connect_tcp(self, host: str, **_: Any) -> Stream:
        self.tried.append(host)
        outcome = self.hosts[host]
        if isinstance(outcome, Exception):
            await anyio.lowlevel.checkpoint()
            raise outcome
        await anyio.sleep(outcome)
        self.streams.append(Stream(host))
        return self.streams[-1]


async def connect(names: NameServer, network: Network) -> Stream:
    names.addresses["many.test"] = list(network.hosts)
    backend = ResolvingBackend(network, Resolver())
    stream: Stream = await backend.connect_tcp("many.test", port=80)
    return stream


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(names: NameServer, host: str) -> None:
    network = Network({host: 0})
    await ResolvingBackend(network, Resolver()).connect_tcp(host, port=80)
    assert (names.asked, network.tried) == ([], [host])


@pytest.mark.parametrize("first", [60, ConnectionRefusedError("refused")])
async def test_if_the_first_address_fails_or_hangs_the_second_is_used(
    names: NameServer, first: Any
) -> None:
    network = Network({"10.0.0.1": first, "10.0.0.2": 0})
    with anyio.fail_after(10):
        assert (await connect(names, network)).address == "10.0.0.2"
    assert [stream.closed for stream in network.streams] == [False]


async def test_an_address_that_answers_at_once_is_the_only_one_that_is_tried(
    names: NameServer,
) -> None:
    network = Network({"10.0.0.1": 0, "10.0.0.2": 0})
    assert (await connect(names, network)).address == "10.0.0.1"
    assert network.tried == ["10.0.0.1"]


async def test_if_no_address_answers_the_last_failure_is_raised(names: NameServer) -> None:
    network = Network({"10.0.0.1": OSError("first"), "10.0.0.2": OSError("second")})
    with pytest.raises(OSError, match="second"):
        await connect(names, network)
    network = Network({"10.0.0.1": ConnectionRefusedError("refused")})
    with pytest.raises(ConnectionRefusedError, match="refused"):
        await connect(names, network)


@define(eq=False)
class Twins(Network):
    """Connects to both addresses at the same moment, whatever is cancelled meanwhile."""

    async def connect_tcp(self, host: str, **_: Any) -> Stream:
        self.tried.append(host)
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1.0 if len(self.tried) == 1 else 0.9)
        self.streams.append(Stream(host))
        return self.streams[-1]


async def test_a_surplus_connection_is_closed(names: NameServer) -> None:
    network = Twins({"10.0.0.1": 0, "10.0.0.2": 0})
    used = await connect(names, network)
    assert len(network.streams) == 2
    assert [stream for stream in network.streams if not stream.closed] == [used]


async def test_a_cancelled_connection_leaves_no_stream_open(names: NameServer) -> None:
    network = Twins({"10.0.0.1": 0, "10.0.0.2": 0})
    with anyio.move_on_after(0.1):
        await connect(names, network)
    assert network.streams
    assert all(stream.closed for stream in network.streams)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
async def test_attempts_that_are_cancelled_before_their_first_step_are_an_error() -> None:
    import asyncio  # noqa: PLC0415 (only this backend has it)

    network = Network({"10.0.0.1": 60, "10.0.0.2": 60})
    before = asyncio.all_tasks()
    call = asyncio.create_task(
        resolver_module._connect_to_first(list(network.hosts), network.connect_tcp)  # noqa: SLF001
    )
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before - {call}:
        task.cancel()
    del task
    with pytest.raises(OSError, match="were cancelled"):
        await call
    gc.collect()


# The library.

LIBRARIES = [name for name in ("httpx", "httpx2") if find_spec(name)]


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_transports_of_the_library_ask_the_resolver(
    names: NameServer, library: str, caplog: pytest.LogCaptureFixture
) -> None:
    httpx, resolver = import_module(library), Resolver()
    async with serving(FakeProxy()) as server:
        transport = httpx.AsyncHTTPTransport()
        use_resolver(transport, resolver)
        url = f"{server.url}/_oxa_auth/get-me".replace("127.0.0.1", "app.test")
        response = await transport.handle_async_request(httpx.Request("GET", url))
        assert await response.aread() == PROFILE
        await transport.aclose()
    assert names.asked == ["app.test"]
    assert "app.test" in resolver._known  # noqa: SLF001
    assert caplog.records == []


async def test_a_changed_library_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for transport in (object(), SimpleNamespace(_pool=object())):
        use_resolver(transport, Resolver())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "the event loop looks up host names" in record.getMessage()


async def test_pitfall_51_slow_names_leave_the_lookups_at_healthy_names_alone(
    names: NameServer,
) -> None:
    settings = OxaigenAuthSettings(proxy_timeout_seconds=20)

    async def ask_in_vain(client: ProxyAuthClient, number: int) -> None:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(f"{MARK}-{number}", proxy_base_url=f"http://slow-{number % 3}.test")

    async with serving(FakeProxy()) as server:
        url = server.url.replace("127.0.0.1", "app.test")
        async with ProxyAuthClient(url, settings=settings) as client:
            async with anyio.create_task_group() as group:
                for number in range(200):
                    group.start_soon(partial(ask_in_vain, client, number))
                await anyio.sleep(0.2)
                with anyio.fail_after(5):
                    for number in range(5):
                        await client.get_me(f"{MARK}-healthy-{number}")
                names.go.set()
    assert len(server.requests) == 5
    assert set(names.asked) == {"app.test", *(f"slow-{number}.test" for number in range(3))}


async def test_names_that_were_not_used_lately_are_forgotten(names: NameServer) -> None:
    resolver = Resolver()
    for number in range(MAX_KNOWN + 1):
        names.addresses[f"n{number}.test"] = ["10.0.0.1"]
        await resolver.resolve(f"n{number}.test")
    assert "n0.test" not in resolver._known  # noqa: SLF001
    assert "n1.test" in resolver._known  # noqa: SLF001
