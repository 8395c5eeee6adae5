from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth._core import fingerprint as module
from oxaigen_auth._core.fingerprint import fingerprint

parts = st.lists(st.text(st.characters(codec=None, exclude_categories=())), max_size=4)


@given(parts, parts)
def test_only_equal_parts_have_equal_fingerprints(one: list[str], other: list[str]) -> None:
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


@given(parts)
def test_a_fingerprint_is_sixteen_bytes_and_stays_the_same(one: list[str]) -> None:
    assert len(fingerprint(*one)) == 16
    assert fingerprint(*one) == fingerprint(*one)


def test_moving_text_between_parts_gives_another_fingerprint() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("a", "b") != fingerprint("b", "a")
    assert fingerprint("a") != fingerprint("a", "")
    assert fingerprint("1:a", "b") != fingerprint("1:a1:b")


def test_a_cache_key_that_lacks_the_proxy_is_impossible() -> None:
    here = fingerprint("0", "https://a.example.com", "token", "")
    there = fingerprint("0", "https://b.example.com", "token", "")
    assert here != there


def test_a_fingerprint_does_not_hold_the_secret() -> None:
    assert b"secret" not in fingerprint("secret")
    assert not [
        n for n, v in vars(module).items() if isinstance(v, bytes) and not n.startswith("_")
    ]


def test_another_process_gives_other_fingerprints() -> None:
    code = "from oxaigen_auth._core.fingerprint import fingerprint; print(fingerprint('x').hex())"
    run = [sys.executable, "-c", code]
    other = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 (our own code)
    assert other != fingerprint("x").hex()
    assert len(other) == 32
