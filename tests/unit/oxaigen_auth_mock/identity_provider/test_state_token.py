from base64 import urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oxaigen_auth_mock.identity_provider.state_token import InvalidStateError, SignIn, StateSigner
from oxaigen_auth_mock.routes.return_to import MAX_BYTES, MAX_ORIGIN, safe_return_to

TEXT = st.text(st.characters(codec="utf-8"))


@given(st.builds(SignIn, TEXT, st.none() | TEXT, TEXT))
def test_a_signed_state_is_url_safe_and_can_be_read_again(sign_in: SignIn) -> None:
    signer = StateSigner()
    state = signer.sign(sign_in)
    assert signer.read(state) == sign_in
    assert quote(state, safe="") == state


def test_no_origin_stays_none() -> None:
    signer = StateSigner()
    assert signer.read(signer.sign(SignIn("/", None, ""))).origin is None


def test_another_signers_state_is_invalid() -> None:
    with pytest.raises(InvalidStateError, match="Invalid state"):
        StateSigner().read(StateSigner().sign(SignIn("/", None, "")))


STATE = StateSigner(b"k" * 32).sign(SignIn("/reports", "http://localhost:5173", "t"))


@given(st.integers(0, len(STATE) - 1), st.characters())
def test_a_changed_state_is_invalid(place: int, character: str) -> None:
    changed = STATE[:place] + character + STATE[place + 1 :]
    assume(changed != STATE)
    with pytest.raises(InvalidStateError):
        StateSigner(b"k" * 32).read(changed)


@pytest.mark.parametrize(
    "state",
    ["", " ", "mock-state", STATE[:-1], STATE + "=", STATE + "A", STATE[43:], STATE[:43],
     "ä" * 60, "\ud800" * 60, urlsafe_b64encode(b"x" * 60).decode()],
)  # fmt: skip
def test_a_garbled_state_is_invalid(state: str) -> None:
    with pytest.raises(InvalidStateError):
        StateSigner(b"k" * 32).read(state)


def test_a_signer_does_not_show_its_key() -> None:
    assert "kkk" not in repr(StateSigner(b"k" * 32))


PRINTABLE = st.characters(codec="utf-8").filter(str.isprintable)


@given(st.text(PRINTABLE | st.sampled_from('"\\\U0001f600'), max_size=2048))
def test_the_exchange_accepts_the_state_of_every_accepted_path(text: str) -> None:
    assert _state_length("/" + text[:2047]) <= 8192


@pytest.mark.parametrize("character", ['"', "\\", "a", "ä", "日", "\U0001f600"])
def test_the_exchange_accepts_the_state_of_the_longest_paths(character: str) -> None:
    size = len(character.encode())
    for mixed in (character * 2047, '"' * 1365 + character * 682, character * (4095 // size)):
        assert _state_length("/" + mixed[:2047]) <= 8192


def _state_length(path: str) -> int:
    goal = safe_return_to(path, fallback="/")
    assert len(goal.encode()) <= MAX_BYTES
    return len(StateSigner().sign(SignIn(goal, "x" * MAX_ORIGIN, "t" * 43)))
