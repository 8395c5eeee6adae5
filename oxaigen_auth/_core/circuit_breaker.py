"""A circuit breaker: after repeated failures of an upstream, it rejects calls for a backoff.

The life of a circuit, one for each upstream:

    closed ──too many failures in a row──▶ open ──any call is answered──▶ closed

    closed   every call may run.
    open     calls are rejected, except for one probe each time that a backoff has passed. The next
             probe does not wait for the end of the last one, so a probe that hangs does not block
             the others.

A failure counts unless the upstream has answered since the call began. Failures of one caller (the
fingerprint of a token) count once a second at most. An answer resets all counts. A caller that can
make the upstream fail for its own tokens must not block others:

    - The circuit is open for a caller that failed `threshold` times, and for all callers only if
      `threshold` different ones failed.
    - Callers that failed share one probe per backoff, and all others share another one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import ceil, inf
from random import uniform
from threading import Lock

from attrs import define, field, frozen

THRESHOLD = 5  # failures of one caller, or callers that failed
FIRST_BACKOFF = 0.5  # seconds; each further one is twice as long, up to a limit
MIN_INTERVAL = 1.0  # seconds between two failures of one caller that count
MAX_CALLERS = 64  # with recorded failures, per upstream; above that the oldest is discarded
MAX_UPSTREAMS = 256  # above that the oldest is discarded


@frozen(eq=False)
class Permit:
    """The permission to call an upstream once, to be passed to `record` with the outcome."""

    upstream: str
    caller: bytes
    started_at: float


@define(eq=False)
class _Failures:
    count: int = 0
    last: float = -inf


@define(eq=False)
class _Probe:
    backoff: float = 0.0  # seconds, before it is shortened at random
    next_at: float = -inf


@define(eq=False)
class _Circuit:
    answered_at: float = -inf
    callers: OrderedDict[bytes, _Failures] = field(factory=OrderedDict)  # that failed since then
    known: _Probe = field(factory=_Probe)  # for those callers
    others: _Probe = field(factory=_Probe)

    def probe(self, caller: bytes) -> _Probe:
        return self.known if caller in self.callers else self.others


@define(eq=False)
class CircuitBreaker:
    """Decides whether an upstream may be called. Safe to share between threads.

    `max_backoff` is in seconds. Each backoff is shortened at random by up to one half, so that the
    processes do not probe all at once.
    """

    clock: Callable[[], float]
    max_backoff: float = 1.0
    threshold: float = THRESHOLD
    _circuits: OrderedDict[str, _Circuit] = field(factory=OrderedDict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __len__(self) -> int:
        return len(self._circuits)

    def acquire(self, upstream: str, caller: bytes) -> Permit | int:
        """Return a permit, or the seconds until the next attempt, at least 1."""
        with self._lock:
            now = self.clock()
            circuit = self._circuits.get(upstream)
            if circuit is not None and self._is_open(circuit, caller):
                probe = circuit.probe(caller)
                if now < probe.next_at:
                    return ceil(probe.next_at - now)
                self._back_off(probe, now)
            return Permit(upstream, caller, now)

    def record(self, permit: Permit, *, answered: bool | None) -> float | None:
        """Record the outcome of a call; None if it does not show whether the upstream works.

        Return the seconds until the first probe if the circuit opens now, 0 if it closes now,
        otherwise None.
        """
        if answered is None or self.threshold == inf:
            return None
        with self._lock:
            circuit = self._circuits.setdefault(permit.upstream, _Circuit())
            self._circuits.move_to_end(permit.upstream)
            if len(self._circuits) > MAX_UPSTREAMS:
                self._circuits.popitem(last=False)
            if answered:
                self._circuits[permit.upstream] = _Circuit(answered_at=self.clock())
                was_open = any(self._is_open(circuit, caller) for caller in circuit.callers)
                return 0.0 if was_open else None
            return self._fail(circuit, permit)

    def close(self, upstream: str) -> None:
        """Close a circuit, because the upstream has answered another process."""
        with self._lock:
            self._circuits[upstream] = _Circuit(answered_at=self.clock())

    def _fail(self, circuit: _Circuit, permit: Permit) -> float | None:
        now, caller = self.clock(), permit.caller
        failures = circuit.callers.get(caller) or _Failures()
        if permit.started_at < circuit.answered_at or now - failures.last < MIN_INTERVAL:
            return None
        was_open = self._is_open(circuit, caller)
        failures.count += 1
        failures.last = now
        circuit.callers[caller] = failures
        circuit.callers.move_to_end(caller)
        if len(circuit.callers) > MAX_CALLERS:
            circuit.callers.popitem(last=False)
        if was_open or not self._is_open(circuit, caller):
            return None
        self._back_off(circuit.others, now)
        return self._back_off(circuit.known, now)

    def _is_open(self, circuit: _Circuit, caller: bytes) -> bool:
        failures = circuit.callers.get(caller)
        own = 0 if failures is None else failures.count
        return max(own, len(circuit.callers)) >= self.threshold

    def _back_off(self, probe: _Probe, now: float) -> float:
        """Set the time of the next probe, and return the seconds until then."""
        probe.backoff = min(probe.backoff * 2 or FIRST_BACKOFF, self.max_backoff)
        seconds = probe.backoff * uniform(0.5, 1)  # noqa: S311
        probe.next_at = now + seconds
        return seconds
