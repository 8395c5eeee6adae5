"""The command's options, and the plan and tokens that they describe."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from oxaigen_auth_load import option_types, scenarios
from oxaigen_auth_load.scenarios import TokenMix

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from oxaigen_auth_load.scenarios import Plan

PROGRAM = "oxaigen-auth-load"
EXAMPLES = f"""\
examples:
  $ {PROGRAM} burst --callers 10000 --tokens 1 --compare naive
  $ {PROGRAM} steady --rate 500 --seconds 10 --tokens 200 --zipf 1.1 --latency 0.05
  $ {PROGRAM} ramp --from 50 --to 1000 --seconds 20 --html load.html
  $ {PROGRAM} steady --rate 200 --seconds 5 --fault status,status=503,probability=0.1
  $ {PROGRAM} burst --callers 5000 --expect "upstream_calls_per_token <= 1" --expect "errors == 0"
"""
DEFAULT_TOKENS = 100


class OptionError(ValueError):
    """Options contradict each other, or a file does not have what they need."""


def parse_options(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line; None takes that of the process.

    Raises:
        SystemExit: with 2 for an invalid option, with 0 after `--help`.
    """
    parser = ArgumentParser(
        prog=PROGRAM,
        description="Load-test token validation: the SDK's client, or an app protected by the SDK.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    subparsers = parser.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")
    _add_scenarios(subparsers)
    for scenario in subparsers.choices.values():
        _add_tokens(scenario.add_argument_group("tokens"))
        _add_target(scenario.add_argument_group("target"))
        _add_results(scenario.add_argument_group("results"))
    return parser.parse_args(arguments)


def _add_scenarios(subparsers: Any) -> None:
    number, positive = option_types.non_negative_float, option_types.positive_float
    per_second = "lookups per second (default: %(default)s)"
    seconds = "length of the load (default: %(default)s)"
    burst = subparsers.add_parser("burst", help="all callers at once", allow_abbrev=False)
    burst.add_argument(
        "--callers",
        type=option_types.count,
        default=1000,
        metavar="N",
        help="number of lookups (default: %(default)s)",
    )
    steady = subparsers.add_parser("steady", help="arrivals at a constant rate", allow_abbrev=False)
    steady.add_argument("--rate", type=positive, default=200.0, help=per_second)
    ramp = subparsers.add_parser(
        "ramp", help="arrivals at a rate that changes linearly", allow_abbrev=False
    )
    ramp.add_argument("--from", dest="first", type=number, default=10.0, help=per_second)
    ramp.add_argument("--to", dest="last", type=positive, default=500.0, help=per_second)
    for scenario in (steady, ramp):
        scenario.add_argument("--seconds", type=positive, default=10.0, help=seconds)
    replay = subparsers.add_parser("replay", help="lookups from a file", allow_abbrev=False)
    replay.add_argument(
        "file", type=Path, help="with lines such as `0.25,ada`: start in seconds, name of a token"
    )


def _add_tokens(group: Any) -> None:
    group.add_argument(
        "--tokens",
        type=option_types.count,
        metavar="N",
        help=f"number of distinct tokens (default: {DEFAULT_TOKENS})",
    )
    group.add_argument(
        "--zipf",
        type=option_types.non_negative_float,
        default=0.0,
        metavar="S",
        help="use the n-th token in proportion to n**-S (default: all equally often)",
    )
    whole = option_types.non_negative_int
    group.add_argument(
        "--invalid",
        type=whole,
        default=0,
        metavar="N",
        help="number of invalid tokens (default: 0)",
    )
    group.add_argument(
        "--seed",
        type=whole,
        default=1,
        metavar="N",
        help="equal seeds draw equal loads (default: 1)",
    )
    group.add_argument(
        "--tokens-file",
        type=Path,
        metavar="FILE",
        help="valid tokens, one per line; required for a proxy or an app that is not embedded",
    )


def _add_target(group: Any) -> None:
    group.add_argument(
        "--target",
        nargs="+",
        default=["client"],
        metavar=("client|app", "URL"),
        help="the SDK's client, an embedded app, or the app at a URL (default: client)",
    )
    group.add_argument(
        "--compare",
        choices=["naive"],
        help="also run the load without the SDK: a call of the proxy for each lookup",
    )
    group.add_argument("--proxy", metavar="URL", help="the proxy (default: an embedded mock)")
    group.add_argument(
        "--latency",
        type=option_types.non_negative_float,
        default=0.0,
        metavar="SECONDS",
        help="delay of the embedded mock's answers",
    )
    group.add_argument(
        "--fault",
        type=option_types.fault,
        action="append",
        default=[],
        metavar="KIND[,NAME=VALUE…]",
        help="inject a fault into the embedded mock; can be given several times",
    )
    group.add_argument(
        "--backend",
        choices=["asyncio", "trio"],
        default="asyncio",
        help="run everything on this event loop (default: %(default)s)",
    )
    group.add_argument(
        "--timeout",
        type=option_types.positive_float,
        default=5.0,
        metavar="SECONDS",
        help="timeout of a lookup (default: %(default)s)",
    )


def _add_results(group: Any) -> None:
    group.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    group.add_argument("--html", type=Path, metavar="FILE", help="write the results as a web page")
    group.add_argument(
        "--expect",
        type=option_types.expectation,
        action="append",
        default=[],
        metavar="TEXT",
        help="exit with status 1 unless this holds, such as 'p99 < 50ms'; "
        "can be given several times",
    )


def check_target(options: Namespace) -> None:
    """Check that the options of the target can be combined.

    Raises:
        OptionError: they cannot.
    """
    target, *url = options.target
    is_elsewhere = bool(options.proxy or url)
    if target not in {"client", "app"} or len(url) > (target == "app"):
        raise OptionError("--target takes client, app, or app and a URL")
    if is_elsewhere and not options.tokens_file:
        raise OptionError("give the tokens that the proxy accepts with --tokens-file")
    if is_elsewhere and (options.fault or options.latency):
        raise OptionError("--fault and --latency need the embedded mock, which this load excludes")
    if url and not options.proxy and options.compare:
        raise OptionError("--compare calls the proxy directly: give its URL with --proxy")


def make_plan(options: Namespace) -> Plan:
    """Draw the plan that the options describe.

    Raises:
        PlanError: it is impossible.
        OSError: a file cannot be read.
    """
    random = Random(options.seed)  # noqa: S311 (repeatable, not secret)
    if options.scenario == "replay":
        return scenarios.replay(options.file, options.invalid, random)
    starts = {
        "burst": lambda: scenarios.burst(options.callers),
        "steady": lambda: scenarios.steady(options.rate, options.seconds, random),
        "ramp": lambda: scenarios.ramp(options.first, options.last, options.seconds, random),
    }[options.scenario]()
    distinct = options.tokens or DEFAULT_TOKENS
    if options.tokens_file and not options.tokens:
        distinct = len(read_tokens(options.tokens_file)) + options.invalid
    mix = TokenMix(distinct=distinct, zipf=options.zipf, invalid=options.invalid)
    return scenarios.assign_tokens(options.scenario, starts, mix, random)


def make_tokens(options: Namespace, plan: Plan) -> list[str]:
    """Return a token for each token number of the plan.

    Raises:
        OptionError: the tokens file has too few.
        OSError: the file cannot be read.
    """
    needed = plan.distinct - len(plan.invalid)
    valid = [f"load-token-{options.seed}-{number}" for number in range(needed)]
    if options.tokens_file:
        valid = read_tokens(options.tokens_file)
        if len(valid) < needed:
            name = options.tokens_file.name
            raise OptionError(f"{name} has {len(valid)} tokens, but {needed} are needed")
    unused = iter(valid)
    return [
        f"invalid-token-{number}" if number in plan.invalid else next(unused)
        for number in range(plan.distinct)
    ]


def read_tokens(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
