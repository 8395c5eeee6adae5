from fastapi.testclient import TestClient

from docs.examples.app import app
from oxaigen_auth.testing import FakeProxy, as_anonymous, as_unavailable, as_user

client = TestClient(app)


def test_permissions_are_separate() -> None:
    with as_user(app, permissions=["audit"], email="ada@example.com"):
        assert client.get("/v1/audit").json() == {"seen_by": "ada@example.com"}
        response = client.get("/v1/billing")
    assert response.status_code == 403
    assert response.json() == {"detail": "Missing permission: billing"}


def test_guests_are_greeted_and_otherwise_asked_to_sign_in() -> None:
    with as_anonymous(app):
        assert client.get("/v1/greeting").json() == "Hello!"
        assert client.get("/v1/me").status_code == 401


def test_an_outage_signs_nobody_out() -> None:
    with as_unavailable(app):
        assert client.get("/v1/me").status_code == 502
        assert client.get("/v1/greeting").status_code == 502
        assert client.get("/health").status_code == 200


def test_a_user_who_signs_out_is_asked_for_again(oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.add_user("adas-token", user_name="ada")
    ada = {"Authorization": "Bearer adas-token"}
    assert client.get("/v1/me", headers=ada).json()["user_name"] == "ada"
    oxaigen_proxy.reject("adas-token")
    assert client.get("/v1/me", headers=ada).status_code == 200  # from the cache
    assert client.post("/v1/sign-out", headers=ada).status_code == 204
    assert client.get("/v1/me", headers=ada).status_code == 401


def test_the_app_is_ready_if_the_proxy_answers(oxaigen_proxy: FakeProxy) -> None:
    assert client.get("/ready").json() == {"proxy": True}
    assert oxaigen_proxy.count() == 1


def test_the_app_is_not_ready_during_an_outage(oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.fail()
    assert client.get("/ready").status_code == 503
