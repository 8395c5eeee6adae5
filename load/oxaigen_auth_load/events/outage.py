"""Lets the proxy fail during a load, and reports what users noticed, and the recovery."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from anyio import sleep
from attrs import frozen

from oxaigen_auth_load.events.control import mock_api
from oxaigen_auth_load.events.event import wait_until
from oxaigen_auth_load.events.samples import Sample, Samples, p99

QUIET = 1.0  # seconds without an error, after which the app has recovered
COUNTED = 1.0  # seconds after the return in which upstream calls are counted


@frozen(kw_only=True)
class Outage:
    """An outage of the embedded mock.

    Attributes:
        at: seconds from the start of the run.
        seconds: its length.
        fault: what the mock injects into each call, as its control API takes it.
    """

    at: float
    seconds: float
    fault: Mapping[str, Any]
    mock_url: str

    async def run(
        self,
        tokens: Sequence[str],  # noqa: ARG002 (all fail)
        facts: dict[str, float],
        elapsed: Callable[[], float],
    ) -> None:
        """Add the fault, remove it, and count the calls before and after.

        Raises:
            EventError: the mock failed to do so.
        """
        async with mock_api(self.mock_url) as mock:
            await wait_until(self.at, elapsed)
            facts["began"] = elapsed()
            fault = await mock.add_fault(self.fault)
            await wait_until(self.at + self.seconds, elapsed)
            calls = await mock.calls()
            await mock.remove_fault(fault)
            facts["returned"] = elapsed()
            await sleep(COUNTED)
            facts["calls"] = await mock.calls() - calls

    def allows_rejection(self, token: int, ended: float) -> bool:  # noqa: ARG002
        return False

    def report(
        self, samples: Samples, facts: Mapping[str, float], invalid: Collection[int]
    ) -> dict[str, Any]:
        began, returned = facts["began"], facts["returned"]
        cached = {
            sample.token
            for sample in samples
            if sample.ended < began and sample.outcome == "accepted"
        }
        known = [
            sample
            for sample in samples
            if began < sample.sent < returned and sample.token in cached
        ]
        answered = [sample for sample in known if sample.outcome == "accepted"]
        after = ((s.sent, _is_error(s, invalid)) for s in samples if s.sent >= returned)
        return {
            "cached_p99": p99(answered),
            "cached_errors": len(known) - len(answered),
            "recovery": recovery(after, returned),
            "calls_after_return": int(facts["calls"]),
            "event": {
                "description": f"outage ({self.fault['kind']}) from {began:.2f} s to "
                f"{returned:.2f} s; {len(cached):,} tokens were accepted before",
                "began_seconds": began,
                "returned_seconds": returned,
                "cached_tokens": len(cached),
            },
        }


def recovery(lookups: Iterable[tuple[float, bool]], returned: float) -> float | None:
    """Return the seconds from the return of the proxy until lookups no longer fail.

    That is the last failure that is followed by a second without one, or by the end of the load.

    Args:
        lookups: when each was sent, and whether it failed.
        returned: when the proxy returned.

    Returns:
        None if no lookup succeeded afterwards.

    >>> recovery([(4.1, True), (4.2, False), (4.5, True), (5.0, False)], 4.0)
    0.5
    >>> recovery([(4.1, False), (4.5, True)], 4.0) is None
    True
    """
    last, succeeds = returned, False
    for sent, is_error in sorted(lookups):
        if succeeds and sent - last >= QUIET:
            break
        if is_error:
            last, succeeds = sent, False
        else:
            succeeds = True
    return last - returned if succeeds else None


def _is_error(sample: Sample, invalid: Collection[int]) -> bool:
    return sample.outcome != ("rejected" if sample.token in invalid else "accepted")
