import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
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
from oxaigen_auth_mock.server.hypercorn import BackgroundTask, serving
from oxaigen_auth_mock.server.sockets import listen
from tests.unit.oxaigen_auth_mock.conftest import needs_ipv6

pytestmark = pytest.mark.anyio

DEV = {"Authorization": "Bearer mock-dev-token"}
TIMEOUT = 30.0  # seconds: more than anything here takes, however busy the machine


async def refuses_connections(url: str) -> bool:
    async with AsyncClient(base_url=url) as client:
        try:
            await client.get("/health")
        except ConnectError:
            return True
    return False


async def test_token_and_permission_checks_are_answered_over_a_socket() -> None:
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
        AsyncClient(base_url=url, limits=Limits(max_connections=None), timeout=TIMEOUT) as client,
        create_task_group() as tasks,
    ):

        async def call() -> None:
            assert (await client.get("/_oxa_auth/get-me", headers=DEV)).status_code == 200

        for _ in range(50):
            tasks.start_soon(call)
    report = app.mock_state.journal.counts.report()
    assert report["total"] == 50
    assert report["max_concurrency"] > 1


async def test_after_the_block_connections_are_refused() -> None:
    async with serving(create_app(MockSettings()), listen()) as url:
        assert not await refuses_connections(url)
    assert await refuses_connections(url)


async def test_an_idle_connection_does_not_delay_the_shutdown() -> None:
    async with AsyncClient() as client:
        with fail_after(TIMEOUT):  # half of the time for which an idle connection is kept
            async with serving(create_app(MockSettings()), listen()) as url:
                await client.get(f"{url}/health")


async def status_of_a_call_at_the_end(app: MockApp) -> int:
    """Stop serving when a call has arrived; gives the answer that it gets nevertheless."""
    statuses: list[int] = []

    async def call(client: AsyncClient, url: str) -> None:
        response = await client.get(f"{url}/_oxa_auth/get-me", headers=DEV)
        statuses.append(response.status_code)

    async with (
        AsyncClient(timeout=TIMEOUT) as client,
        create_task_group() as tasks,
        serving(app, listen()) as url,
    ):
        tasks.start_soon(call, client, url)  # noqa: ASYNC111 (it must outlive the server)
        while not app.mock_state.journal.counts.report()["total"]:
            await client.get(f"{url}/health")
    (status,) = statuses
    return status


async def test_a_running_call_is_cancelled_at_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "GRACE", 2.0)  # as long again for the answer to be sent
    with fail_after(TIMEOUT):
        assert await status_of_a_call_at_the_end(create_app(MockSettings(latency=60.0))) == 500


async def test_a_call_that_finishes_within_the_grace_period_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "GRACE", TIMEOUT)  # however busy the machine
    assert await status_of_a_call_at_the_end(create_app(MockSettings(latency=0.1))) == 200


async def test_an_exception_in_the_block_is_not_wrapped() -> None:
    url = ""
    with pytest.raises(LookupError, match="mine"):
        async with serving(create_app(MockSettings()), listen()) as url:
            raise LookupError("mine")
    assert await refuses_connections(url)


async def test_cancelling_the_block_stops_the_server() -> None:
    url = ""
    with CancelScope() as scope:
        async with serving(create_app(MockSettings()), listen()) as url:
            scope.cancel()
            await sleep_forever()
    assert scope.cancelled_caught
    assert await refuses_connections(url)


async def test_an_app_that_fails_to_start_raises_before_the_block() -> None:
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
async def test_an_ipv6_address_is_in_brackets() -> None:
    async with serving(create_app(MockSettings()), listen("::1")) as url:
        assert url.startswith("http://[::1]:")
        assert not await refuses_connections(url)


async def test_an_exception_of_the_server_is_raised_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def serve(_app: Any, _config: Any, *, shutdown_trigger: Any) -> None:
        async with create_task_group() as tasks:
            tasks.start_soon(shutdown_trigger)
            await wait_all_tasks_blocked()
            raise LookupError("no power")

    # The real server cannot be made to fail.
    monkeypatch.setattr(serving_module, "_hypercorn", lambda: serve)
    with pytest.raises(LookupError, match="no power"):
        async with serving(create_app(MockSettings()), listen()):
            await wait_all_tasks_blocked()
    with pytest.raises(KeyError, match="mine"):  # an error of the block comes first
        async with serving(create_app(MockSettings()), listen()):
            raise KeyError("mine")


Started = Callable[[], None]


def raising(error: Exception, *, first: bool) -> Callable[[Started], Awaitable[None]]:
    async def run(started: Started) -> None:
        if not first:
            started()
        raise error

    return run


@pytest.mark.parametrize("first", [True, False])
async def test_an_exception_is_stored_and_ends_nothing_else(*, first: bool) -> None:
    error = LookupError("mine")
    background = BackgroundTask(raising(error, first=first))
    background.start()
    await background.wait_started()
    await background.wait_ended()
    assert background.error is error


async def test_an_exception_alone_in_a_group_is_unwrapped() -> None:
    alone, other = LookupError("one"), KeyError("two")
    both = ExceptionGroup("", [alone, other])
    for group, kept in ((ExceptionGroup("", [ExceptionGroup("", [alone])]), alone), (both, both)):
        background = BackgroundTask(raising(group, first=True))
        background.start()
        await background.wait_ended()
        assert background.error is kept


async def test_the_task_is_not_cancelled_with_the_caller() -> None:
    events: list[str] = []

    async def run(started: Started) -> None:
        events.append("began")
        started()

    background = BackgroundTask(run)
    async with create_task_group() as tasks:
        background.start()
        tasks.cancel_scope.cancel()
    await background.wait_ended()
    assert (events, background.error) == (["began"], None)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_is_cancelled_before_its_first_step_has_ended() -> None:
    before = asyncio.all_tasks()
    background = BackgroundTask(raising(LookupError("It began."), first=True))
    background.start()
    (task,) = asyncio.all_tasks() - before
    task.cancel()
    await background.wait_started()
    await background.wait_ended()
    assert (task.cancelled(), background.error) == (True, None)
