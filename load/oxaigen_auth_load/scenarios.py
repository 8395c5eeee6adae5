"""Draws the plan of each scenario."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from attrs import evolve, frozen

from oxaigen_auth_load.plan import Plan, PlanError
from oxaigen_auth_load.tokens import TokenMix, draw_tokens

MAX_LOOKUPS = 1_000_000
ASKING_INTERVAL = 0.02  # seconds
MAX_START = 604_800  # seconds of a replayed lookup: a week
CLOSED_DRAWS = 100_000  # tokens, which a closed model repeats


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
    check_count(max(first, last) * seconds)
    return _ramp(first, last, seconds, random)


def _ramp(first: float, last: float, seconds: float, random: Random) -> list[float]:
    peak = max(first, last)
    return [
        at
        for at in _poisson(peak, seconds, random)
        if random.random() * peak <= first + (last - first) * at / seconds
    ]


@frozen
class Stage:
    """A part of a load, with a rate that changes linearly from `first` to `last` per second."""

    seconds: float
    first: float
    last: float


def stages(parts: Sequence[Stage], random: Random) -> list[float]:
    """Return the arrivals of several ramps, one after the other."""
    check_count(sum(max(part.first, part.last) * part.seconds for part in parts))
    starts: list[float] = []
    began = 0.0
    for part in parts:
        if part.first or part.last:
            starts += [began + at for at in _ramp(part.first, part.last, part.seconds, random)]
        began += part.seconds
    return starts


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
    """Give each lookup a token.

    Raises:
        PlanError: there are more invalid tokens than tokens, or no lookups.
    """
    if not starts:
        raise PlanError("no lookup would start; raise the rate or the seconds")
    tokens, invalid = draw_tokens(len(starts), mix, random)
    return Plan(scenario, starts, tokens, mix.distinct, invalid)


def stampede(rate: float, seconds: float, asked: int, mix: TokenMix, random: Random) -> Plan:
    """Ask for each token this many times at the start, beside a steady load.

    Raises:
        PlanError: there are more invalid tokens than tokens, or no lookups.
    """
    plan = assign_tokens("stampede", steady(rate, seconds, random), mix, random)
    first = [
        (time * ASKING_INTERVAL, token) for time in range(asked) for token in range(mix.distinct)
    ]
    check_count(len(first) + len(plan.starts))
    starts, tokens = zip(
        *sorted((*first, *zip(plan.starts, plan.tokens, strict=True))), strict=True
    )
    return evolve(plan, starts=starts, tokens=tokens, seconds=seconds)


def closed(connections: int, seconds: float, mix: TokenMix, random: Random) -> Plan:
    """Let each connection ask again when it is answered, for this many seconds.

    Raises:
        PlanError: there are more invalid tokens than tokens.
    """
    tokens, invalid = draw_tokens(max(CLOSED_DRAWS, mix.distinct), mix, random)
    return Plan("closed", (), tokens, mix.distinct, invalid, connections, seconds=seconds)


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
                f"line {number} is not a start in seconds and a name, such as 0.25,ada; "
                f"starts count from the first lookup, and are at most {MAX_START:,}"
            ) from None


def _parse_start(text: str) -> float:
    start = float(text)
    if not 0 <= start <= MAX_START:
        raise ValueError(text)
    return start
