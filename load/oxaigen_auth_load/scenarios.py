"""When each lookup is to start, and with which token: drawn before the load begins. Pure."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from random import Random

MAX_LOOKUPS = 1_000_000


class PlanError(ValueError):
    """There can be no such plan; the message says why, and what to change."""


@frozen
class Plan:
    """What a load is made of. The same plan can be run again, through something else.

    Attributes:
        starts: when each lookup starts, in seconds from the beginning, in order.
        tokens: the number of each lookup's token, from 0 to `distinct` - 1.
        bad: the numbers of those tokens that are not good.
    """

    shape: str
    starts: Sequence[float]
    tokens: Sequence[int]
    distinct: int
    bad: frozenset[int] = frozenset()

    @property
    def seconds(self) -> float:
        """When the last lookup starts."""
        return self.starts[-1]

    @property
    def used(self) -> int:
        """How many of the tokens are used at all."""
        return len(set(self.tokens))


@frozen(kw_only=True)
class Mix:
    """How many tokens there are, how many of them bad, and how unevenly they are used.

    The n-th has a weight of 1/n**`zipf`; 0 is for evenly.
    """

    distinct: int
    zipf: float = 0.0
    bad: int = 0


def burst(callers: int) -> list[float]:
    """Let all start at once."""
    return [0.0] * bounded(callers)


def steady(rate: float, seconds: float, random: Random) -> list[float]:
    """Let lookups arrive as from many callers who do not know of each other: a Poisson process.

    Args:
        rate: lookups per second, on average.
        seconds: how long they go on arriving.
        random: draws the time between two.
    """
    return ramp(rate, rate, seconds, random)


def ramp(first: float, last: float, seconds: float, random: Random) -> list[float]:
    """Let the rate of a Poisson process change evenly: from `first` to `last` per second.

    Arrivals at the higher rate, of which those are left out that are too many (thinning).
    """
    most = max(first, last)
    bounded(most * seconds)
    return [
        at
        for at in _poisson(most, seconds, random)
        if random.random() * most <= first + (last - first) * at / seconds
    ]


def _poisson(rate: float, seconds: float, random: Random) -> Iterator[float]:
    at = random.expovariate(rate)
    while at < seconds:
        yield at
        at += random.expovariate(rate)


def bounded(lookups: float) -> int:
    """Return the number if it is one that a machine can run.

    Raises:
        PlanError: too many, or none.
    """
    if not 1 <= lookups <= MAX_LOOKUPS:
        raise PlanError(
            f"this would be {lookups:,.0f} lookups; a load has 1 to {MAX_LOOKUPS:,}: "
            "change the rate, the seconds or the callers"
        )
    return round(lookups)


def spread(shape: str, starts: Sequence[float], mix: Mix, random: Random) -> Plan:
    """Give each lookup a token. Which are bad is drawn from all, the often and the seldom used.

    Raises:
        PlanError: more bad tokens than there are, or no lookup.
    """
    distinct, zipf, bad = mix.distinct, mix.zipf, mix.bad
    if bad > distinct:
        raise PlanError(f"of {distinct} tokens no {bad} can be bad; lower --bad or raise --tokens")
    if not starts:
        raise PlanError("no lookup would start; raise the rate or the seconds")
    weights = list(accumulate(1 / n**zipf for n in range(1, distinct + 1)))
    tokens = random.choices(range(distinct), cum_weights=weights, k=len(starts))
    if zipf == 0 and len(starts) >= distinct:
        # Without a skew every token is wanted, not only nearly every one.
        tokens = [n % distinct for n in range(len(starts))]
        random.shuffle(tokens)
    return Plan(shape, starts, tokens, distinct, frozenset(random.sample(range(distinct), bad)))


def replay(path: Path, bad: int, random: Random) -> Plan:
    """Read a plan from a file: on each line a second from the beginning and any name of a token.

    The two are separated by a comma or space: `0.25,ada`. Equal names are equal tokens. Empty
    lines and those that begin with `#` say nothing; lines need not be in order.

    Raises:
        PlanError: a line says something else, or none says anything.
        OSError: the file cannot be read.
    """
    lookups = sorted(_lines(path.read_text("utf-8-sig").splitlines()))
    names = list(dict.fromkeys(name for _, name in lookups))
    if bad > len(names):
        raise PlanError(f"{path.name} has {len(names)} tokens, so no {bad} can be bad")
    bounded(len(lookups))
    numbers = {name: number for number, name in enumerate(names)}
    wrong = frozenset(random.sample(range(len(names)), bad))
    starts = [start for start, _ in lookups]
    return Plan("replay", starts, [numbers[name] for _, name in lookups], len(names), wrong)


def _lines(lines: Iterable[str]) -> Iterator[tuple[float, str]]:
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            start, name = words
            yield _second(start), name
        except ValueError:
            # The line itself is not shown: somebody may have put a token into it.
            raise PlanError(
                f"line {number} is no second and name, separated by a comma, such as 0.25,ada"
            ) from None


def _second(text: str) -> float:
    second = float(text)
    if not 0 <= second < float("inf"):
        raise ValueError(text)
    return second
