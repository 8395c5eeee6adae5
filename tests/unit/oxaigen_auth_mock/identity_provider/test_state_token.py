from base64 import urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oxaigen_auth_mock.identity_provider.state_token import Signer, SignIn, StateError
from oxaigen_auth_mock.routes.return_to import MAX_BYTES, MAX_ORIGIN, calling_origin, local_path

FALLBACK = "/home"


TEXT = st.text(st.characters(codec="utf-8"))


@given(st.builds(SignIn, TEXT, st.none() | TEXT, TEXT))
def test_what_was_signed_is_read_again_from_a_text_that_needs_no_escaping(sign_in: SignIn) -> None:
    signer = Signer()
    state = signer.sign(sign_in)
    assert signer.read(state) == sign_in
    assert quote(state, safe="") == state


def test_no_origin_stays_none() -> None:
    signer = Signer()
    assert signer.read(signer.sign(SignIn("/", None, ""))).origin is None


def test_another_signers_state_is_invalid() -> None:
    with pytest.raises(StateError, match="Invalid state"):
        Signer().read(Signer().sign(SignIn("/", None, "")))


STATE = Signer(b"k" * 32).sign(SignIn("/reports", "http://localhost:5173", "t"))


@given(st.integers(0, len(STATE) - 1), st.characters())
def test_a_changed_state_is_invalid(place: int, character: str) -> None:
    changed = STATE[:place] + character + STATE[place + 1 :]
    assume(changed != STATE)
    with pytest.raises(StateError):
        Signer(b"k" * 32).read(changed)


@pytest.mark.parametrize(
    "state",
    ["", " ", "mock-state", STATE[:-1], STATE + "=", STATE + "A", STATE[43:], STATE[:43],
     "ä" * 60, "\ud800" * 60, urlsafe_b64encode(b"x" * 60).decode()],
)  # fmt: skip
def test_a_garbled_state_is_invalid(state: str) -> None:
    with pytest.raises(StateError):
        Signer(b"k" * 32).read(state)


def test_a_signer_does_not_show_its_key() -> None:
    assert "kkk" not in repr(Signer(b"k" * 32))


@pytest.mark.parametrize(
    "path",
    ["/", "/reports", "/a/b?page=2&next=%2F%2Fx#part", "/a//b", "/ä/日本", "/a b", "/?x=%0A",
     "/#\\", "/a:b@c", "/.", "/a\\b"],
)  # fmt: skip
def test_a_local_path_is_kept(path: str) -> None:
    assert local_path(path, fallback=FALLBACK) == path


@pytest.mark.parametrize(
    "path",
    ["", "reports", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
     "https://evil.example", "http:evil.example", "javascript:alert(1)", "data:text/html,x",
     "user:password@evil.example", "@evil.example", " /x", "\t/x", "\n//evil.example",
     "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "/%09/evil.example",
     "/%0a/evil.example", "/%0D/evil.example", "/%2f/evil.example", "/%2Fevil.example",
     "/%5cevil.example", "/%5C/evil.example", "/a\x00b", "/a%00b", "/a\x7fb", "/a\x85b",
     "/a\u2028b", "/a\u202eb", "/?x=\n", "?x", "#x", "/\ud800"],
)  # fmt: skip
def test_what_could_lead_to_another_site_falls_back(path: str) -> None:
    assert local_path(path, fallback=FALLBACK) == FALLBACK


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:5173", "https://app.example.com", "http://127.0.0.1:1", "http://[::1]:80"],
)
def test_an_origin_of_the_web_is_remembered_where_all_may_call(origin: str) -> None:
    assert calling_origin(origin, ("*",)) == origin


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "*", "localhost:5173", "file://", "ftp://x", "chrome-extension://abc",
     "http://", "http://x/", "http://x/path", "http://x?y", "http://u@x", "http://x:99999",
     "http://[zz]", "http://[1::2::3]", "http://x http://y", "HTTP://x", "javascript:alert(1)",
     "http://x\n", "http://<script>", "http://" + MAX_ORIGIN * "x"],
)  # fmt: skip
def test_anything_else_counts_as_no_origin(origin: str | None) -> None:
    assert calling_origin(origin, ("*",)) is None


def test_an_origin_that_may_not_call_is_not_remembered() -> None:
    allowed = ("http://localhost:5173", "https://app.example.com")
    assert calling_origin("https://app.example.com", allowed) == "https://app.example.com"
    assert calling_origin("https://app.example.com:444", allowed) is None
    assert calling_origin("https://x.app.example.com", allowed) is None


PRINTABLE = st.characters(codec="utf-8").filter(str.isprintable)


@given(st.text(PRINTABLE | st.sampled_from('"\\\U0001f600'), max_size=2048))
def test_every_path_that_login_takes_makes_a_state_that_the_exchange_takes(text: str) -> None:
    assert _state_length("/" + text[:2047]) <= 8192


@pytest.mark.parametrize("character", ['"', "\\", "a", "ä", "日", "\U0001f600"])
def test_the_longest_paths_make_a_state_that_the_exchange_takes(character: str) -> None:
    size = len(character.encode())
    for mixed in (character * 2047, '"' * 1365 + character * 682, character * (4095 // size)):
        assert _state_length("/" + mixed[:2047]) <= 8192


def _state_length(path: str) -> int:
    goal = local_path(path, fallback="/")
    assert len(goal.encode()) <= MAX_BYTES
    return len(Signer().sign(SignIn(goal, "x" * MAX_ORIGIN, "t" * 43)))
