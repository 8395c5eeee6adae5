from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from docs.examples.without_middleware import app
from oxaigen_auth.testing import FakeProxy, as_anonymous, as_unavailable, as_user


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:  # runs the lifespan
        yield client


def test_every_user_lists_reports_and_some_read_them(client: TestClient) -> None:
    with as_user(app):
        assert client.get("/v1/reports").json() == ["q1"]
        response = client.get("/v1/reports/q1")
    assert response.json() == {"detail": "Missing permission: one of audit, export"}
    for permission in ("audit", "export"):
        with as_user(app, permissions=[permission], user_name="ada"):
            assert client.get("/v1/reports/q1").json() == "First quarter, for ada"


def test_only_owners_delete_reports(client: TestClient) -> None:
    with as_user(app, roles=["editor"], permissions=["audit", "export"]):
        assert client.delete("/v1/reports/q1").status_code == 403
    with as_user(app, roles=["owner"]):
        assert client.delete("/v1/reports/q1").status_code == 204
        assert client.get("/v1/reports").json() == []


def test_guests_read_no_reports(client: TestClient) -> None:
    with as_anonymous(app):
        assert client.get("/v1/reports").status_code == 401
        assert client.get("/v1/greeting?personal=true").json() == "Hello!"


def test_a_greeting_only_waits_for_the_proxy_if_it_is_personal(client: TestClient) -> None:
    with as_user(app, first_name="Ada"):
        assert client.get("/v1/greeting").json() == "Hello!"
        assert client.get("/v1/greeting?personal=true").json() == "Hello, Ada!"
    with as_unavailable(app):
        assert client.get("/v1/greeting").status_code == 200
        assert client.get("/v1/greeting?personal=true").status_code == 502


def test_a_user_who_signs_out_is_asked_for_again(oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.add_user("adas-token")
    with TestClient(app, headers={"Authorization": "Bearer adas-token"}) as client:
        assert client.get("/v1/reports").status_code == 200
        oxaigen_proxy.reject("adas-token")
        assert client.post("/v1/sign-out").status_code == 204
        assert client.get("/v1/reports").status_code == 401


def test_an_invalid_token_is_refused_at_sign_out(client: TestClient) -> None:
    response = client.post("/v1/sign-out", headers={"Authorization": "Bearer a b"})
    assert response.status_code == 401


def test_the_app_is_not_ready_during_an_outage(
    oxaigen_proxy: FakeProxy, client: TestClient
) -> None:
    oxaigen_proxy.fail()
    assert client.get("/ready").status_code == 503
