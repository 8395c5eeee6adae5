import re
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio import CancelScope, create_task_group, sleep_forever
from httpx import AsyncClient

from oxaigen_auth import (
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
)
from oxaigen_auth_mock import (
    MockSettings,
    Persona,
    RunningMock,
    TokenTakenError,
    running_mock,
)

REFRESH = "OxaigenPlatformAuthRefreshToken"
ME = "/_oxa_auth/get-me"
DEV = {"Authorization": "Bearer mock-dev-token"}
FIXTURES = """
import pytest_asyncio
import pytest
from httpx import AsyncClient
from oxaigen_auth_mock import running_mock

@pytest_asyncio.fixture
async def mock():
    async with running_mock() as mock:
        yield mock

@pytest_asyncio.fixture
async def client(mock):
    async with AsyncClient(base_url=mock.url) as client:
        yield client

@pytest.mark.asyncio
@pytest.mark.parametrize("status", [200, 401])
async def test_it(mock, client, status):
    if status == 401:
        mock.revoke("mock-dev-token")
    me = await client.get("/_oxa_auth/get-me", headers={"Authorization": "Bearer mock-dev-token"})
    assert (me.status_code, [call.status for call in mock.calls()]) == (status, [status])

@pytest.mark.asyncio
async def test_a_failure(mock):
    raise LookupError("mine")

@pytest.fixture
def sync_mock():
    with running_mock() as mock:
        yield mock

def test_without_a_loop(sync_mock):
    assert sync_mock.url

@pytest.mark.asyncio
async def test_beside_one(sync_mock, mock):
    assert sync_mock.url != mock.url
"""

pytestmark = pytest.mark.anyio


async def test_a_burst_of_the_sdk_is_one_call() -> None:
    async with running_mock(MockSettings(latency=0.1)) as mock, ProxyAuthClient(mock.url) as client:
        async with create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(client.get_me, "mock-dev-token")
        assert [call.persona for call in mock.calls(endpoint="get-me")] == ["devuser"]


async def test_the_handle_revokes_tokens_and_adds_faults() -> None:
    async with running_mock() as mock, ProxyAuthClient(mock.url) as client:
        assert (await client.get_me("mock-dev-token")).user_name == "devuser"
        mock.revoke("mock-dev-token")
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me("mock-dev-token", fresh=True)
        mock.fault("reset", endpoint="get-me", times=2)  # a kept-alive connection has a retry
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me("mock-admin-token")
        assert (await client.get_me("mock-admin-token")).user_name == "admin"


async def test_a_test_mock_has_the_given_personas_and_ignores_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_USER_NAME", "zoe")
    ada = Persona(name="ada", token="t", permissions=("audit",))
    async with running_mock(personas=[ada]) as mock, ProxyAuthClient(mock.url) as client:
        assert (await client.get_me("t")).user_name == "ada"
        assert await client.test_permission("t", "audit")
        assert (await client.get_me("mock-dev-token")).user_name == "devuser"


async def test_two_mocks_run_side_by_side() -> None:
    async with running_mock() as one, running_mock() as other:
        assert one.url != other.url
        one.revoke("mock-dev-token")
        async with AsyncClient() as client:
            for mock, status in ((one, 401), (other, 200)):
                headers = {"Authorization": "Bearer mock-dev-token"}
                answer = await client.get(f"{mock.url}/_oxa_auth/get-me", headers=headers)
                assert answer.status_code == status


async def test_in_production_the_sdk_accepts_no_mock(caplog: pytest.LogCaptureFixture) -> None:
    settings = OxaigenAuthSettings(environment="production")
    async with running_mock() as mock, ProxyAuthClient(mock.url, settings=settings) as client:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me("mock-dev-token")
        assert [call.verdict for call in mock.calls()] == ["accepted"]
    assert "mock" in caplog.text
    assert "mock-dev-token" not in caplog.text


def check_that_nothing_listens(url: str) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


async def test_pitfall_55_it_may_begin_in_one_task_and_end_in_another() -> None:
    run, mocks = running_mock(), list[RunningMock]()

    async def begin() -> None:
        mocks.append(await run.__aenter__())

    async def end() -> None:
        await run.__aexit__(None, None, None)

    async with create_task_group() as tasks:  # noqa: ASYNC112 (a task of its own)
        tasks.start_soon(begin)
    async with AsyncClient(base_url=mocks[0].url) as client:
        assert (await client.get(ME, headers=DEV)).status_code == 200
    async with create_task_group() as tasks:  # noqa: ASYNC112 (as above)
        tasks.start_soon(end)
    check_that_nothing_listens(mocks[0].url)


async def test_pitfall_55_a_block_that_is_cancelled_in_another_task_stops_the_mock() -> None:
    run = running_mock()
    with CancelScope() as scope:
        mock = await run.__aenter__()
        scope.cancel()
        try:
            await sleep_forever()
        finally:
            await run.__aexit__(None, None, None)  # noqa: ASYNC102 (it shields itself)
    assert scope.cancelled_caught
    check_that_nothing_listens(mock.url)


@pytest.fixture
async def mock_of_a_fixture() -> AsyncGenerator[RunningMock]:
    async with running_mock() as mock:
        yield mock


async def test_a_fixture_of_anyios_plugin_serves_a_mock(mock_of_a_fixture: RunningMock) -> None:
    async with AsyncClient(base_url=mock_of_a_fixture.url) as client:
        mock_of_a_fixture.revoke("mock-dev-token")
        assert (await client.get(ME, headers=DEV)).status_code == 401


def test_pitfall_55_fixtures_of_pytest_asyncio_serve_one(tmp_path: Path) -> None:
    (tmp_path / "test_fixtures.py").write_text(FIXTURES)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    run = subprocess.run(  # noqa: S603 - the interpreter that runs this test
        [*command, "-o", "asyncio_default_fixture_loop_scope=function", "test_fixtures.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert re.search("^1 failed, 4 passed in ", run.stdout, re.MULTILINE), run.stdout
    assert "LookupError: mine" in run.stdout
    assert "different task" not in run.stdout


async def test_an_exception_in_the_block_is_raised_unwrapped() -> None:
    url = ""
    with pytest.raises(LookupError, match="mine"):
        async with running_mock() as mock:
            url = mock.url
            raise LookupError("mine")
    check_that_nothing_listens(url)


@pytest.fixture(params=["asyncio", "trio"])
def sync_mock(request: pytest.FixtureRequest) -> Generator[RunningMock]:
    with running_mock(MockSettings(backend=request.param)) as mock:
        yield mock


def test_without_an_event_loop_it_is_served_by_a_thread(sync_mock: RunningMock) -> None:
    assert httpx.get(sync_mock.url + ME, headers=DEV).status_code == 200
    sync_mock.revoke("mock-dev-token")
    assert httpx.get(sync_mock.url + ME, headers=DEV).status_code == 401
    sync_mock.restore("mock-dev-token")
    number = sync_mock.fault("status", status=418, times=1)
    assert httpx.get(sync_mock.url + ME, headers=DEV).status_code == 418
    assert sync_mock.remove_fault(number)
    changed = sync_mock.permit("devuser", "export", granted=True)
    assert changed.permissions == ("audit", "export")
    assert [call.status for call in sync_mock.calls(endpoint="get-me")] == [200, 401, 418]
    sync_mock.reset()
    assert sync_mock.calls() == ()


def test_an_error_of_a_method_is_raised_in_the_calling_thread(sync_mock: RunningMock) -> None:
    with pytest.raises(TokenTakenError, match="'devuser' already has the token"):
        sync_mock.put(Persona(name="ada", token="mock-dev-token"))


def test_each_method_runs_on_the_loop_of_the_mock(sync_mock: RunningMock) -> None:
    with httpx.stream("GET", f"{sync_mock.url}/_mock/api/events") as events:
        lines = events.iter_lines()
        assert any("devuser" in line for line in lines)
        sync_mock.put(Persona(name="ada"))  # would wake nobody from another thread
        assert any("mock-ada-token" in line for line in lines)


def test_after_a_sync_block_nothing_is_left() -> None:
    before = threading.active_count()
    with pytest.raises(LookupError, match="mine"):
        the_block_of(running_mock())
    assert threading.active_count() == before


def the_block_of(run: AbstractContextManager[Any]) -> None:
    with run as mock:
        assert httpx.get(f"{mock.url}/health").status_code == 200
        raise LookupError("mine")


@pytest.mark.anyio
async def test_a_cookie_suffix_is_the_port_of_the_running_mock() -> None:
    settings = MockSettings(cookie_suffix="auto")
    async with running_mock(settings) as mock, AsyncClient(base_url=mock.url) as client:
        name = f"{REFRESH}-{mock.url.rpartition(':')[2]}"
        cookie = {"Cookie": f"{name}=mock-dev-refresh-token"}
        assert (await client.post("/_oxa_auth/refresh", headers=cookie)).status_code == 200
