from collections.abc import Iterator

import anyio
import pytest
from fastapi.testclient import TestClient

from docs.examples.gateway import app, export, exports
from oxaigen_auth.testing import FakeProxy, as_anonymous
from oxaigen_auth_mock import Persona, running_mock

ADA = Persona(name="ada", token="adas-token", permissions=("audit", "export"))
ACME = "https://acme.example.com"


@pytest.fixture(autouse=True)
def _tenants(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE")
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_SCHEME", "http")
    monkeypatch.setenv("OXAIGEN_AUTH_ALLOWED_HOSTS", "*.example.com, 127.0.0.1:*")
    yield
    exports.clear()


def client_at(url: str) -> TestClient:
    """Return a client that calls the app under the host of a tenant."""
    return TestClient(app, base_url=url, headers={"Authorization": "Bearer adas-token"})


def test_each_tenant_has_its_own_users_and_exports() -> None:
    with running_mock(personas=[ADA]) as one, running_mock() as two:
        assert client_at(one.url).post("/v1/exports/q1").status_code == 202
        assert client_at(two.url).post("/v1/exports/q1").status_code == 401
        two.add(ADA)
        client_at(two.url).post("/v1/sign-out")  # the rejection is cached, too
        assert client_at(two.url).get("/v1/exports").json() == {"shown to ada": []}
        assert client_at(one.url).get("/v1/exports").json() == {"shown to ada": ["q1"]}


def test_a_sign_out_applies_to_all_tenants() -> None:
    with running_mock(personas=[ADA]) as one, running_mock(personas=[ADA]) as two:
        for tenant in (one, two):
            assert client_at(tenant.url).get("/v1/exports").status_code == 200
            tenant.revoke("adas-token")
        client_at(one.url).post("/v1/sign-out")
        for tenant in (one, two):
            assert client_at(tenant.url).get("/v1/exports").status_code == 401


def test_an_outage_of_one_tenant_does_not_affect_others() -> None:
    with running_mock(personas=[ADA]) as one:
        with running_mock(personas=[ADA]) as two:
            assert client_at(two.url).get("/ready").status_code == 200
        assert client_at(two.url).get("/v1/exports").status_code == 502
        assert client_at(one.url).get("/v1/exports").status_code == 200
        assert client_at(one.url).get("/ready").json() == {"proxy": True}


def test_a_host_that_is_no_tenant_is_refused() -> None:
    for path in ("/v1/exports", "/ready"):
        assert client_at("https://acme.example.org").get(path).status_code == 400


def test_to_start_and_to_list_exports_needs_a_permission_each(oxaigen_proxy: FakeProxy) -> None:
    for permission, start, listing in (("export", 202, 403), ("audit", 403, 200)):
        oxaigen_proxy.add_user("adas-token", permissions=[permission])
        client_at(ACME).post("/v1/sign-out")
        assert client_at(ACME).post("/v1/exports/q1").status_code == start
        assert client_at(ACME).get("/v1/exports").status_code == listing


def test_guests_are_asked_to_sign_in() -> None:
    with as_anonymous(app):
        assert client_at(ACME).get("/v1/exports").status_code == 401


def test_a_job_has_no_result_if_the_permission_was_withdrawn() -> None:
    proxy = FakeProxy()
    proxy.add_user("adas-token", permissions=["audit"])
    anyio.run(export, "q1", ACME, "adas-token", proxy.client())
    assert exports == {}
    proxy.add_user("adas-token", permissions=["export"])
    anyio.run(export, "q1", ACME, "adas-token", proxy.client())
    assert exports == {ACME: ["q1"]}
    assert {call.base_url for call in proxy.calls} == {ACME}
