import socket
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, fail_after, sleep_forever
from httpx import AsyncClient, ConnectError, Limits

from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock import serving as module
from oxaigen_auth_mock.app import MockApp
from oxaigen_auth_mock.serving import RemoteAddressError, base_url, listen, serving

pytestmark = pytest.mark.anyio

DEV = {"Authorization": "Bearer mock-dev-token"}
PATIENCE = 30.0  # seconds: more than anything here takes, however busy the machine


def ipv6_is_available() -> bool:
    available = False
    with suppress(OSError):
        listen("::1").close()
        available = True
    return available


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
    monkeypatch.setattr(module, "GRACE", 2.0)  # as long again for the answer to be sent
    with fail_after(PATIENCE):
        assert await status_of_a_call_at_the_end(create_app(MockSettings(latency=60.0))) == 500


async def test_a_running_call_that_is_nearly_done_gets_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE", PATIENCE)
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

    with pytest.raises(ExceptionGroup) as caught:  # noqa: ASYNC401 (its depth is hypercorn's)
        async with serving(unable, listen()):
            raise AssertionError("The block began.")
    assert "no power" in repr(caught.value)


@pytest.mark.skipif(not ipv6_is_available(), reason="this machine has no IPv6")
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
