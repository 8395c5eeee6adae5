from starlette.testclient import TestClient

from docs.examples.starlette_app import app
from oxaigen_auth.testing import FakeProxy, as_anonymous, as_unavailable, as_user

client = TestClient(app)
ADA = {"Authorization": "Bearer adas-token"}


def test_auditors_see_the_log_and_others_do_not() -> None:
    with as_user(app, permissions=["audit"], email="ada@example.com"):
        assert client.get("/audit").text == "Seen by ada@example.com"
    with as_user(app, permissions=["export"]):
        assert client.get("/audit").status_code == 403


def test_users_and_guests_are_greeted() -> None:
    with as_user(app, user_name="ada"):
        assert client.get("/greeting").text == "Hello, ada!"
        assert client.get("/me").json()["user_name"] == "ada"
    with as_anonymous(app):
        assert client.get("/greeting").text == "Hello, guest!"
        assert client.get("/me").status_code == 401


def test_an_outage_signs_nobody_out() -> None:
    with as_unavailable(app):
        assert client.get("/me").status_code == 502


def test_the_proxy_decides_who_exports(oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.add_user("adas-token", permissions=["export"])
    oxaigen_proxy.add_user("bobs-token", permissions=["audit"])
    assert client.get("/export", headers=ADA).text == "a,b\n1,2\n"
    response = client.get("/export", headers={"Authorization": "Bearer bobs-token"})
    assert response.status_code == 403
    assert response.json() == {"detail": "Missing permission: export"}
    assert client.get("/export").status_code == 401


def test_a_user_who_signs_out_is_asked_for_again(oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.add_user("adas-token")
    assert client.get("/me", headers=ADA).status_code == 200
    oxaigen_proxy.reject("adas-token")
    assert client.post("/sign-out", headers=ADA).status_code == 204
    assert client.get("/me", headers=ADA).status_code == 401


def test_the_app_is_not_ready_during_an_outage(oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.fail()
    assert client.get("/ready").status_code == 503
