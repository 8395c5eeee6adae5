from time import process_time

import pytest

from oxaigen_auth._shared.redis import outbox as module
from oxaigen_auth._shared.redis.events import Event, Kind
from oxaigen_auth._shared.redis.outbox import Outbox

A, B, C = (Event(Kind.TOKEN, letter * 16) for letter in (b"a", b"b", b"c"))


def test_an_event_is_in_it_until_it_is_confirmed() -> None:
    outbox = Outbox(60)
    assert not outbox
    outbox.add([A, B])
    assert A in outbox
    batch = outbox.take(Kind.TOKEN, 1)
    assert list(batch) == [A]
    assert A in outbox
    assert C not in outbox
    outbox.confirm(batch)
    assert A not in outbox
    outbox.confirm(outbox.take(Kind.TOKEN, 10))
    assert not outbox
    assert outbox.take(Kind.TOKEN, 10) == {}


def test_an_event_that_is_added_while_it_is_sent_is_sent_again() -> None:
    outbox = Outbox(60)
    outbox.add([A])
    batch = outbox.take(Kind.TOKEN, 10)
    outbox.add([A])
    outbox.confirm(batch)
    assert A in outbox
    assert list(outbox.take(Kind.TOKEN, 10)) == [A]


def test_what_could_not_be_sent_waits_again() -> None:
    outbox = Outbox(60)
    outbox.add([A, B])
    batch = outbox.take(Kind.TOKEN, 1)
    outbox.put_back(batch)
    assert outbox.waiting() == [A, B]


def test_each_kind_is_taken_by_itself() -> None:
    outbox, everything = Outbox(60), Event(Kind.ALL)
    outbox.add([A, everything])
    assert list(outbox.take(Kind.ALL, 10)) == [everything]
    assert outbox.waiting() == [A]


def test_what_is_added_while_it_is_sent_keeps_its_place_and_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)  # it has no other clock
    outbox = Outbox(60)
    outbox.add([A, B])
    batch = outbox.take(Kind.TOKEN, 10)
    now = 30
    outbox.add([C, A])
    outbox.put_back(batch)
    assert outbox.waiting() == [B, C, A]
    now = 60
    assert list(outbox.take(Kind.TOKEN, 10)) == [C, A]


def test_the_time_to_take_events_does_not_depend_on_how_many_wait() -> None:
    def seconds(number: int) -> float:
        outbox = Outbox(600)
        outbox.add(Event(Kind.TOKEN, id_.to_bytes(16)) for id_ in range(number))
        began = process_time()
        for _ in range(200):
            outbox.confirm(outbox.take(Kind.TOKEN, 10))
        return process_time() - began

    assert seconds(100_000) < 10 * seconds(2_000) + 0.05


def test_an_event_is_kept_as_long_as_entries_can_live(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)  # it has no other clock
    outbox = Outbox(60)
    outbox.add([A])
    now = 30
    outbox.add([B])
    outbox.put_back(outbox.take(Kind.TOKEN, 10))
    now = 60
    assert outbox.waiting() == [B]
    assert list(outbox.take(Kind.TOKEN, 10)) == [B]
