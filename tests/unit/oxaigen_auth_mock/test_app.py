import pytest
from httpx import ASGITransport, AsyncClient

from oxaigen_auth_mock.app import unavailable_app

pytestmark = pytest.mark.anyio


async def test_every_call_is_answered_with_503_and_the_detail() -> None:
    transport = ASGITransport(unavailable_app("why", allow_remote=False))
    async with AsyncClient(transport=transport, base_url="http://mock") as client:
        for method, path in (("GET", "/"), ("POST", "/_oxa_auth/refresh"), ("DELETE", "/a/b?c=d")):
            response = await client.request(method, path)
            assert (response.status_code, response.json()) == (503, {"detail": "why"})
            assert response.headers["X-Oxaigen-Mock"] == "1"


@pytest.mark.parametrize(("allow_remote", "status"), [(False, 403), (True, 503)])
async def test_other_machines_get_the_detail_only_if_they_are_allowed(
    *, allow_remote: bool, status: int
) -> None:
    app = unavailable_app("why", allow_remote=allow_remote)
    transport = ASGITransport(app, client=("192.0.2.1", 1))
    async with AsyncClient(transport=transport, base_url="http://mock") as client:
        assert (await client.get("/health")).status_code == status
