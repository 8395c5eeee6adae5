"""Circuit breaker: after repeated failures of an upstream, reject calls until a backoff has passed.

The life of a circuit, one for each upstream:

    closed ──`threshold` failures in a row──▶ open ──any call is answered──▶ closed

    closed   every call may run.
    open     calls are rejected, except for one probe each time that a backoff has passed. The next
             probe does not wait for the end of the last one, so that a probe that hangs on a frozen
             upstream blocks nobody.

What counts as a failure in a row:

    - Of one caller (the fingerprint of a token) at most one failure a second counts.
    - A call that began before the last answer came does not count: the upstream has answered since.
    - While all that count are of one caller, the circuit is open for that caller only. So whoever
      can make the upstream fail for one token shuts nobody else out.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil, inf
from random import uniform
from threading import Lock
from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

THRESHOLD = 5  # failures in a row
FIRST_BACKOFF = 0.5  # seconds; each further one is twice as long, up to a limit
MIN_INTERVAL = 1.0  # seconds between two failures of one caller that count
MAX_UPSTREAMS = 256  # that are remembered; of more the one is forgotten that ended a call first


@frozen(eq=False)
class Permit:
    """The right to call an upstream once. Its outcome is given to `Breaker.record`."""

    upstream: str
    caller: bytes
    started_at: float


@define(eq=False)
class _Circuit:
    answered_at: float = -inf
    failures: int = 0  # in a row
    callers: dict[bytes, float] = field(factory=dict)  # when their last failure in a row was
    backoff: float = 0.0  # seconds, before it is shortened at random
    next_probe_at: float = -inf


@define(eq=False)
class Breaker:
    """Decides whether an upstream may be called. Safe to share between threads.

    `max_backoff` is in seconds. Each backoff is shortened at random by up to a half, so that not
    all processes come back at once.
    """

    clock: Callable[[], float]
    max_backoff: float = 1.0
    threshold: float = THRESHOLD
    _circuits: OrderedDict[str, _Circuit] = field(factory=OrderedDict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __len__(self) -> int:
        return len(self._circuits)

    def acquire(self, upstream: str, caller: bytes) -> Permit | int:
        """Return a permit; or else in how many seconds to try again, at least 1."""
        with self._lock:
            now = self.clock()
            circuit = self._circuits.get(upstream)
            if circuit is not None and self._is_open(circuit, caller):
                if now < circuit.next_probe_at:
                    return ceil(circuit.next_probe_at - now)
                self._back_off(circuit, now)
            return Permit(upstream, caller, now)

    def record(self, permit: Permit, *, answered: bool | None) -> float:
        """Take note of a call's outcome; `answered` None: it says nothing about the upstream.

        Return the seconds until the first probe if the circuit opens now, else 0.
        """
        if answered is None or self.threshold == inf:
            return 0.0
        with self._lock:
            circuit = self._circuits.setdefault(permit.upstream, _Circuit())
            self._circuits.move_to_end(permit.upstream)
            if len(self._circuits) > MAX_UPSTREAMS:
                self._circuits.popitem(last=False)
            if answered:
                self._circuits[permit.upstream] = _Circuit(answered_at=self.clock())
                return 0.0
            return self._fail(circuit, permit)

    def _fail(self, circuit: _Circuit, permit: Permit) -> float:
        now, caller = self.clock(), permit.caller
        is_late = permit.started_at < circuit.answered_at
        is_repeated = now - circuit.callers.get(caller, -inf) < MIN_INTERVAL
        if is_late or is_repeated or self._is_open(circuit, caller):
            return 0.0
        circuit.failures += 1
        circuit.callers[caller] = now
        return self._back_off(circuit, now) if self._is_open(circuit, caller) else 0.0

    def _is_open(self, circuit: _Circuit, caller: bytes) -> bool:
        if circuit.failures < self.threshold:
            return False
        return len(circuit.callers) > 1 or caller in circuit.callers

    def _back_off(self, circuit: _Circuit, now: float) -> float:
        """Set the time of the next probe, and return in how many seconds it is."""
        circuit.backoff = min(circuit.backoff * 2 or FIRST_BACKOFF, self.max_backoff)
        seconds = circuit.backoff * uniform(0.5, 1)  # noqa: S311
        circuit.next_probe_at = now + seconds
        return seconds
