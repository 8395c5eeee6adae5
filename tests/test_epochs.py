from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth._core.epochs import Epochs

TOKENS = [b"a", b"b", b"c", b"d"]


def test_tokens_start_in_one_epoch() -> None:
    epochs = Epochs(4)
    assert {epochs.of(token) for token in TOKENS} == {0}
    assert len(epochs) == 0


def test_advancing_one_token_leaves_the_others_where_they_are() -> None:
    epochs = Epochs(4)
    epochs.advance(b"a")
    assert epochs.of(b"a") != 0
    assert epochs.of(b"b") == 0
    assert len(epochs) == 1


def test_one_token_too_many_starts_a_new_epoch_for_all() -> None:
    epochs = Epochs(2)
    for token in (b"a", b"b"):
        epochs.advance(token)
    before = {token: epochs.of(token) for token in TOKENS}
    epochs.advance(b"c")
    assert all(epochs.of(token) > before[token] for token in TOKENS)
    assert len(epochs) == 1


def test_it_remembers_as_many_tokens_as_it_may() -> None:
    epochs = Epochs(1000)
    for number in range(1000):
        epochs.advance(str(number).encode())
    assert len(epochs) == 1000
    epochs.advance(b"one more")
    assert len(epochs) == 1


@given(st.integers(1, 3), st.lists(st.sampled_from(TOKENS), max_size=40))
def test_no_token_is_ever_in_a_past_epoch_again(size: int, forgotten: list[bytes]) -> None:
    epochs = Epochs(size)
    for token in forgotten:
        before = {each: epochs.of(each) for each in TOKENS}
        epochs.advance(token)
        assert epochs.of(token) > max(before.values())
        assert all(epochs.of(each) >= before[each] for each in TOKENS)
        assert len(epochs) <= size
