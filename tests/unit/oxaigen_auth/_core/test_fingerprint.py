from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth._core import fingerprint as module
from oxaigen_auth._core.fingerprint import fingerprint

secrets = st.text(st.characters(codec=None, exclude_categories=()))


@given(secrets, secrets)
def test_only_equal_secrets_have_equal_fingerprints(one: str, other: str) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


@given(secrets)
def test_a_fingerprint_is_sixteen_bytes_and_stays_the_same(secret: str) -> None:
    assert len(fingerprint(secret)) == 16
    assert fingerprint(secret) == fingerprint(secret)


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
