"""The tokens of a load: how many there are, which lookup uses which, and their texts."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from random import Random

from attrs import frozen

from oxaigen_auth_load.plan import Plan, PlanError


@frozen(kw_only=True)
class TokenMix:
    """How many distinct tokens there are, how unevenly they are used, and how many are invalid.

    The n-th token has a weight of 1/n**`zipf`; 0 uses all equally often.
    """

    distinct: int
    zipf: float = 0.0
    invalid: int = 0


def draw_tokens(
    lookups: int, mix: TokenMix, random: Random
) -> tuple[Sequence[int], frozenset[int]]:
    """Return a token for each lookup, and the invalid tokens, which are drawn from all.

    Raises:
        PlanError: there are more invalid tokens than tokens.
    """
    distinct, invalid = mix.distinct, mix.invalid
    if invalid > distinct:
        raise PlanError(
            f"{invalid} of {distinct} tokens cannot be invalid; lower --invalid or raise --tokens"
        )
    weights = list(accumulate(n**-mix.zipf for n in range(1, distinct + 1)))
    tokens = random.choices(range(distinct), cum_weights=weights, k=lookups)
    if mix.zipf == 0 and lookups >= distinct:
        # Without a skew use every token, which drawing with replacement does not guarantee.
        tokens = [n % distinct for n in range(lookups)]
        random.shuffle(tokens)
    return tokens, frozenset(random.sample(range(distinct), invalid))


def make_tokens(plan: Plan, seed: int, given: Sequence[str] | None) -> list[str]:
    """Return a bearer token for each token number of a plan.

    Args:
        plan: needs a valid token for each number that is not `invalid`.
        seed: makes the tokens differ from those of another seed.
        given: the valid tokens; None makes them up.

    Raises:
        PlanError: too few are given.
    """
    needed = plan.distinct - len(plan.invalid)
    valid = given or [f"load-token-{seed}-{number}" for number in range(needed)]
    if len(valid) < needed:
        raise PlanError(f"--tokens-file has {len(valid)} tokens, but {needed} are needed")
    unused = iter(valid)
    return [
        f"invalid-token-{number}" if number in plan.invalid else next(unused)
        for number in range(plan.distinct)
    ]


def read_tokens(file: Path) -> list[str]:
    """Return the tokens of a file, one per line; blank and repeated lines are ignored.

    Raises:
        PlanError: the file has no token.
        OSError: the file cannot be read.
    """
    lines = file.read_text("utf-8-sig").splitlines()
    tokens = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not tokens:
        raise PlanError(f"{file.name} has no token; write one on each line")
    return tokens
