"""Tests of the fuzzers: a failed input can be run again, and inputs do change."""

from __future__ import annotations

import pytest

from tests.simulation.fuzz import dice_of, mutated, tried


def test_an_input_that_fails_reports_its_seed() -> None:
    with pytest.raises(AssertionError, match=r"FUZZ_SEED=7 fails: .*some input"):
        with tried(7, "some input"):
            raise ValueError


def test_the_same_seed_is_the_same_input() -> None:
    texts = [mutated(dice_of(seed), b"a header", [b"another"]) for seed in range(100)]
    assert texts == [mutated(dice_of(seed), b"a header", [b"another"]) for seed in range(100)]
    assert len(set(texts)) > 50
