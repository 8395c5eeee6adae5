from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth import OxaigenAuthConfigurationError
from oxaigen_auth._shared.keys import Keyring
from oxaigen_auth._shared.store import NO_USER

ONE, TWO, LONG = b"1" * 32, b"2" * 32, b"3" * 200
RING = Keyring([ONE])
BOTH = Keyring([ONE, TWO])
TOKEN, URL = "opaque-token-of-ada", "https://app.example.com"

texts = st.text(st.characters(codec=None, exclude_categories=()))
questions = st.tuples(texts, st.none() | texts)


@given(texts, texts)
def test_only_equal_tokens_have_equal_ids(one: str, other: str) -> None:
    assert (RING.token_id(one) == RING.token_id(other)) == (one == other)
    assert len(RING.token_id(one)) == 16


def test_the_id_of_a_token_is_that_of_the_first_secret() -> None:
    assert BOTH.token_ids(TOKEN) == (BOTH.token_id(TOKEN), Keyring([TWO]).token_id(TOKEN))
    assert len(set(BOTH.token_ids(TOKEN))) == 2


def test_the_same_secrets_give_the_same_ids_in_every_process() -> None:
    code = (
        "from oxaigen_auth._shared.keys import Keyring\n"
        f"print(Keyring([{ONE!r}]).token_id({TOKEN!r}).hex())"
    )
    run = [sys.executable, "-c", code]
    other = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 (our own code)
    assert other == RING.token_id(TOKEN).hex()


@given(questions, questions)
def test_only_equal_questions_have_equal_keys(
    one: tuple[str, str | None], other: tuple[str, str | None]
) -> None:
    keys = [RING.entry_keys(TOKEN, *question) for question in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@given(texts, texts, st.integers(0, 10))
def test_moving_characters_between_the_parts_of_a_question_changes_its_key(
    base_url: str, permission: str, moved: int
) -> None:
    joined = base_url + permission
    question = (joined[:moved], joined[moved:])
    keys = [RING.entry_keys(TOKEN, *asked) for asked in (question, (base_url, permission))]
    assert (keys[0] == keys[1]) == (question == (base_url, permission))


@pytest.mark.parametrize("permission", ["", "user", "permission"])
def test_no_permission_has_the_key_of_the_user(permission: str) -> None:
    assert RING.entry_keys(TOKEN, URL) != RING.entry_keys(TOKEN, URL, permission)


def test_an_entry_has_a_key_for_each_secret() -> None:
    keys = BOTH.entry_keys(TOKEN, URL, "audit")
    assert tuple(key.token_id for key in keys) == BOTH.token_ids(TOKEN)
    assert keys[:1] == RING.entry_keys(TOKEN, URL, "audit")
    assert {len(key.question_id) for key in keys} == {16}
    assert keys[0].question_id != keys[1].question_id


@given(st.tuples(texts, st.integers()), st.tuples(texts, st.integers()))
def test_only_equal_users_have_equal_tags(one: tuple[str, int], other: tuple[str, int]) -> None:
    assert (RING.user_tags(*one) == RING.user_tags(*other)) == (one == other)


@given(texts, st.integers())
def test_a_user_has_a_tag_for_each_secret_that_is_not_that_of_no_user(
    base_url: str, user_id: int
) -> None:
    tags = BOTH.user_tags(base_url, user_id)
    assert len(set(tags)) == 2
    assert {len(tag) for tag in tags} == {16}
    assert NO_USER not in tags
    assert all(tag[-1] & 1 for tag in tags)


def test_a_topic_is_that_of_a_proxy_and_of_the_first_secret() -> None:
    assert len(RING.topic(URL)) == 16
    assert BOTH.topic(URL) == RING.topic(URL)
    assert len({RING.topic(URL), RING.topic(URL + "/"), Keyring([TWO]).topic(URL)}) == 3


@given(texts, st.binary(), st.binary())
def test_what_is_sealed_can_be_opened_with_the_same_token_and_the_same_bound_bytes(
    token: str, plaintext: bytes, bound: bytes
) -> None:
    sealed = RING.seal(token, plaintext, bound)
    assert BOTH.open(0, token, sealed, bound) == plaintext
    assert BOTH.open(1, token, sealed, bound) is None
    assert RING.open(0, token + "x", sealed, bound) is None
    assert RING.open(0, token, sealed, bound + b"x") is None


@given(st.binary(), st.binary(min_size=1), st.data())
def test_a_flipped_bit_anywhere_is_noticed(
    plaintext: bytes, bound: bytes, data: st.DataObject
) -> None:
    sealed = RING.seal(TOKEN, plaintext, bound)
    flipped = flip(sealed, data.draw(st.integers(0, 8 * len(sealed) - 1)))
    assert RING.open(0, TOKEN, flipped, bound) is None
    bound = flip(bound, data.draw(st.integers(0, 8 * len(bound) - 1)))
    assert RING.open(0, TOKEN, sealed, bound) is None


def test_every_single_flipped_bit_of_a_short_seal_is_noticed() -> None:
    sealed = RING.seal(TOKEN, b"ada", b"bound")
    assert RING.open(0, TOKEN, sealed, b"bound") == b"ada"
    for bit in range(8 * len(sealed)):
        assert RING.open(0, TOKEN, flip(sealed, bit), b"bound") is None


@given(st.binary(max_size=200))
def test_what_was_never_sealed_opens_to_nothing(sealed: bytes) -> None:
    assert RING.open(0, TOKEN, sealed, b"") is None


def test_a_truncated_or_extended_seal_opens_to_nothing() -> None:
    sealed = RING.seal(TOKEN, b"ada", b"")
    for length in range(len(sealed)):
        assert RING.open(0, TOKEN, sealed[:length], b"") is None
    assert RING.open(0, TOKEN, sealed + b"\0", b"") is None


def test_the_same_plaintext_never_gives_the_same_seal() -> None:
    assert len({RING.seal(TOKEN, b"ada", b"") for _ in range(1000)}) == 1000


@given(st.binary())
def test_what_any_of_the_secrets_has_signed_is_verified(message: bytes) -> None:
    for secret in (ONE, TWO):
        assert BOTH.verify(Keyring([secret]).sign(message)) == message
    assert BOTH.sign(message) == RING.sign(message)
    assert RING.verify(Keyring([TWO]).sign(message)) is None


@given(st.binary(), st.data())
def test_a_flipped_bit_of_a_signed_message_is_noticed(message: bytes, data: st.DataObject) -> None:
    signed = RING.sign(message)
    bit = data.draw(st.integers(0, 8 * len(signed) - 1))
    assert BOTH.verify(flip(signed, bit)) is None


@given(st.binary(max_size=40))
def test_what_was_never_signed_is_not_verified(signed: bytes) -> None:
    assert BOTH.verify(signed) is None


def test_each_purpose_has_values_of_its_own() -> None:
    user, topic = RING.user_tags(URL, 7)[0], RING.topic(URL)
    framed = len(URL).to_bytes(8) + URL.encode()
    signature = RING.sign(framed)[:16]
    token = RING.token_id(framed.decode())
    assert len({user, topic, signature, token}) == 4


@pytest.mark.parametrize("length", [32, 63, 64, 65, 128, 10_000])
def test_secrets_of_any_length_differ_in_every_byte(length: int) -> None:
    secret = bytes(length)
    ids = {Keyring([secret]).token_id(TOKEN)}
    ids |= {Keyring([flip(secret, bit)]).token_id(TOKEN) for bit in (0, 8 * length - 1)}
    ids.add(Keyring([secret + b"\0"]).token_id(TOKEN))
    assert len(ids) == 4


@given(st.text(min_size=4), st.binary())
def test_a_token_occurs_in_no_output(token: str, plaintext: bytes) -> None:
    ring = Keyring([ONE, LONG])
    bound = b"".join(ring.entry_keys(token, URL)[0])
    outputs = [
        *ring.token_ids(token),
        *(part for key in ring.entry_keys(token, URL, "audit") for part in key),
        ring.seal(token, plaintext + token.encode(), bound),
        ring.sign(ring.token_id(token)),
    ]
    forms = (token.encode(), b64encode(token.encode()), token.encode().hex().encode())
    assert not [form for form in forms for output in outputs if form in output]


def test_a_keyring_shows_no_secret() -> None:
    ring = Keyring([LONG])
    assert "3" * 9 not in repr(ring) + str(ring)
    assert not hasattr(ring, "__dict__")
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(ring)


def test_without_the_extra_an_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "oxaigen_auth._shared.keys")
    line = r'SHARED_STORE needs an extra: pip install "oxaigen-auth\[shared\]", or '
    with pytest.raises(OxaigenAuthConfigurationError, match=line):
        importlib.import_module("oxaigen_auth._shared.keys")


def flip(data: bytes, bit: int) -> bytes:
    number = int.from_bytes(data) ^ (1 << bit)
    return number.to_bytes(len(data))
