"""Lets all cached answers expire together, and reports what that costs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from attrs import frozen

from oxaigen_auth_load.events.control import mock_api
from oxaigen_auth_load.events.event import wait_until
from oxaigen_auth_load.events.samples import Sample, Samples, p99

MAX_BEFORE, MAX_AFTER = 1.0, 2.0  # seconds from the expiry; some answers were cached a bit later


@frozen(kw_only=True)
class Stampede:
    """The end of the TTL of all answers, which are cached when the load starts.

    Attributes:
        ttl: of the client or the app, in seconds.
        mock_url: of the embedded mock, which counts the calls; "" for none.
    """

    ttl: float
    mock_url: str = ""

    @property
    def window(self) -> tuple[float, float]:
        """When the time around the expiry begins and ends, for calls and latencies."""
        return self.ttl - min(MAX_BEFORE, self.ttl / 4), self.ttl + min(MAX_AFTER, self.ttl / 2)

    async def run(
        self,
        tokens: Sequence[str],  # noqa: ARG002 (all expire)
        facts: dict[str, float],
        elapsed: Callable[[], float],
    ) -> None:
        """Count the calls in the window around the expiry.

        Raises:
            EventError: the mock failed to do so.
        """
        async with AsyncExitStack() as stack:
            mock = (
                await stack.enter_async_context(mock_api(self.mock_url)) if self.mock_url else None
            )
            for name, at in zip(("from", "to"), self.window, strict=True):
                await wait_until(at, elapsed)
                facts[name] = elapsed()
                if mock is not None:
                    facts[f"calls_{name}"] = await mock.calls()

    def allows_rejection(self, token: int, ended: float) -> bool:  # noqa: ARG002
        return False

    def report(
        self,
        samples: Samples,
        facts: Mapping[str, float],
        invalid: Collection[int],  # noqa: ARG002 (rejections expire earlier)
    ) -> dict[str, Any]:
        """Return the figures of the window, and of the time before it for comparison."""
        start, end = facts["from"], facts["to"]
        answers = [sample for sample in samples if sample.outcome == "accepted"]

        def between(first: float, last: float) -> list[Sample]:
            return [sample for sample in answers if first <= sample.intended < last]

        window = between(start, end)
        tokens = len({sample.token for sample in window})
        calls = int(facts["calls_to"] - facts["calls_from"]) if "calls_to" in facts else None
        return {
            "before_p99": p99(between(self.ttl / 4, start)),
            "expiry_p99": p99(window),
            "upstream_calls": calls,
            "upstream_calls_per_token": calls / tokens if calls is not None and tokens else None,
            "event": {
                "description": f"answers expired at {self.ttl:g} s; upstream calls are those from "
                f"{start:.2f} s to {end:.2f} s",
                "from_seconds": start,
                "to_seconds": end,
                "tokens": tokens,
            },
        }
