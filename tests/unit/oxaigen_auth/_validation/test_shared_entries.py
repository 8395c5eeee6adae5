from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth import OxaigenAuthSettings, User
from oxaigen_auth._shared.clocks import HostClock
from oxaigen_auth._shared.keys import Keyring
from oxaigen_auth._shared.store import NO_USER, Entry, Found, Snapshot
from oxaigen_auth._upstream.profile import structure_user
from oxaigen_auth._validation.question import Secret, user_question
from oxaigen_auth._validation.shared_entries import Opened, SharedEntries, bound_to
from oxaigen_auth._validation.verdict import Accepted, Rejected
from tests.support.tokens import MARK, OTHER, TOKEN

BASE = "https://app.example.com"
KEYS = Keyring([b"k" * 32])
GENERATION, EPOCH = b"g" * 32, b"e" * 32


def entries(now: float = 100.0, **settings: Any) -> SharedEntries:
    clock = HostClock(wall=lambda: now, boot=lambda: now, boot_id=bytes(16))
    return SharedEntries(OxaigenAuthSettings(**settings), KEYS, clock, structure_user)


def snapshot(entry: Entry | None = None, **changes: Any) -> Snapshot:
    fields: dict[str, Any] = {
        "generation": GENERATION,
        "mark": 0,
        "epoch": EPOCH,
        "count": 5,
    } | changes
    found = Found(fields["generation"], entry, fields["mark"])
    return Snapshot(fields["epoch"], fields["count"], [found])


def sealed(verdict: Any, *, permission: str = "", store: SharedEntries | None = None) -> Entry:
    store = store or entries()
    question = user_question(TOKEN, BASE, KEYS.token_id)
    question = question.about(permission) if permission else question
    key = store.keys(question, Secret(TOKEN))[0]
    user = verdict.value if isinstance(verdict, Accepted) else None
    tag = store.user_tags(BASE, user if isinstance(user, User) else None)[0]
    return store.seal(Secret(TOKEN), key, snapshot(), verdict, tag, store.host_clock.stamp())


def opened(
    entry: Entry,
    *,
    token: str = TOKEN,
    base: str = BASE,
    permission: str = "",
    store: SharedEntries | None = None,
    **changes: Any,
) -> Opened | None:
    store = store or entries(101.0)
    question = user_question(token, base, KEYS.token_id)
    question = question.about(permission) if permission else question
    key = store.keys(question, Secret(token))[0]
    return store.open(Secret(token), 0, key, snapshot(entry, **changes))


ADA = User(id=7, user_name="ada", email="ada@example.com", extra={"plan": "team"})
ENTRY = sealed(Accepted(ADA))


@pytest.mark.parametrize(
    "verdict",
    [
        Accepted(ADA),
        Accepted(User(user_name="naïve \ud800")),
        Accepted(value=True),
        Accepted(value=False),
        Rejected("Token revoked", reason="invalid_token"),
        Rejected("Not here", forbidden=True, reason="app_forbidden"),
    ],
)
def test_a_verdict_is_read_as_it_was_written(verdict: Any) -> None:
    assert opened(sealed(verdict)) == Opened(verdict, 1.0)


@given(st.integers(0, len(ENTRY.sealed) * 8 - 1))
def test_an_entry_with_another_bit_is_not_read(bit: int) -> None:
    text = bytearray(ENTRY.sealed)
    text[bit // 8] ^= 1 << bit % 8
    assert opened(ENTRY._replace(sealed=bytes(text))) is None


@given(st.binary(max_size=200))
def test_an_entry_of_anything_else_is_not_read(text: bytes) -> None:
    assert opened(Entry(NO_USER, text)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"token": OTHER},
        {"base": "https://other.example.com"},
        {"permission": "audit"},
        {"generation": b"G" * 32},
        {"epoch": b"E" * 32},
        {"mark": 6},
        {"store": entries(101.0, environment="production")},
        {"store": entries(90.0)},
    ],
)
def test_an_entry_of_another_question_or_time_is_not_read(changes: dict[str, Any]) -> None:
    assert opened(ENTRY, **changes) is None


def test_an_entry_of_another_user_is_not_read() -> None:
    assert opened(ENTRY._replace(user_tag=entries().user_tags(BASE, 8)[0])) is None
    assert opened(ENTRY._replace(user_tag=NO_USER)) is None


def test_a_mark_that_was_left_before_the_lookup_does_not_count() -> None:
    assert opened(ENTRY, mark=5) is not None


def test_an_entry_shows_no_token_and_no_field_of_the_profile() -> None:
    for word in (MARK, TOKEN, "ada", "example.com", "team"):
        assert word.encode() not in ENTRY.sealed + ENTRY.user_tag


def test_an_entry_whose_content_is_not_known_is_not_read() -> None:
    store = entries()
    key = store.keys(user_question(TOKEN, BASE, KEYS.token_id), Secret(TOKEN))[0]

    contents: list[Any] = [{"user": {"id": "x"}}, {"rejected": []}, {}]
    for content in contents:
        text = store.host_clock.stamp() + bytes(8) + json.dumps(content).encode()
        entry = Entry(NO_USER, KEYS.seal(TOKEN, text, bound_to(key, NO_USER, GENERATION, EPOCH)))
        assert opened(entry) is None


@pytest.mark.parametrize(
    ("settings", "accepted", "rejected"),
    [
        ({}, 30, 5),
        ({"stale_if_error_seconds": 60}, 90, 5),
        ({"cache_ttl_seconds": 0, "stale_if_error_seconds": 60}, 0, 5),
        ({"negative_cache_ttl_seconds": 0}, 30, 0),
    ],
)
def test_an_entry_lives_as_long_as_it_can_be_used(
    settings: dict[str, float], accepted: float, rejected: float
) -> None:
    store = entries(**settings)
    assert store.lifetime(Accepted(ADA)) == accepted
    assert store.lifetime(Rejected("")) == rejected
