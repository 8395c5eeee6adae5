from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth._core.generations import Generations

TOKENS = st.sampled_from([b"a", b"b"])
BASES = st.sampled_from(["one", "two"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["begin", "end"]), TOKENS, BASES),
        st.tuples(st.sampled_from(["forget", "reject"]), TOKENS, BASES),
    ),
    max_size=40,
)


def test_a_token_without_a_running_lookup_has_no_generation() -> None:
    generations = Generations()
    generations.forget(b"a")
    generations.reject(b"a", "one", 1.0)
    generations.note(b"a", "one", 1.0)
    assert len(generations) == 0
    assert generations.of(b"a", "one").generation == 0
    assert generations.of(b"a", "one").newest == generations.of(b"b", "two").newest


def test_forgetting_outdates_the_lookups_of_one_token_at_every_proxy() -> None:
    generations = Generations()
    for token, base in [(b"a", "one"), (b"a", "two"), (b"b", "one")]:
        generations.begin(token, base)
    generations.forget(b"a")
    assert generations.of(b"a", "one").forgotten > 0
    assert generations.of(b"a", "two").forgotten > 0
    assert generations.of(b"b", "one").forgotten == generations.of(b"b", "one").generation == 0


def test_a_rejection_is_about_one_proxy_and_outdates_no_lookup_by_its_generation() -> None:
    generations = Generations()
    for base in ("one", "two"):
        generations.begin(b"a", base)
    generations.reject(b"a", "one", 5.0)
    generations.reject(b"a", "one", 4.0)
    pending = generations.of(b"a", "one")
    assert (pending.rejected, pending.forgotten) == (5.0, 0)
    assert pending.generation > 0
    assert generations.of(b"a", "two").generation == 0
    assert generations.of(b"a", "two").rejected < 4.0


def test_notes_last_until_the_last_waiter_has_ended() -> None:
    generations = Generations()
    generations.begin(b"a", "one")
    generations.begin(b"a", "one")
    generations.note(b"a", "one", 5.0)
    generations.note(b"a", "one", 4.0)
    generations.end(b"a", "one")
    assert generations.of(b"a", "one").newest == 5.0
    generations.end(b"a", "one")
    assert generations.of(b"a", "one").newest < 4.0
    assert len(generations) == 0


@given(STEPS)
def test_an_outdated_lookup_stays_outdated(
    steps: list[tuple[str, bytes, str]],
) -> None:
    generations, begun = Generations(), Counter[tuple[bytes, str]]()
    highest = 0
    for step, token, base in steps:
        before = generations.of(token, base).generation
        if step == "begin":
            generations.begin(token, base)
            begun[token, base] += 1
        elif step == "end" and begun[token, base]:
            generations.end(token, base)
            begun[token, base] -= 1
        elif step == "forget":
            generations.forget(token)
        elif step == "reject":
            generations.reject(token, base, 0.0)
        now = generations.of(token, base)
        if begun[token, base]:
            changed = step in {"forget", "reject"}
            assert (now.generation > max(highest, before)) is changed
            assert now.generation >= now.forgotten
            highest = max(highest, now.generation)
        else:
            assert now.generation == 0
        assert len(generations) == len({token for token, _ in +begun})
