"""The estimate of sizes, against what Python's allocator says."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

import pytest

from oxaigen_auth._core.sizes import size_of
from oxaigen_auth._upstream.profile import parse_user
from oxaigen_auth._validation.verdict import Accepted, Rejected
from oxaigen_auth.models import User, WorkspaceRole

SHAPES: dict[str, Any] = {
    "lists": [[] for _ in range(20_000)],
    "dicts": [{} for _ in range(20_000)],
    "small dicts": [{"a": number} for number in range(5_000)],
    "a dict": {f"name-{number}": number for number in range(5_000)},
    "integers": list(range(1_000, 20_000)),
    "one integer": [0] * 20_000,
    "large integers": [10**900 + number for number in range(50)],
    "floats": [number + 0.5 for number in range(10_000)],
    "constants": [None, True, False] * 5_000,
    "a long text": "x" * 200_000,
    "wide texts": ["語" * 10_000, "😀" * 10_000],
    "texts": [f"text {number}" for number in range(5_000)],
    "letters": ["a", ""] * 10_000,
    "nested lists": [[[[[[]]]]] for _ in range(3_000)],
    "nested dicts": {f"name-{number}": {"x": {"y": [number]}} for number in range(2_000)},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_is_not_much_too_low_or_too_high(shape: str) -> None:
    body = json.dumps({"user_name": "ada", "more": SHAPES[shape]}).encode()
    parse_user(body)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    user = parse_user(body)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.95 < size_of(user) / taken < 1.4


def test_it_counts_everything_that_a_client_caches() -> None:
    text = "x" * 1_000
    for value in [
        text,
        text.encode(),
        [text],
        (text,),
        {text: None},
        {"a": text},
        WorkspaceRole(name=text),
        User(workspace_roles=[WorkspaceRole(extra={"a": [text]})]),
        Accepted(User(extra={"a": text})),
        Rejected(text),
    ]:
        assert 1_000 < size_of(value) < 2_500


def test_it_stops_soon_after_the_given_limit() -> None:
    value: Any = []
    for _ in range(100_000):  # deeper than anything that recurses could go
        value = [value]
    assert size_of(value) > 5_000_000
    assert 1_000 < size_of(value, 1_000) < 1_200
