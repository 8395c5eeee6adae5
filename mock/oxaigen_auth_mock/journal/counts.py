"""Counts of the calls that a mock received, in total and per token.

Tokens are stored as fingerprints, and at most `MAX_TOKENS` of them.
"""

from collections import Counter, OrderedDict
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from attrs import define, field

MAX_TOKENS: Final = 10_000
NO_TOKEN: Final = "none"  # noqa: S105 - differs from every fingerprint


def fingerprint(token: str | None) -> str:
    """Return the first 12 hex digits of a token's SHA-256, or `none` without a token.

    >>> fingerprint("mock-dev-token")
    '8b6eec6e51ae'
    >>> fingerprint(None)
    'none'
    """
    if token is None:
        return NO_TOKEN
    return sha256(token.encode()).hexdigest()[:12]


@define(eq=False)
class Tally:
    """The number of calls per endpoint, and the maximum that ran at the same time.

    Attributes:
        persona: name of the owner of the token that all calls have; None without one.
    """

    persona: str | None = None
    endpoints: Counter[str] = field(factory=Counter[str])
    max_concurrency: int = 0
    _running: int = 0

    def begin(self, endpoint: str) -> None:
        self.endpoints[endpoint] += 1
        self._running += 1
        self.max_concurrency = max(self.max_concurrency, self._running)

    def end(self) -> None:
        self._running -= 1

    def report(self) -> dict[str, Any]:
        return {
            "total": self.endpoints.total(),
            "endpoints": dict(self.endpoints),
            "max_concurrency": self.max_concurrency,
        }


@define(eq=False)
class CallCounts:
    """All calls to the endpoints of the proxy, whatever their responses."""

    _all: Tally = field(factory=Tally)
    _by_token: OrderedDict[str, Tally] = field(factory=OrderedDict[str, Tally])

    def begin(self, endpoint: str, *, token: str, persona: str | None) -> tuple[Tally, Tally]:
        """Count a running call, whose token has this fingerprint.

        Returns:
            The tallies to `end` when the call is over, even if `reset` was called in between.
        """
        tallies = (self._all, self._tally_of(token, persona))
        for tally in tallies:
            tally.begin(endpoint)
        return tallies

    def reset(self) -> None:
        self._all = Tally()
        self._by_token = OrderedDict()

    def report(self, *, tokens: int = MAX_TOKENS) -> dict[str, Any]:
        """Return the counts as JSON, with those of the most recently used tokens."""
        newest = islice(reversed(self._by_token.items()), tokens)
        reports = {name: {"persona": each.persona, **each.report()} for name, each in newest}
        return {**self._all.report(), "tokens": reports}

    @property
    def token_count(self) -> int:
        return len(self._by_token)

    def per_persona(self) -> dict[str, int]:
        """Return the number of calls with a token of each persona that made any."""
        calls = Counter[str]()
        for tally in self._by_token.values():
            if tally.persona is not None:
                calls[tally.persona] += tally.endpoints.total()
        return dict(calls)

    def _tally_of(self, token: str, persona: str | None) -> Tally:
        """Return the token's tally, now the most recent one; drop the oldest of too many."""
        tally = self._by_token.pop(token, None) or Tally(persona=persona)
        self._by_token[token] = tally
        if len(self._by_token) > MAX_TOKENS:
            self._by_token.popitem(last=False)
        return tally
