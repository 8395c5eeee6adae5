"""A monotonic clock that tests set."""

from __future__ import annotations

import pytest
from attrs import define


@define(eq=False)
class Clock:
    now: float = 7.0  # seconds since the machine started

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
