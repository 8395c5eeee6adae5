import pytest
from hypercorn.protocol.http_stream import HTTPStream

from oxaigen_auth_mock.asgi.hypercorn_connections import SEND_KEY, connection_of


def test_a_call_of_another_server_has_no_connection() -> None:
    assert connection_of({}) is None
    assert connection_of({SEND_KEY: connection_of}) is None


def test_a_hypercorn_that_has_changed_inside_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class OtherStream(HTTPStream):
        def __init__(self) -> None:
            """Have none of the attributes of hypercorn's stream."""

    for _ in range(2):
        assert connection_of({SEND_KEY: OtherStream().app_send}) is None
    assert [record.getMessage() for record in caplog.records] == [
        "Faults cannot break connections: the mock does not support this hypercorn."
    ]
