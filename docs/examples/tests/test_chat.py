import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from docs.examples.chat import app
from oxaigen_auth.testing import FakeProxy, as_anonymous, as_unavailable, as_user


def test_members_hear_each_other() -> None:
    with (
        as_user(app, user_name="ada"),
        TestClient(app) as client,
        client.websocket_connect("/chat") as one,
        client.websocket_connect("/chat") as two,
    ):
        one.send_text("hello")
        assert one.receive_text() == two.receive_text() == "ada: hello"


def test_guests_do_not_enter() -> None:
    client = TestClient(app)
    with as_anonymous(app), pytest.raises(WebSocketDenialResponse) as refused:
        client.websocket_connect("/chat").__enter__()
    assert refused.value.status_code == 401


def test_nobody_enters_during_an_outage() -> None:
    client = TestClient(app)
    with as_unavailable(app), pytest.raises(WebSocketDenialResponse) as refused:
        client.websocket_connect("/chat").__enter__()
    assert refused.value.status_code == 502


def test_a_user_who_signs_out_leaves_the_chat(oxaigen_proxy: FakeProxy) -> None:
    oxaigen_proxy.add_user("adas-token", user_name="ada")
    ada = {"Authorization": "Bearer adas-token"}
    with (
        TestClient(app, headers=ada) as client,
        client.websocket_connect("/chat") as websocket,
    ):
        assert client.post("/sign-out").json() == "Good-bye, ada"
        with pytest.raises(WebSocketDisconnect) as closed:
            websocket.receive_text()
    assert (closed.value.code, closed.value.reason) == (1008, "Token no longer valid")
