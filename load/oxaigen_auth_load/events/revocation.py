"""Revokes tokens during a load, and reports how long each worker of the app still accepted them."""

import subprocess
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from anyio import run_process
from attrs import frozen

from oxaigen_auth_load.events.control import mock_api
from oxaigen_auth_load.events.event import EventError, wait_until
from oxaigen_auth_load.events.samples import Sample, Samples
from oxaigen_auth_load.units import format_seconds

VERDICTS = ("accepted", "rejected")


@frozen(kw_only=True)
class Revocation:
    """The revocation of some tokens.

    Attributes:
        at: seconds from the start of the run.
        revoked: the numbers of the tokens.
        mock_url: of the embedded mock; "" if `command` revokes them.
        command: for the shell, with a token on each line of its standard input.
    """

    at: float
    revoked: frozenset[int]
    mock_url: str = ""
    command: str = ""

    async def run(
        self, tokens: Sequence[str], facts: dict[str, float], elapsed: Callable[[], float]
    ) -> None:
        """Revoke the tokens. They count as revoked from the last confirmation on.

        Raises:
            EventError: the mock or the command failed.
        """
        async with self._opened() as revoke:
            await wait_until(self.at, elapsed)
            facts["asked"] = elapsed()
            await revoke([tokens[number] for number in sorted(self.revoked)])
            facts["confirmed"] = elapsed()

    def allows_rejection(self, token: int, ended: float) -> bool:
        return token in self.revoked and ended >= self.at

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[Callable[[Sequence[str]], Awaitable[None]]]:
        if not self.mock_url:
            yield self._run_command
            return
        async with mock_api(self.mock_url) as mock:

            async def revoke(tokens: Sequence[str]) -> None:
                for token in tokens:
                    await mock.revoke(token)

            yield revoke

    async def _run_command(self, tokens: Sequence[str]) -> None:
        lines = "".join(f"{token}\n" for token in tokens).encode()
        ended = await run_process(
            self.command, input=lines, stdout=subprocess.DEVNULL, stderr=None, check=False
        )
        if ended.returncode:
            raise EventError(f"the command of --on-event ended with status {ended.returncode}")

    def report(
        self,
        samples: Samples,
        facts: Mapping[str, float],
        invalid: Collection[int],  # noqa: ARG002 (only valid tokens are revoked)
    ) -> dict[str, Any]:
        """Return the figures of the answers to lookups that were sent after the confirmation."""
        by_worker = defaultdict[str, list[Sample]](list)
        for sample in samples:
            is_after = sample.sent > facts["confirmed"]
            if is_after and sample.token in self.revoked and sample.outcome in VERDICTS:
                by_worker[sample.worker].append(sample)
        workers = [
            _worker_report(name, by_worker[name], facts["confirmed"]) for name in sorted(by_worker)
        ]
        took = format_seconds(facts["confirmed"] - facts["asked"])
        return {
            "stale_accepts": sum(each["stale_accepts"] for each in workers) if workers else None,
            "stale_seconds": max((each["stale_seconds"] for each in workers), default=None),
            "event": {
                "description": f"{len(self.revoked):,} tokens were revoked at "
                f"{facts['confirmed']:.2f} s, which took {took}",
                "revoked_tokens": len(self.revoked),
                "asked_seconds": facts["asked"],
                "confirmed_seconds": facts["confirmed"],
                "workers": workers,
            },
        }


def _worker_report(name: str, samples: Sequence[Sample], confirmed: float) -> dict[str, Any]:
    """Report what a worker answered to lookups of revoked tokens, in seconds since `confirmed`."""
    stale = [sample.sent for sample in samples if sample.outcome == "accepted"]
    rejected = [sample.sent for sample in samples if sample.outcome == "rejected"]
    return {
        "worker": name,
        "lookups": len(samples),
        "stale_accepts": len(stale),
        "stale_seconds": max(stale, default=confirmed) - confirmed,
        "first_rejection_seconds": min(rejected) - confirmed if rejected else None,
        "accepts_at_end": max(samples, key=lambda sample: sample.sent).outcome == "accepted",
    }
