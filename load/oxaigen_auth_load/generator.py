"""What the load tool itself contributes to the results, and whether it is the bottleneck."""

from collections.abc import Iterator
from time import process_time
from typing import Any, Self

from anyio import current_time, sleep
from attrs import define, field

from oxaigen_auth_load.recorder import Latencies, Recording
from oxaigen_auth_load.units import format_ratio, format_seconds

SATURATED = "the generator could not keep up: the results below are the generator's"
TICK = 0.01  # seconds
MIN_DELAY = 0.01  # seconds
MIN_DELAY_RATIO = 0.1  # of the median latency of answers
MAX_PROCESSOR_SHARE = 0.9  # of one core
MAX_WAITING_SHARE = 0.01  # of the lookups


@define(eq=False)
class Generator:
    """The load on the process that generates the load.

    Attributes:
        max_connections: to the target; 0 if it is in this process.
        waited: lookups that waited because all connections were in use.
        loop_lags: how late the event loop resumed a task.
        processor_share: the process's share of one core; of several processes, the highest.
    """

    max_connections: int = 0
    waited: int = 0
    loop_lags: Latencies = field(factory=Latencies)
    processor_share: float = 0.0

    async def watch(self) -> None:
        """Measure until it is cancelled."""
        began, used = current_time(), process_time()
        while True:
            due = current_time() + TICK
            await sleep(TICK)
            self.loop_lags.add(max(0.0, current_time() - due))
            self.processor_share = (process_time() - used) / (current_time() - began)

    def merge(self, other: Self) -> None:
        self.max_connections += other.max_connections
        self.waited += other.waited
        self.loop_lags.merge(other.loop_lags)
        self.processor_share = max(self.processor_share, other.processor_share)

    def report(self, recording: Recording, scenario: str) -> dict[str, Any]:
        reasons = list(self._reasons(recording, scenario))
        return {
            "saturated": bool(reasons),
            "reasons": reasons,
            "loop_lag_seconds": self.loop_lags.summary(),
            "processor_share": self.processor_share,
            "max_connections": self.max_connections or None,
            "waited_for_connections": self.waited,
        }

    def _reasons(self, recording: Recording, scenario: str) -> Iterator[str]:
        """Yield each reason why the results are those of the generator.

        The lookups of a burst are all due at once, so only their connections can limit it.
        """
        if self.waited > MAX_WAITING_SHARE * recording.lookups:
            yield (
                f"{self.waited:,} lookups waited because all {self.max_connections:,} connections "
                "were in use; raise --connections"
            )
        if scenario == "burst":
            return
        lag, delay = self.loop_lags.summary()["p90"], recording.send_delays.summary()["p90"]
        latency = recording.answer_latencies.summary()["p50"] or 0.0
        limit = max(MIN_DELAY, MIN_DELAY_RATIO * latency)
        if lag is not None and lag > limit:
            yield f"its event loop was late by {format_seconds(lag)} or more for 10 % of the time"
        elif delay is not None and delay > limit:
            yield f"10 % of the lookups were sent {format_seconds(delay)} late or later"
        if self.max_connections and self.processor_share > MAX_PROCESSOR_SHARE:
            yield f"it used {format_ratio(self.processor_share)} of a processor core"
