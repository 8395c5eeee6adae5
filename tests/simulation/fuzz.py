"""Shared by the fuzzers: inputs, each drawn from one seed, and mutations of bytes.

The error of a failed input contains its seed. To run only that one:

    FUZZ_SEED=1234 uv run pytest tests/simulation -k <the test that failed>
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.scheduler import Dice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SEED = os.environ.get("FUZZ_SEED", "")
# In every drawn token. It differs from the mark of the other tests, which no log may contain: here
# parts of tokens occur in hosts as well, and refused hosts are logged.
MARK = "s3cret"
SPECIAL_BYTES = (
    *(bytes([byte]) for byte in b" \t\r\n\0\x1f\x7f\x80\x85\xa0\xff;,=\"'\\/:@.[]{}*%-0A"),
    *(b"\xe2\x84\xaa", b"\xc3\xa9", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\u0000", b"\\ud800"),
    *(b"\r\n", b"\r\n\r\n", b"; ", b"//", b"..", b"%00", b"99999999999999999999", b"A" * 9000),
)


def seeds(how_many: int) -> Iterable[int]:
    return [int(SEED)] if SEED else range(how_many)


def dice_of(seed: int) -> Dice:
    return Dice(Random(seed))


@contextmanager
def tried(seed: int, *what: object) -> Iterator[None]:
    """Report the seed and the input if the block fails."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"FUZZ_SEED={seed} fails: {what}") from error


def mutated(dice: Dice, data: bytes, donors: Sequence[bytes]) -> bytes:
    """Change up to three slices; the new bytes may come from a donor."""
    for _ in range(dice.number(1, 3)):
        start = dice.number(0, len(data))
        end = start + dice.pick(0, 1, 1, 2, dice.number(0, len(data)))
        change: Callable[[Dice, bytes, Sequence[bytes]], bytes] = dice.pick(*_CHANGES)
        data = data[:start] + change(dice, data[start:end], donors) + data[end:]
    return data


def _drop(_: Dice, __: bytes, ___: Sequence[bytes]) -> bytes:
    return b""


def _repeat(dice: Dice, piece: bytes, _: Sequence[bytes]) -> bytes:
    return piece * dice.number(2, 20)


def _flip(dice: Dice, piece: bytes, _: Sequence[bytes]) -> bytes:
    return bytes(byte ^ 1 << dice.number(0, 7) for byte in piece)


def _swap_case(_: Dice, piece: bytes, __: Sequence[bytes]) -> bytes:
    return piece.swapcase()


def _insert_special(dice: Dice, piece: bytes, _: Sequence[bytes]) -> bytes:
    special: bytes = dice.pick(*SPECIAL_BYTES)
    return special + piece if dice.chance(0.5) else special


def _splice(dice: Dice, _: bytes, donors: Sequence[bytes]) -> bytes:
    donor: bytes = dice.pick(*donors)
    return donor[dice.number(0, len(donor)) :]


_CHANGES = (_drop, _repeat, _flip, _swap_case, _insert_special, _insert_special, _splice)
