"""Counts the calls that a running mock gets, so that tests and people can see what was saved.

Keeps fingerprints, never tokens, and no more than `REMEMBERED_TOKENS` of them.
"""

from collections import Counter, OrderedDict
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from attrs import define, field

REMEMBERED_TOKENS: Final = 10_000
ANONYMOUS: Final = "none"  # can be no fingerprint: too short, and not hexadecimal


def fingerprint(token: str | None) -> str:
    """Name a token as the counts do: the first 12 hex digits of its SHA-256.

    >>> fingerprint("mock-dev-token")
    '8b6eec6e51ae'
    >>> fingerprint(None)
    'none'
    """
    if token is None:
        return ANONYMOUS
    return sha256(token.encode()).hexdigest()[:12]


@define(eq=False)
class Tally:
    """Calls that were counted together, and how many of them overlapped."""

    endpoints: Counter[str] = field(factory=Counter[str])
    most_at_once: int = 0
    _running: int = 0

    def begin(self, endpoint: str) -> None:
        self.endpoints[endpoint] += 1
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)

    def end(self) -> None:
        self._running -= 1

    def report(self) -> dict[str, Any]:
        return {
            "total": self.endpoints.total(),
            "endpoints": dict(self.endpoints),
            "most_at_once": self.most_at_once,
        }


@define(eq=False)
class TokenTally(Tally):
    """The calls with one token; `persona` is None when nobody has it."""

    persona: str | None = None

    def report(self) -> dict[str, Any]:
        return {"persona": self.persona, **super().report()}


@define(eq=False)
class CallCounts:
    """Every call to an endpoint of the proxy, whatever the answer was."""

    _all: Tally = field(factory=Tally)
    _by_token: OrderedDict[str, TokenTally] = field(factory=OrderedDict[str, TokenTally])

    def begin(self, endpoint: str, *, token: str, persona: str | None) -> tuple[Tally, Tally]:
        """Count a call with the token of this fingerprint, as running.

        Gives the tallies to `end` when it is over: also after a reset, whose tallies are new ones.
        """
        tallies = (self._all, self._tally_of(token, persona))
        for tally in tallies:
            tally.begin(endpoint)
        return tallies

    def reset(self) -> None:
        self._all = Tally()
        self._by_token = OrderedDict()

    def report(self, *, tokens: int = REMEMBERED_TOKENS) -> dict[str, Any]:
        """Tell of all calls, and of those per token, for as many tokens: the last used first."""
        newest = islice(reversed(self._by_token.items()), tokens)
        return {**self._all.report(), "tokens": {name: tally.report() for name, tally in newest}}

    def _tally_of(self, token: str, persona: str | None) -> TokenTally:
        """Find the token's tally and make it the youngest; the oldest goes if they are too many."""
        tally = self._by_token.pop(token, None) or TokenTally(persona=persona)
        self._by_token[token] = tally
        if len(self._by_token) > REMEMBERED_TOKENS:
            self._by_token.popitem(last=False)
        return tally
