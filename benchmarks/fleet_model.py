"""How many calls a fleet makes to the proxy, and how many operations on its shared store.

    python -m benchmarks.fleet_model

Requests of one user are taken as a Poisson process of rate `r`, and each goes to any worker. A
worker asks the proxy at a user's first request, and again at the first request after the TTL `T` of
that answer. So the time between two calls is `T` and the wait for the next request.

without the store   A worker gets `r / W` requests a second of a user, and asks every `T + W / r`
                    seconds. All `W` workers make `W / (T + W / r)` calls a second.
with it             The answer of any worker serves all, and its age counts from that call for all
                    of them. Together they make `1 / (T + 1 / r)` calls a second.

For each call, the engine carries a read, a lease and a write by the worker that asks, and one read
by each other worker with a request of the user within the TTL: `(W - 1) (1 - exp(-r T / W))`.

Not modelled: requests during a lookup (a few more operations), entries that a worker evicts for
lack of space (one more read each), and permissions, each of which counts like another user.
`tests/integration/test_fleet.py` compares the model with fleets of real processes.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from attrs import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

OPERATIONS_OF_A_CALL = 3  # read, lease, write


@frozen
class Fleet:
    """A fleet and its users.

    Args:
        rates: requests a second of each user.
        ttl: seconds, less the declared skew of the clocks if there are several hosts.
    """

    workers: int
    rates: Sequence[float]
    ttl: float

    @property
    def calls_without(self) -> float:
        """Calls a second at the proxy if each worker has only its own cache."""
        return sum(self.workers / (self.ttl + self.workers / rate) for rate in self.rates)

    @property
    def calls(self) -> float:
        """Calls a second at the proxy with a shared store."""
        return sum(1 / (self.ttl + 1 / rate) for rate in self.rates)

    @property
    def operations(self) -> float:
        """Operations a second of the store's engine."""
        return sum(
            (OPERATIONS_OF_A_CALL + self._readers(rate)) / (self.ttl + 1 / rate)
            for rate in self.rates
        )

    @property
    def entries(self) -> float:
        """Entries in the store: users with a valid answer."""
        return sum(self.ttl / (self.ttl + 1 / rate) for rate in self.rates)

    @property
    def local_entries(self) -> float:
        """Entries in the cache of one worker, if it evicts none."""
        return sum(1 - exp(-rate * self.ttl / self.workers) for rate in self.rates)

    def _readers(self, rate: float) -> float:
        """Return how many workers read the answer of another one, within its TTL."""
        return (self.workers - 1) * (1 - exp(-rate * self.ttl / self.workers))


def equal_rates(users: int, total: float) -> list[float]:
    """Share `total` requests a second equally among the users."""
    return [total / users] * users


def zipf_rates(users: int, total: float, exponent: float = 1.0) -> list[float]:
    """Share them by Zipf's law: the n-th user has a share in proportion to 1 / n ** exponent."""
    weights = [1 / n**exponent for n in range(1, users + 1)]
    scale = total / sum(weights)
    return [weight * scale for weight in weights]


LARGE = Fleet(200, equal_rates(100_000, 10_000), 30)
SCALES = {
    "100,000 users, 10,000 requests/s": LARGE,
    "… popularity by Zipf's law": evolve(LARGE, rates=zipf_rates(100_000, 10_000)),
    "… a TTL of 300 s": evolve(LARGE, ttl=300),
    "… ten times the requests": evolve(LARGE, rates=equal_rates(100_000, 100_000)),
    "… ten times the requests, a TTL of 300 s": evolve(
        LARGE, rates=equal_rates(100_000, 100_000), ttl=300
    ),
    "… ten times the requests and users": evolve(LARGE, rates=equal_rates(1_000_000, 100_000)),
    "… ten times the requests, users and workers": Fleet(
        2_000, equal_rates(1_000_000, 100_000), 30
    ),
}


def main() -> None:
    columns = ("calls/s without", "calls/s with", "operations/s", "entries", "per worker")
    print(f"| {' | '.join(('200 workers, a TTL of 30 s', *columns))} |")
    print(f"|{' --- |' * (len(columns) + 1)}")
    for name, fleet in SCALES.items():
        figures = (
            *(fleet.calls_without, fleet.calls, fleet.operations),
            *(fleet.entries, fleet.local_entries),
        )
        print(f"| {name} | {' | '.join(f'{it:,.0f}' for it in figures)} |")


if __name__ == "__main__":
    main()
