import pytest

from oxaigen_auth._shared.redis.events import Event, Kind, decode, encode

A, B = b"a" * 16, b"b" * 16


@pytest.mark.parametrize("kind", [Kind.TOKEN, Kind.USER, Kind.TOPIC])
def test_events_are_decoded_as_they_were_encoded(kind: Kind) -> None:
    assert decode(encode(kind, [A, B])) == [Event(kind, A), Event(kind, B)]


def test_forgetting_everything_has_no_ids() -> None:
    assert decode(encode(Kind.ALL, [b""])) == [Event(Kind.ALL)]


@pytest.mark.parametrize(
    "message", [b"", b"t" + A, b"oxaigen event 2 t" + A, encode(Kind.ALL, [])[:-1] + b"x"]
)
def test_a_message_of_another_format_holds_no_events(message: bytes) -> None:
    assert decode(message) == []
