import errno
import os
import socket
from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from anyio import (
    CancelScope,
    create_task_group,
    fail_after,
    sleep_forever,
    wait_all_tasks_blocked,
)
from httpx import AsyncClient, ConnectError, Limits
from hypercorn.utils import LifespanFailureError

from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.app import MockApp
from oxaigen_auth_mock.server import hypercorn as serving_module
from oxaigen_auth_mock.server.hypercorn import (
    RemoteAddressError,
    base_url,
    listen,
    listen_on_all,
    serving,
)
from tests.unit.oxaigen_auth_mock.conftest import needs_ipv6

pytestmark = pytest.mark.anyio

DEV = {"Authorization": "Bearer mock-dev-token"}
PATIENCE = 30.0  # seconds: more than anything here takes, however busy the machine


async def refuses_connections(url: str) -> bool:
    async with AsyncClient(base_url=url) as client:
        try:
            await client.get("/health")
        except ConnectError:
            return True
    return False


async def test_the_wires_checks_are_answered_over_a_socket() -> None:
    app = create_app(MockSettings(forbidden_token="keep-out"))
    async with serving(app, listen()) as url, AsyncClient(base_url=url) as client:
        me = await client.get("/_oxa_auth/get-me", headers=DEV)
        assert (me.status_code, me.json()["user_name"]) == (200, "devuser")
        assert me.headers["Cache-Control"] == "no-store"
        granted = await client.post("/_oxa_auth/test-app-permission/audit", headers=DEV)
        assert (granted.status_code, granted.json()) == (200, True)
        token = await client.post("/_oxa_auth/test-app-token", headers=DEV)
        assert (token.status_code, token.json()) == (200, True)
        unknown = await client.get("/_oxa_auth/get-me", headers={"Authorization": "Bearer x"})
        assert (unknown.status_code, unknown.headers["WWW-Authenticate"]) == (401, "Bearer")
        forbidden = {"Authorization": "Bearer keep-out"}
        assert (await client.get("/_oxa_auth/get-me", headers=forbidden)).status_code == 403
        assert (await client.get("/_mock/api/calls")).json()["total"] == 5


async def test_a_burst_of_connections_is_answered_whole() -> None:
    app = create_app(MockSettings(latency=0.2))
    async with (
        serving(app, listen()) as url,
        AsyncClient(base_url=url, limits=Limits(max_connections=None), timeout=PATIENCE) as client,
        create_task_group() as tasks,
    ):

        async def call() -> None:
            assert (await client.get("/_oxa_auth/get-me", headers=DEV)).status_code == 200

        for _ in range(50):
            tasks.start_soon(call)
    report = app.proxy.journal.counts.report()
    assert report["total"] == 50
    assert report["most_at_once"] > 1


async def test_after_the_block_nothing_listens_any_more() -> None:
    async with serving(create_app(MockSettings()), listen()) as url:
        assert not await refuses_connections(url)
    assert await refuses_connections(url)


async def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    async with AsyncClient() as client:
        with fail_after(PATIENCE):  # half of the time for which an idle connection is kept
            async with serving(create_app(MockSettings()), listen()) as url:
                await client.get(f"{url}/health")


async def status_of_a_call_at_the_end(app: MockApp) -> int:
    """Stop serving when a call has arrived; gives the answer that it gets nevertheless."""
    statuses: list[int] = []

    async def call(client: AsyncClient, url: str) -> None:
        response = await client.get(f"{url}/_oxa_auth/get-me", headers=DEV)
        statuses.append(response.status_code)

    async with (
        AsyncClient(timeout=PATIENCE) as client,
        create_task_group() as tasks,
        serving(app, listen()) as url,
    ):
        tasks.start_soon(call, client, url)  # noqa: ASYNC111 (it must outlive the server)
        while not app.proxy.journal.counts.report()["total"]:
            await client.get(f"{url}/health")
    (status,) = statuses
    return status


async def test_a_running_call_is_broken_off_instead_of_holding_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "GRACE", 2.0)  # as long again for the answer to be sent
    with fail_after(PATIENCE):
        assert await status_of_a_call_at_the_end(create_app(MockSettings(latency=60.0))) == 500


async def test_a_running_call_that_is_nearly_done_gets_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "GRACE", PATIENCE)
    assert await status_of_a_call_at_the_end(create_app(MockSettings(latency=0.1))) == 200


async def test_an_error_in_the_block_comes_out_bare() -> None:
    url = ""
    with pytest.raises(LookupError, match="mine"):
        async with serving(create_app(MockSettings()), listen()) as url:
            raise LookupError("mine")
    assert await refuses_connections(url)


async def test_a_cancelled_block_stops_the_server_in_good_order() -> None:
    url = ""
    with CancelScope() as scope:
        async with serving(create_app(MockSettings()), listen()) as url:
            scope.cancel()
            await sleep_forever()
    assert scope.cancelled_caught
    assert await refuses_connections(url)


async def test_an_app_that_cannot_start_stops_the_block_from_beginning() -> None:
    async def unable(_scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no power"})

    listener = listen()
    descriptor = listener.fileno()
    with pytest.raises(LifespanFailureError, match="no power"):
        await AsyncExitStack().enter_async_context(serving(unable, listener))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@needs_ipv6
async def test_an_ipv6_address_stands_in_brackets() -> None:
    async with serving(create_app(MockSettings()), listen("::1")) as url:
        assert url.startswith("http://[::1]:")
        assert not await refuses_connections(url)


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    with listen() as listener, pytest.raises(OSError, match="already in use"):
        listen("127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b"])
async def test_a_host_that_cannot_be_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - what it says is up to the system
        listen(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104
async def test_an_address_that_other_machines_reach_is_refused(host: str) -> None:
    with pytest.raises(RemoteAddressError, match=f"{host} is no loopback address"):
        listen(host)


async def test_a_name_that_stands_for_an_address_of_other_machines_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(_host: str, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.7", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(RemoteAddressError, match=r"192\.0\.2\.7 is no loopback address"):
        listen("my-laptop")


async def test_with_leave_any_address_of_this_machine_will_do() -> None:
    with listen("0.0.0.0", allow_remote=True) as listener:  # noqa: S104
        assert listener.getsockname()[0] == "0.0.0.0"  # noqa: S104


async def test_the_url_of_a_listener_tells_its_real_port() -> None:
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
def test_an_address_that_this_machine_has_not_is_left_out(
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
    bound = serving_module._bound  # noqa: SLF001 - the one place where a port is taken

    def bound_late(family: int, address: tuple[Any, ...], **kwargs: Any) -> socket.socket:
        wanted.append(address[1])
        if len(wanted) == 2:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return bound(family, address, **kwargs)

    monkeypatch.setattr(serving_module, "_bound", bound_late)
    assert len(addresses(listen_on_all("localhost"))) == 2
    assert [port == 0 for port in wanted] == [True, False, True, False]


def test_a_name_with_one_address_of_other_machines_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_to(monkeypatch, "127.0.1.1", "192.0.2.7")
    with pytest.raises(RemoteAddressError, match=r"192\.0\.2\.7 is no loopback address"):
        listen_on_all("my-laptop")


@pytest.mark.parametrize(("host", "told"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])  # noqa: S104
def test_the_url_of_a_listener_at_every_address_can_be_called(host: str, told: str) -> None:
    with listen(host, allow_remote=True) as listener:
        assert base_url(listener) == f"http://{told}:{listener.getsockname()[1]}"


async def test_a_server_that_ends_early_is_told_of_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def serve(_app: Any, _config: Any, *, shutdown_trigger: Any) -> None:
        async with create_task_group() as tasks:
            tasks.start_soon(shutdown_trigger)
            await wait_all_tasks_blocked()
            raise LookupError("no power")

    monkeypatch.setattr(serving_module, "_hypercorn", lambda: serve)
    with pytest.raises(LookupError, match="no power"):
        async with serving(create_app(MockSettings()), listen()):
            await wait_all_tasks_blocked()
    with pytest.raises(KeyError, match="mine"):  # an error of the block comes first
        async with serving(create_app(MockSettings()), listen()):
            raise KeyError("mine")
