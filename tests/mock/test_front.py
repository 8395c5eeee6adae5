import pytest
from httpx import ASGITransport, AsyncClient, Response

from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.front import is_remote

pytestmark = pytest.mark.anyio

REMOTE = [
    "10.0.0.5",
    "192.168.1.2",
    "203.0.113.9",
    "fe80::1%eth0",
    "::ffff:10.0.0.5",
    "::",
    "2001:db8::1",
]
HERE = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "testclient", ""]


async def call_from(host: str, path: str, *, allow_remote: bool = False) -> Response:
    app = create_app(MockSettings(allow_remote=allow_remote))
    transport = ASGITransport(app, client=(host, 50_000))
    async with AsyncClient(transport=transport, base_url="http://mock") as client:
        return await client.get(path, headers={"Authorization": "Bearer mock-dev-token"})


@pytest.mark.parametrize("host", REMOTE)
@pytest.mark.parametrize("path", ["/_oxa_auth/get-me", "/_mock/api/calls", "/health", "/none"])
async def test_another_machine_gets_no_answer(host: str, path: str) -> None:
    response = await call_from(host, path)
    assert response.status_code == 403
    assert "--allow-remote" in response.json()["detail"]
    assert response.headers["X-Oxaigen-Mock"] == "1"


@pytest.mark.parametrize("host", REMOTE)
async def test_with_leave_another_machine_is_answered(host: str) -> None:
    response = await call_from(host, "/_oxa_auth/get-me", allow_remote=True)
    assert response.json()["user_name"] == "devuser"


@pytest.mark.parametrize("host", HERE)
async def test_this_machine_is_answered(host: str) -> None:
    response = await call_from(host, "/_oxa_auth/get-me")
    assert (response.status_code, response.headers["X-Oxaigen-Mock"]) == (200, "1")


async def test_a_refused_call_is_not_in_the_journal() -> None:
    app = create_app(MockSettings())
    transport = ASGITransport(app, client=("10.0.0.5", 1))
    async with AsyncClient(transport=transport, base_url="http://mock") as client:
        await client.get("/_oxa_auth/get-me")
    assert app.proxy.journal.counts.report()["total"] == 0


def test_addresses_are_told_apart() -> None:
    assert all(map(is_remote, REMOTE))
    assert not any(map(is_remote, HERE))
