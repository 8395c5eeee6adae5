import pytest
from anyio import create_task_group
from httpx import AsyncClient

from oxaigen_auth import (
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
)
from oxaigen_auth_mock import MockSettings, Persona, running_mock

pytestmark = pytest.mark.anyio


async def test_the_sdk_gets_a_burst_answered_with_one_call() -> None:
    async with running_mock(MockSettings(latency=0.1)) as mock, ProxyAuthClient(mock.url) as client:
        async with create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(client.get_me, "mock-dev-token")
        assert [call.persona for call in mock.calls(endpoint="get-me")] == ["devuser"]


async def test_a_token_is_revoked_and_a_fault_placed_by_the_handle() -> None:
    async with running_mock() as mock, ProxyAuthClient(mock.url) as client:
        assert (await client.get_me("mock-dev-token")).user_name == "devuser"
        mock.revoke("mock-dev-token")
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me("mock-dev-token", fresh=True)
        mock.fault("reset", endpoint="get-me", times=2)  # a kept-alive connection has a retry
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me("mock-admin-token")
        assert (await client.get_me("mock-admin-token")).user_name == "admin"


async def test_it_knows_the_personas_it_was_given_and_not_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_MOCK_USER_NAME", "zoe")
    ada = Persona(name="ada", token="t", permissions=("audit",))
    async with running_mock(personas=[ada]) as mock, ProxyAuthClient(mock.url) as client:
        assert (await client.get_me("t")).user_name == "ada"
        assert await client.test_permission("t", "audit")
        assert (await client.get_me("mock-dev-token")).user_name == "devuser"


async def test_two_of_them_run_side_by_side() -> None:
    async with running_mock() as one, running_mock() as other:
        assert one.url != other.url
        one.revoke("mock-dev-token")
        async with AsyncClient() as client:
            for mock, status in ((one, 401), (other, 200)):
                headers = {"Authorization": "Bearer mock-dev-token"}
                answer = await client.get(f"{mock.url}/_oxa_auth/get-me", headers=headers)
                assert answer.status_code == status


async def test_in_production_the_sdk_believes_no_mock(caplog: pytest.LogCaptureFixture) -> None:
    settings = OxaigenAuthSettings(environment="production")
    async with running_mock() as mock, ProxyAuthClient(mock.url, settings=settings) as client:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me("mock-dev-token")
        assert [call.verdict for call in mock.calls()] == ["accepted"]
    assert "mock" in caplog.text
    assert "mock-dev-token" not in caplog.text
