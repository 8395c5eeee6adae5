"""Generations and epochs: random values, signed with what they are for and why they were made.

The scripts in the server cannot verify a signature, but they tell by the origin whether something
was forgotten, or the server has lost the value and a reader made it again.
"""

from __future__ import annotations

import os
from enum import Enum

CODE_BYTES = 16  # of a signature, which comes before the message

GENERATION = b"oxaigen generation 1 "  # followed by the token id, the origin, and random bytes
EPOCH = b"oxaigen epoch 1 "  # followed by the origin and random bytes

# Where Lua, which counts from 1, finds the origin in the signed value.
GENERATION_ORIGIN = CODE_BYTES + len(GENERATION) + 16 + 1
EPOCH_ORIGIN = CODE_BYTES + len(EPOCH) + 1


class Origin(Enum):
    """Why a value was made; the value is its byte."""

    MISSING = b"m"
    FORGOTTEN = b"f"


def new_generation(token_id: bytes, origin: Origin) -> bytes:
    return GENERATION + token_id + origin.value + os.urandom(16)


def new_epoch(origin: Origin) -> bytes:
    return EPOCH + origin.value + os.urandom(16)
