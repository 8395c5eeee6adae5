import pytest
from fastapi.testclient import TestClient

from docs.examples.fleet import app
from oxaigen_auth.testing import FakeProxy

ADA = {"Authorization": "Bearer adas-token"}
SERVICE = {"X-Back-Channel-Secret": "a secret of the tests"}

client = TestClient(app)


@pytest.fixture(autouse=True)
def _signed_in(monkeypatch: pytest.MonkeyPatch, oxaigen_proxy: FakeProxy) -> None:
    monkeypatch.setenv("BACK_CHANNEL_SECRET", SERVICE["X-Back-Channel-Secret"])
    oxaigen_proxy.add_user("adas-token", id=7, user_name="ada")
    assert status() == 200
    oxaigen_proxy.reject("adas-token")
    assert status() == 200  # from the cache


def status() -> int:
    return client.get("/v1/me", headers=ADA).status_code


def test_a_user_who_signs_out_is_asked_for_again() -> None:
    assert client.post("/v1/sign-out", headers=ADA).status_code == 204
    assert status() == 401


def test_a_service_signs_a_user_out_without_knowing_the_token() -> None:
    assert client.post("/back-channel/sign-out/8", headers=SERVICE).status_code == 204
    assert status() == 200
    assert client.post("/back-channel/sign-out/7", headers=SERVICE).status_code == 204
    assert status() == 401


@pytest.mark.parametrize("headers", [{}, {"X-Back-Channel-Secret": "a guess"}, ADA])
def test_nobody_else_signs_users_out_or_reads_counts(headers: dict[str, str]) -> None:
    assert client.post("/back-channel/sign-out/7", headers=headers).status_code == 403
    assert client.get("/back-channel/worker", headers=headers).status_code == 403
    assert status() == 200


def test_without_a_secret_the_back_channel_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACK_CHANNEL_SECRET", "")
    for headers in ({}, {"X-Back-Channel-Secret": ""}):
        assert client.post("/back-channel/sign-out/7", headers=headers).status_code == 403


def test_the_counts_are_those_of_the_worker() -> None:
    counts = client.get("/back-channel/worker", headers=SERVICE).json()
    assert (counts["misses"], counts["hits"]) == (1, 1)
