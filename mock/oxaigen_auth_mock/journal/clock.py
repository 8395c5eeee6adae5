"""The mock's clock, which can be moved while the mock runs."""

import time
from collections.abc import Callable

from attrs import define


@define(eq=False)
class Clock:
    """Unix time in seconds: the time of `source` plus `offset`."""

    source: Callable[[], float] = time.time
    offset: float = 0.0

    def now(self) -> float:
        return self.source() + self.offset
