"""Circuit breakers: who fails again and again is left alone for a while. Knows only the clock.

A circuit's life, one for each place that is asked:

    closed ──`threshold` failures in a row──▶ open ──its pause is over──▶ half-open
       ▲                                       ▲                             │
       │                                       └──the probe fails, pause * 2─┤
       └─────────────────an answer, whoever gets it──────────────────────────┘

    closed      everyone may ask. Without failures nothing is remembered at all.
    open        nobody may ask until the pause is over.
    half-open   one attempt, the probe, may ask. If it is cancelled the next one is the probe; if
                nothing is ever heard of it, then the next one after `patience`.

An attempt that began before the circuit opened cannot prolong a pause: only the probe can.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from random import uniform
from threading import Lock
from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

THRESHOLD = 5  # failures in a row
FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 10.0  # seconds
MAX_PLACES = 256  # that are remembered; of more the one is forgotten that failed longest ago


@frozen(eq=False)
class Attempt:
    """The right to ask once. Its end must be told to `Breaker.end`."""

    place: str


@define(eq=False)
class _Circuit:
    failures: int = 0
    pause: float = 0.0  # seconds; 0: closed
    probe: Attempt | None = None
    shut_until: float = field(init=False)  # unless it is closed
    probe_is_lost_at: float = field(init=False)  # if there is a probe


@define(eq=False)
class Breaker:
    """Says whether a place may be asked. Safe to share between threads.

    `patience` is how long an attempt may take, in seconds. Each pause is between half of what it
    is said to be and the whole, so that not everyone comes back at once.
    """

    patience: float
    clock: Callable[[], float]
    threshold: float = THRESHOLD
    _circuits: OrderedDict[str, _Circuit] = field(factory=OrderedDict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __len__(self) -> int:
        return len(self._circuits)

    def begin(self, place: str) -> Attempt | int:
        """Return an attempt; or else in how many seconds to come again, at least 1."""
        attempt = Attempt(place)
        with self._lock:
            circuit = self._circuits.get(place)
            if circuit is None or not circuit.pause:
                return attempt
            now = self.clock()
            if now < circuit.shut_until:
                return ceil(circuit.shut_until - now)
            if circuit.probe is not None and now < circuit.probe_is_lost_at:
                return 1
            circuit.probe, circuit.probe_is_lost_at = attempt, now + self.patience
            return attempt

    def end(self, attempt: Attempt, *, answered: bool | None) -> float:
        """Tell how an attempt ended; `answered` None: it was cancelled, which says nothing.

        Return the seconds of the pause that begins now, or 0 if none does.
        """
        with self._lock:
            if answered is None:
                self._release(attempt)
            elif answered:
                self._circuits.pop(attempt.place, None)
            else:
                return self._fail(attempt)
            return 0.0

    def _release(self, attempt: Attempt) -> None:
        """Let another one be the probe."""
        circuit = self._circuits.get(attempt.place)
        if circuit is not None and circuit.probe is attempt:
            circuit.probe = None

    def _fail(self, attempt: Attempt) -> float:
        circuit = self._circuits.setdefault(attempt.place, _Circuit())
        self._circuits.move_to_end(attempt.place)
        if len(self._circuits) > MAX_PLACES:
            self._circuits.popitem(last=False)
        if circuit.pause and circuit.probe is not attempt:
            return 0.0
        circuit.failures += 1
        if circuit.failures < self.threshold:
            return 0.0
        circuit.probe = None
        circuit.pause = min(circuit.pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
        pause = circuit.pause * uniform(0.5, 1)  # noqa: S311
        circuit.shut_until = self.clock() + pause
        return pause
