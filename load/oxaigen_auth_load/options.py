"""The flags of the command, and what they come to: a plan, tokens, a way through."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from oxaigen_auth_load import scenarios
from oxaigen_auth_load.scenarios import Mix
from oxaigen_auth_load.thresholds import read_expectation
from oxaigen_auth_mock import MockSettings
from oxaigen_auth_mock.config.files import FAULT
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.personas.store import Roster

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from oxaigen_auth_load.scenarios import Plan
    from oxaigen_auth_load.thresholds import Expectation

PROGRAM = "oxaigen-auth-load"
EXAMPLES = f"""\
examples:
  $ {PROGRAM} burst --callers 10000 --tokens 1 --compare naive
  $ {PROGRAM} steady --rate 500 --seconds 10 --tokens 200 --zipf 1.1 --latency 0.05
  $ {PROGRAM} ramp --from 50 --to 1000 --seconds 20 --html load.html
  $ {PROGRAM} steady --rate 200 --seconds 5 --fault status,status=503,probability=0.1
  $ {PROGRAM} burst --callers 5000 --expect "upstream_calls_per_token <= 1" --expect "errors == 0"
"""


class OptionError(ValueError):
    """The flags contradict each other, or a file is not what it should be."""


def read_options(arguments: Sequence[str] | None) -> Namespace:
    """Read the flags; None takes those of the process.

    Raises:
        SystemExit: with 2 for a wrong flag, with 0 after `--help`.
    """
    parser = ArgumentParser(
        prog=PROGRAM,
        description="Load the SDK, or an app that it protects, with token validation.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    shapes = parser.add_subparsers(dest="shape", required=True, metavar="SHAPE")
    _add_shapes(shapes)
    for shape in shapes.choices.values():
        _add_tokens(shape.add_argument_group("tokens"))
        _add_ways(shape.add_argument_group("what it goes through"))
        _add_results(shape.add_argument_group("results"))
    return parser.parse_args(arguments)


def _add_shapes(shapes: Any) -> None:
    burst = shapes.add_parser("burst", help="all callers at once", allow_abbrev=False)
    burst.add_argument("--callers", type=_count, default=1000, help="default: %(default)s")
    steady = shapes.add_parser("steady", help="a rate that stays the same", allow_abbrev=False)
    steady.add_argument("--rate", type=_positive, default=200.0, help=_PER_SECOND)
    ramp = shapes.add_parser("ramp", help="a rate that changes evenly", allow_abbrev=False)
    ramp.add_argument("--from", dest="first", type=_number, default=10.0, help=_PER_SECOND)
    ramp.add_argument("--to", dest="last", type=_positive, default=500.0, help=_PER_SECOND)
    for shape in (steady, ramp):
        shape.add_argument("--seconds", type=_positive, default=10.0, help="default: %(default)s")
    replay = shapes.add_parser("replay", help="what a file says", allow_abbrev=False)
    replay.add_argument("file", type=Path, help="lines such as `0.25,ada`: second, name of a token")


_PER_SECOND = "lookups per second (default: %(default)s)"


def _add_tokens(group: Any) -> None:
    group.add_argument("--tokens", type=_count, help="how many distinct ones (default: 100)")
    group.add_argument(
        "--zipf",
        type=_number,
        default=0.0,
        metavar="S",
        help="how much more often the first are used: the n-th as n**-S (default: evenly)",
    )
    group.add_argument("--bad", type=_whole, default=0, help="how many of them are not good")
    group.add_argument("--seed", type=_whole, default=1, help="equal seeds draw the same load")
    group.add_argument(
        "--tokens-file",
        type=Path,
        metavar="FILE",
        help="good tokens, one a line, for a proxy or an app that is not embedded",
    )


def _add_ways(group: Any) -> None:
    group.add_argument(
        "--through",
        nargs="+",
        default=["client"],
        metavar=("client|app", "URL"),
        help="the SDK's client, an embedded app, or the app at a URL (default: client)",
    )
    group.add_argument(
        "--compare",
        choices=["naive"],
        help="run the same load once more: each lookup a call of the proxy, nothing remembered",
    )
    group.add_argument("--proxy", metavar="URL", help="where the proxy is (default: embedded mock)")
    group.add_argument(
        "--latency", type=_number, default=0.0, help="seconds that the embedded mock waits"
    )
    group.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND[,NAME=VALUE…]",
        help="a fault of the embedded mock; may be given again",
    )
    group.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    group.add_argument(
        "--timeout", type=_positive, default=5.0, help="seconds for a lookup (default: %(default)s)"
    )


def _add_results(group: Any) -> None:
    group.add_argument("--json", type=Path, metavar="FILE", help="write all results to it")
    group.add_argument("--html", type=Path, metavar="FILE", help="write a page to look at")
    group.add_argument(
        "--expect",
        type=_expectation,
        action="append",
        default=[],
        metavar="TEXT",
        help="such as 'p99 < 50ms'; if it is not so, the exit status is 1; may be given again",
    )


def make_plan(options: Namespace) -> Plan:
    """Draw the load that the flags describe.

    Raises:
        PlanError: there can be none.
        OSError: the file cannot be read.
    """
    random = Random(options.seed)  # noqa: S311 (to be repeatable, not to be secret)
    if options.shape == "replay":
        return scenarios.replay(options.file, options.bad, random)
    starts = {
        "burst": lambda: scenarios.burst(options.callers),
        "steady": lambda: scenarios.steady(options.rate, options.seconds, random),
        "ramp": lambda: scenarios.ramp(options.first, options.last, options.seconds, random),
    }[options.shape]()
    given = len(read_tokens(options.tokens_file)) + options.bad if options.tokens_file else 100
    mix = Mix(distinct=options.tokens or given, zipf=options.zipf, bad=options.bad)
    return scenarios.spread(options.shape, starts, mix, random)


def make_tokens(options: Namespace, plan: Plan) -> list[str]:
    """Return a token for each number of the plan.

    Raises:
        OptionError: there are not enough.
        OSError: the file cannot be read.
    """
    needed = plan.distinct - len(plan.bad)
    good = [f"load-token-{options.seed}-{number}" for number in range(needed)]
    if options.tokens_file:
        good = read_tokens(options.tokens_file)
        if len(good) < needed:
            name = options.tokens_file.name
            raise OptionError(f"{name} has {len(good)} tokens, and {needed} are needed")
    rest = iter(good)
    return [
        f"bad-token-{number}" if number in plan.bad else next(rest)
        for number in range(plan.distinct)
    ]


def read_tokens(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]


def check_ways(options: Namespace) -> None:
    """Refuse what cannot go together.

    Raises:
        OptionError: says what, and what to do.
    """
    way, *url = options.through
    if way not in {"client", "app"} or len(url) > (way == "app"):
        raise OptionError("--through takes client, app, or app and a URL")
    if (options.proxy or url) and not options.tokens_file:
        raise OptionError("give the tokens that it knows with --tokens-file")
    if (options.proxy or url) and (options.fault or options.latency):
        raise OptionError("--fault and --latency are for the embedded mock, which is not asked")
    if url and not options.proxy and options.compare:
        raise OptionError("--compare asks the proxy directly: say where it is with --proxy")


def _reader(kind: Callable[[str], Any], least: float, said: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = float("nan")
        if not least <= number < float("inf"):
            raise ArgumentTypeError(f"{text!r} is not {said}")
        return number

    return read


_whole = _reader(int, 0, "a whole number")
_number = _reader(float, 0, "a number, 0 or more")
_positive = _reader(float, 1e-6, "a number greater than 0")


def _count(text: str) -> int:
    number: int = _reader(int, 1, "a whole number, 1 or more")(text)
    if number > scenarios.MAX_LOOKUPS:
        raise ArgumentTypeError(f"{number:,} are more than {scenarios.MAX_LOOKUPS:,}")
    return number


def _expectation(text: str) -> Expectation:
    try:
        return read_expectation(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _fault(text: str) -> dict[str, Any]:
    """Read `status,status=503,probability=0.1`; values are JSON, or else text."""
    kind, *fields = text.split(",")
    described: dict[str, Any] = {"kind": kind.strip()}
    for each in fields:
        name, _, value = each.partition("=")
        try:
            described[name.strip()] = json.loads(value)
        except ValueError:
            described[name.strip()] = value
    try:
        fault = FAULT.validate_python(described)
    except ValueError as error:
        first = str(error).partition(" [type=")[0].splitlines()[1:]
        said = " ".join(" ".join(first).split())
        raise ArgumentTypeError(f"{text!r} is no fault of the mock: {said}") from None
    problem = unknown_persona(fault, Roster(MockSettings()).names)
    if problem:
        raise ArgumentTypeError(f"{text!r} is no fault of the mock: {problem}")
    return described
