"""The command's options, and the plan that they describe."""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from oxaigen_auth_load import scenarios
from oxaigen_auth_load.scenarios import MAX_LOOKUPS, Plan, TokenMix
from oxaigen_auth_load.targets import is_url
from oxaigen_auth_load.thresholds import Expectation, read_expectation
from oxaigen_auth_mock import MockSettings
from oxaigen_auth_mock.faults.kinds import FAULT
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.personas.store import PersonaStore

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
    """Options that cannot be combined."""


def _number_type(
    convert: Callable[[str], Any], minimum: float, expected: str
) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            number = convert(text)
        except ValueError:
            number = float("nan")
        if not minimum <= number < float("inf"):
            raise ArgumentTypeError(f"{text!r} is not {expected}")
        return number

    return parse


_non_negative_int = _number_type(int, 0, "a whole number >= 0")
_non_negative_float = _number_type(float, 0, "a number >= 0")
_positive_float = _number_type(float, 1e-6, "a number > 0")


def _count(text: str) -> int:
    number: int = _number_type(int, 1, "a whole number >= 1")(text)
    if number > MAX_LOOKUPS:
        raise ArgumentTypeError(f"{number:,} is more than {MAX_LOOKUPS:,}")
    return number


def _expectation(text: str) -> Expectation:
    try:
        return read_expectation(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _fault(text: str) -> dict[str, Any]:
    """Parse `status,status=503,probability=0.1`; values are JSON, or otherwise text."""
    kind, *fields = text.split(",")
    described: dict[str, Any] = {"kind": kind.strip()}
    for each in fields:
        name, _, value = each.partition("=")
        try:
            described[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            described[name.strip()] = value
    problem = _fault_problem(described)
    if problem:
        raise ArgumentTypeError(f"{text!r} is not a fault of the mock: {problem}")
    return described


def _fault_problem(described: dict[str, Any]) -> str | None:
    try:
        parsed = FAULT.validate_python(described)
    except ValueError as error:
        first = str(error).partition(" [type=")[0].splitlines()[1:]
        return " ".join(" ".join(first).split())
    return unknown_persona(parsed.persona, PersonaStore(MockSettings()).names)


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
    per_second = "lookups per second (default: %(default)s)"
    seconds = "length of the load (default: %(default)s)"
    add = partial(subparsers.add_parser, allow_abbrev=False)
    burst = add("burst", help="all callers at once")
    burst.add_argument(
        "--callers",
        type=_count,
        default=1000,
        metavar="N",
        help="number of lookups (default: %(default)s)",
    )
    steady = add("steady", help="arrivals at a constant rate")
    steady.add_argument("--rate", type=_positive_float, default=200.0, help=per_second)
    ramp = add("ramp", help="arrivals at a rate that changes linearly")
    ramp.add_argument(
        "--from", dest="first", type=_non_negative_float, default=10.0, help=per_second
    )
    ramp.add_argument("--to", dest="last", type=_positive_float, default=500.0, help=per_second)
    for scenario in (steady, ramp):
        scenario.add_argument("--seconds", type=_positive_float, default=10.0, help=seconds)
    replay = add("replay", help="lookups from a file")
    replay.add_argument(
        "file", type=Path, help="with lines such as `0.25,ada`: start in seconds, name of a token"
    )


def _add_tokens(group: Any) -> None:
    distinct = f"number of distinct tokens (default: {DEFAULT_TOKENS})"
    group.add_argument("--tokens", type=_count, metavar="N", help=distinct)
    skew = "use the n-th token in proportion to n**-S (default: all equally often)"
    group.add_argument("--zipf", type=_non_negative_float, default=0.0, metavar="S", help=skew)
    invalid = "number of invalid tokens (default: %(default)s)"
    group.add_argument("--invalid", type=_non_negative_int, default=0, metavar="N", help=invalid)
    seed = "seed of the random numbers; equal seeds give equal loads (default: %(default)s)"
    group.add_argument("--seed", type=_non_negative_int, default=1, metavar="N", help=seed)
    file = "valid tokens, one per line; required for a proxy or an app that is not embedded"
    group.add_argument("--tokens-file", type=Path, metavar="FILE", help=file)


def _add_target(group: Any) -> None:
    group.add_argument(
        "--target",
        nargs="+",
        default=["client"],
        metavar=("client|app", "URL"),
        help="the SDK's client, an embedded app, or the app at a URL (default: client)",
    )
    naive = "also run the load without the SDK: a call of the proxy for each lookup"
    group.add_argument("--compare", choices=["naive"], help=naive)
    group.add_argument("--proxy", metavar="URL", help="the proxy (default: an embedded mock)")
    group.add_argument(
        "--latency",
        type=_non_negative_float,
        default=0.0,
        metavar="SECONDS",
        help="delay of the embedded mock's answers",
    )
    group.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND[,NAME=VALUE…]",
        help="inject a fault into the embedded mock; can be given several times",
    )
    backend = "run everything on this event loop (default: %(default)s)"
    group.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio", help=backend)
    group.add_argument(
        "--timeout",
        type=_positive_float,
        default=5.0,
        metavar="SECONDS",
        help="timeout of a lookup (default: %(default)s)",
    )


def _add_results(group: Any) -> None:
    group.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    group.add_argument("--html", type=Path, metavar="FILE", help="write the results as a web page")
    group.add_argument(
        "--expect",
        type=_expectation,
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
    if not all(map(is_url, filter(None, (options.proxy, *url)))):
        raise OptionError("a URL must be http or https, without user and password")
    if is_elsewhere and not options.tokens_file:
        raise OptionError("give the tokens that the proxy accepts with --tokens-file")
    if is_elsewhere and (options.fault or options.latency):
        raise OptionError(
            "--fault and --latency need the embedded mock: leave out --proxy and the app's URL"
        )
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
        distinct = len(scenarios.read_tokens(options.tokens_file)) + options.invalid
    mix = TokenMix(distinct=distinct, zipf=options.zipf, invalid=options.invalid)
    return scenarios.assign_tokens(options.scenario, starts, mix, random)
