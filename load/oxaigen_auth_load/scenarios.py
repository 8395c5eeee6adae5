"""Draws plans before a load: when each lookup starts, and with which token."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random

from attrs import frozen

MAX_LOOKUPS = 1_000_000


class PlanError(ValueError):
    """A plan is impossible; the message says why, and what to change."""


@frozen
class Plan:
    """The lookups of a load. A plan can be run several times, against different targets.

    Attributes:
        scenario: its name.
        starts: when each lookup starts, in seconds from the start of the run, in order.
        tokens: the number of each lookup's token, from 0 to `distinct` - 1.
        distinct: the number of distinct tokens.
        invalid: the numbers of the tokens that a proxy should reject.
    """

    scenario: str
    starts: Sequence[float]
    tokens: Sequence[int]
    distinct: int
    invalid: frozenset[int] = frozenset()

    @property
    def seconds(self) -> float:
        """When the last lookup starts."""
        return self.starts[-1]

    def used(self, lookups: int | None = None) -> int:
        """Return the number of distinct tokens in the first `lookups`. None: in all of them."""
        return len(set(self.tokens[:lookups]))


@frozen(kw_only=True)
class TokenMix:
    """How many distinct tokens there are, how unevenly they are used, and how many are invalid.

    The n-th token has a weight of 1/n**`zipf`; 0 uses all equally often.
    """

    distinct: int
    zipf: float = 0.0
    invalid: int = 0


def burst(callers: int) -> list[float]:
    """Return the start times of lookups that all start at once."""
    return [0.0] * check_count(callers)


def steady(rate: float, seconds: float, random: Random) -> list[float]:
    """Return the arrivals of a Poisson process: many callers, independent of each other.

    Args:
        rate: lookups per second, on average.
        seconds: the length of the load.
        random: draws the time between two arrivals.
    """
    return ramp(rate, rate, seconds, random)


def ramp(first: float, last: float, seconds: float, random: Random) -> list[float]:
    """Return the arrivals of a Poisson process whose rate changes linearly.

    The arrivals are drawn at the higher rate, and thinned out where the rate is lower.
    """
    peak = max(first, last)
    check_count(peak * seconds)
    return [
        at
        for at in _poisson(peak, seconds, random)
        if random.random() * peak <= first + (last - first) * at / seconds
    ]


def _poisson(rate: float, seconds: float, random: Random) -> Iterator[float]:
    at = random.expovariate(rate)
    while at < seconds:
        yield at
        at += random.expovariate(rate)


def check_count(lookups: float) -> int:
    """Return the number of lookups, rounded, if one process can run as many.

    Raises:
        PlanError: there are none, or too many.
    """
    if not 1 <= lookups <= MAX_LOOKUPS:
        raise PlanError(
            f"this would be {lookups:,.0f} lookups; a load has 1 to {MAX_LOOKUPS:,}: "
            "change the rate, the seconds or the callers"
        )
    return round(lookups)


def assign_tokens(scenario: str, starts: Sequence[float], mix: TokenMix, random: Random) -> Plan:
    """Give each lookup a token. Invalid tokens are drawn from all, frequent and rare.

    Raises:
        PlanError: there are more invalid tokens than tokens, or no lookups.
    """
    distinct, invalid = mix.distinct, mix.invalid
    if invalid > distinct:
        raise PlanError(
            f"{invalid} of {distinct} tokens cannot be invalid; lower --invalid or raise --tokens"
        )
    if not starts:
        raise PlanError("no lookup would start; raise the rate or the seconds")
    weights = list(accumulate(n**-mix.zipf for n in range(1, distinct + 1)))
    tokens = random.choices(range(distinct), cum_weights=weights, k=len(starts))
    if mix.zipf == 0 and len(starts) >= distinct:
        # Without a skew use every token, which drawing with replacement does not guarantee.
        tokens = [n % distinct for n in range(len(starts))]
        random.shuffle(tokens)
    drawn = frozenset(random.sample(range(distinct), invalid))
    return Plan(scenario, starts, tokens, distinct, drawn)


def replay(path: Path, invalid: int, random: Random) -> Plan:
    """Read a plan from a file: on each line a start time in seconds and the name of a token.

    The two are separated by a comma or a space: `0.25,ada`. Equal names stand for the same token.
    Empty lines and lines that start with `#` are ignored; lines need not be in order.

    Raises:
        PlanError: a line is malformed, there are no lines, or more invalid tokens than names.
        OSError: the file cannot be read.
    """
    lookups = sorted(_parse_lines(path.read_text("utf-8-sig").splitlines()))
    names = list(dict.fromkeys(name for _, name in lookups))
    if invalid > len(names):
        raise PlanError(f"{path.name} has {len(names)} tokens; {invalid} of them cannot be invalid")
    check_count(len(lookups))
    numbers = {name: number for number, name in enumerate(names)}
    drawn = frozenset(random.sample(range(len(names)), invalid))
    starts = [start for start, _ in lookups]
    return Plan("replay", starts, [numbers[name] for _, name in lookups], len(names), drawn)


def _parse_lines(lines: Iterable[str]) -> Iterator[tuple[float, str]]:
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            start, name = words
            yield _parse_start(start), name
        except ValueError:
            # The message leaves out the line, which could contain a token.
            raise PlanError(
                f"line {number} is not a start in seconds and a name, such as 0.25,ada"
            ) from None


def _parse_start(text: str) -> float:
    start = float(text)
    if not 0 <= start < float("inf"):
        raise ValueError(text)
    return start


def make_tokens(plan: Plan, seed: int, file: Path | None) -> list[str]:
    """Return a bearer token for each token number of a plan.

    Args:
        plan: needs a valid token for each number that is not `invalid`.
        seed: makes the tokens differ from those of another seed.
        file: the valid tokens, one per line; None makes them up.

    Raises:
        PlanError: the file has too few tokens.
        OSError: the file cannot be read.
    """
    needed = plan.distinct - len(plan.invalid)
    valid = [f"load-token-{seed}-{number}" for number in range(needed)]
    if file:
        valid = read_tokens(file)
        if len(valid) < needed:
            raise PlanError(f"{file.name} has {len(valid)} tokens, but {needed} are needed")
    unused = iter(valid)
    return [
        f"invalid-token-{number}" if number in plan.invalid else next(unused)
        for number in range(plan.distinct)
    ]


def read_tokens(file: Path) -> list[str]:
    """Return the tokens of a file, one per line; blank lines are ignored.

    Raises:
        PlanError: the file has no token.
        OSError: the file cannot be read.
    """
    lines = file.read_text("utf-8-sig").splitlines()
    tokens = [line.strip() for line in lines if line.strip()]
    if not tokens:
        raise PlanError(f"{file.name} has no token; write one on each line")
    return tokens
