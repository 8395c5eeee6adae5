"""The metrics of lookups and of their callers.

No attribute comes from a request: a caller that can invent hosts, permissions or tokens must not be
able to create time series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from time import monotonic
from typing import Any, Literal

from attrs import define, field
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from oxaigen_auth._validation.verdict import Accepted, Rejected, Stale, Verdict
from oxaigen_auth._version import __version__

CIRCUIT_MEMORY = 60.0  # seconds
MAX_CIRCUITS = 256

# Those of `http.client.request.duration` in the HTTP semantic conventions, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


def verdict_name(verdict: Verdict[Any] | None) -> str:
    """Return the value of `oxaigen_auth.verdict`; None is the verdict of what was cancelled."""
    if isinstance(verdict, Accepted):
        if verdict.value is False:
            return "denied"
        return "stale" if isinstance(verdict, Stale) else "accepted"
    if verdict is None:
        return "cancelled"
    return "rejected" if isinstance(verdict, Rejected) else "unavailable"


@define(eq=False)
class VerdictCounts:
    """The number of verdicts that callers got.

    Counted here and collected by the readers, because an instrument that is called takes several
    times as long as a hit. Safe to share between threads.
    """

    _counts: Counter[tuple[str, str]] = field(factory=Counter[tuple[str, str]], init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def add(self, cache: Literal["hit", "miss"], verdict: Verdict[Any] | None) -> None:
        key = (cache, verdict_name(verdict))
        with self._lock:
            self._counts[key] += 1

    def observe(self, _: CallbackOptions) -> Iterator[Observation]:
        with self._lock:
            counts = list(self._counts.items())
        for (cache, name), count in counts:
            attributes = {"oxaigen_auth.cache": cache, "oxaigen_auth.verdict": name}
            yield Observation(count, attributes)


@define(eq=False)
class OpenCircuits:
    """The proxies whose circuit is open, as far as lookups of the last minute have shown.

    No event tells that a client with an open circuit was closed, or that nobody needs its proxy any
    more. So a circuit does not count any longer if no lookup has met it for `CIRCUIT_MEMORY`.
    """

    _met_at: dict[str, float] = field(factory=dict, init=False)

    def add(self, base_url: str) -> None:
        """Note that a lookup has met an open circuit."""
        if base_url in self._met_at or len(self._met_at) < MAX_CIRCUITS:
            self._met_at[base_url] = monotonic()

    def remove(self, base_url: str) -> None:
        self._met_at.pop(base_url, None)

    def observe(self, _: CallbackOptions) -> Iterator[Observation]:
        """Return the number of open circuits. A reader of metrics may call it in any thread."""
        oldest = monotonic() - CIRCUIT_MEMORY
        for base_url, met_at in list(self._met_at.items()):
            if met_at < oldest:
                self.remove(base_url)
        yield Observation(len(self._met_at))


@define(eq=False)
class FailingStores:
    """The operations of shared stores that fail now, by the name of the store."""

    _failing: set[tuple[str, str]] = field(factory=set, init=False)

    def add(self, store: str, operation: str) -> None:
        self._failing.add((store, operation))

    def remove(self, store: str, operation: str) -> None:
        self._failing.discard((store, operation))

    def observe(self, _: CallbackOptions) -> Iterator[Observation]:
        yield Observation(len(self._failing))


class Metrics:
    """The instruments of one meter provider."""

    def __init__(self, provider: MeterProvider | None) -> None:
        meter = get_meter("oxaigen_auth", __version__, provider)
        self.circuits = OpenCircuits()
        self.failing_stores = FailingStores()
        self.verdicts = VerdictCounts()
        self.duration = meter.create_histogram(
            "oxaigen_auth.lookup.duration",
            "s",
            "Duration of lookups, with the time in which they wait for a connection.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.in_flight = meter.create_up_down_counter(
            "oxaigen_auth.lookups.in_flight", "{lookup}", "Lookups that wait or run."
        )
        meter.create_observable_counter(
            "oxaigen_auth.verdicts",
            [self.verdicts.observe],
            "{verdict}",
            "Verdicts that callers got.",
        )
        self.refused = meter.create_counter(
            "oxaigen_auth.callers.refused", "{caller}", "Callers that were refused, by reason."
        )
        self.coalesced = meter.create_counter(
            "oxaigen_auth.callers.coalesced",
            "{caller}",
            "Callers that joined the lookup of another one.",
        )
        self.waiting = meter.create_up_down_counter(
            "oxaigen_auth.callers.waiting", "{caller}", "Callers that wait for a lookup."
        )
        meter.create_observable_up_down_counter(
            "oxaigen_auth.circuits.open",
            [self.circuits.observe],
            "{circuit}",
            "Proxies whose circuit is open.",
        )
        self.shared = meter.create_counter(
            "oxaigen_auth.shared_store.lookups",
            "{lookup}",
            "Lookups in the shared store, by outcome, and entries that were refused.",
        )
        meter.create_observable_up_down_counter(
            "oxaigen_auth.shared_store.failing",
            [self.failing_stores.observe],
            "{operation}",
            "Operations of the shared store that fail.",
        )


@lru_cache(maxsize=16)
def metrics_of(provider: MeterProvider | None) -> Metrics:
    """Return the instruments, which the observers of one provider share.

    A second observable instrument of the same name would report a count of its own in place of a
    sum.
    """
    return Metrics(provider)
