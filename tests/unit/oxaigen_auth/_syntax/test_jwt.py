"""Reading `exp`: of whatever reads as a JWT, and of whatever does not quite."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from math import inf
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth._syntax.jwt import expiry
from oxaigen_auth._syntax.tokens import MAX_TOKEN


def encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


HEADER = encoded(b'{"alg":"RS256"}')
PAYLOAD = encoded(b'{"exp":5}')


def jwt(payload: str | bytes, signature: str = "c2ln") -> str:
    given = payload if isinstance(payload, bytes) else payload.encode()
    return f"{HEADER}.{encoded(given)}.{signature}"


@pytest.mark.parametrize(
    ("exp", "expected"),
    [
        ("1700000000", 1.7e9),
        ("1700000000.5", 1700000000.5),
        ("1.7e9", 1.7e9),
        ("0", 0.0),
        ("-0", 0.0),
        ("-5", -5.0),
        ("1e400", inf),
        ("-1e400", -inf),
        ("1" + "0" * 5000, inf),
        ("-1" + "0" * 5000, -inf),
    ],
)
def test_exp_may_be_any_number(exp: str, expected: float) -> None:
    assert expiry(jwt(f'{{"exp": {exp}}}')) == expected
    assert expiry(jwt(f'{{"sub": "éééééé>?", "exp": {exp}, "more": [1, {{}}]}}')) == expected


@pytest.mark.parametrize(
    "payload",
    [
        *(f'{{"exp": {exp}}}' for exp in ("true", "false", "null", '"1700000000"', "[1]", "{}")),
        '{"exp": NaN}',
        '{"EXP": 1}',
        '{"claims": {"exp": 1}}',
        "{}",
        "[1700000000]",
        "1700000000",
        '"exp"',
        "",
        '{"exp": 1700000000',
        "{'exp': 1}",
        b'\xff{"exp": 1}',
        b'{"sub": "\xe9", "exp": 1}',
        '{"exp": 1}'.encode("utf-16"),
        "[" * 6000,
        '{"a":' * 1200,
    ],
)
def test_a_payload_without_a_numeric_exp_has_none(payload: str | bytes) -> None:
    assert expiry(jwt(payload)) is None


@pytest.mark.parametrize("depth", [100, 3_000, 200_000])
def test_a_nested_payload_has_an_exp_if_python_can_read_it(depth: int) -> None:
    payload = '{"exp": 1, "a": ' + "[" * depth + "]" * depth + "}"
    try:
        json.loads(payload)
    except RecursionError:
        expected = None
    else:
        expected = 1.0  # Python 3.12 and later read deeper than 3.11
    assert expiry(jwt(payload)) == expected


def test_the_signature_may_be_empty_but_not_missing() -> None:
    assert expiry(jwt('{"exp": 5}', signature="")) == 5
    assert expiry(jwt('{"exp": 5}').rpartition(".")[0]) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b",
        "a.b.c",
        "..",
        "a..c",
        f"a.{PAYLOAD}x.c",
        f"a.{PAYLOAD}.c.d",
        f"a.{PAYLOAD}.c.d.e",
        f"a.{PAYLOAD}.c\n",
        f"a.!{PAYLOAD}.c",
        f"ü.{PAYLOAD}.c",
    ],
)
def test_a_token_that_is_not_a_jwt_has_no_exp(token: str) -> None:
    assert expiry(token) is None


def test_both_letters_of_the_url_safe_alphabet_are_read() -> None:
    token = jwt('{"a": "???>>>~~~", "exp": 5}')
    assert {"-", "_"} & set(token)
    assert expiry(token) == 5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    ),
    st.integers(-(2**40), 2**40),
)
def test_exp_is_read_whatever_else_the_payload_holds(more: Any, exp: int) -> None:
    assert expiry(jwt(json.dumps({"more": more, "exp": exp}))) == exp


@given(st.text() | st.binary().map(encoded) | st.from_regex(r"[\w-]{1,9}\.[\w-]{1,9}\.[\w-]{0,9}"))
def test_reading_exp_never_fails(token: str) -> None:
    assert expiry(token) is None or isinstance(expiry(token), float)


@pytest.mark.parametrize("fill", [b"[", b"[],", b'{"a":', b"9", b" ", b'"', b"\\", b"\xff", b"e"])
def test_pitfall_54_no_payload_takes_long(fill: bytes) -> None:
    payload = (b'{"exp": 1, "a": ' + fill * MAX_TOKEN)[: MAX_TOKEN * 3 // 4]
    started = process_time()
    for _ in range(20):
        expiry(f"a.{encoded(payload)}.c")
    assert process_time() - started < 1
