"""The command's options."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from oxaigen_auth_load.event_options import add_event_scenarios
from oxaigen_auth_load.option_types import (
    non_negative_float,
    non_negative_int,
    parse_count,
    parse_expectation,
    parse_fault,
    parse_stage,
    positive_float,
)
from oxaigen_auth_load.urls import is_url

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
DEFAULT_CONNECTIONS = 10  # of a closed model


class OptionError(ValueError):
    """Options that cannot be combined."""


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
        _add_generator(scenario.add_argument_group("load"))
        _add_results(scenario.add_argument_group("results"))
    return parser.parse_args(arguments)


def _add_scenarios(subparsers: Any) -> None:
    per_second = "lookups per second (default: %(default)s)"
    seconds = "length of the load (default: %(default)s)"
    add = partial(subparsers.add_parser, allow_abbrev=False)
    burst = add("burst", help="all callers at once")
    burst.add_argument(
        "--callers",
        type=parse_count,
        default=1000,
        metavar="N",
        help="number of lookups (default: %(default)s)",
    )
    steady = add("steady", help="arrivals at a constant rate")
    steady.add_argument("--rate", type=positive_float, default=200.0, help=per_second)
    ramp = add("ramp", help="arrivals at a rate that changes linearly")
    ramp.add_argument(
        "--from", dest="first", type=non_negative_float, default=10.0, help=per_second
    )
    ramp.add_argument("--to", dest="last", type=positive_float, default=500.0, help=per_second)
    for scenario in (steady, ramp):
        scenario.add_argument("--seconds", type=positive_float, default=10.0, help=seconds)
    staged = add("stages", help="arrivals at rates that change in stages")
    staged.add_argument(
        "--stage",
        dest="stages",
        type=parse_stage,
        action="append",
        required=True,
        metavar="SECONDSs:RATE[-RATE]",
        help="such as 10s:100, or 30s:100-1000; can be given several times",
    )
    closed = add("closed", help="connections that ask again when they are answered; hides stalls")
    closed.add_argument("--seconds", type=positive_float, default=10.0, help=seconds)
    add_event_scenarios(add)
    replay = add("replay", help="lookups from a file")
    replay.add_argument(
        "file", type=Path, help="with lines such as `0.25,ada`: start in seconds, name of a token"
    )


def _add_tokens(group: Any) -> None:
    distinct = f"number of distinct tokens (default: {DEFAULT_TOKENS})"
    group.add_argument("--tokens", type=parse_count, metavar="N", help=distinct)
    skew = "use the n-th token in proportion to n**-S (default: all equally often)"
    group.add_argument("--zipf", type=non_negative_float, default=0.0, metavar="S", help=skew)
    invalid = "number of invalid tokens (default: %(default)s)"
    group.add_argument("--invalid", type=non_negative_int, default=0, metavar="N", help=invalid)
    seed = "seed of the random numbers; equal seeds give equal loads (default: %(default)s)"
    group.add_argument("--seed", type=non_negative_int, default=1, metavar="N", help=seed)
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
    workers = "processes that serve the embedded app (default: %(default)s)"
    group.add_argument("--app-workers", type=parse_count, default=1, metavar="N", help=workers)
    ttl = "cache TTL of the client or the embedded app, or that of your app (default: %(default)s)"
    group.add_argument("--ttl", type=non_negative_float, default=30.0, metavar="SECONDS", help=ttl)
    group.add_argument("--proxy", metavar="URL", help="the proxy (default: an embedded mock)")
    group.add_argument(
        "--latency",
        type=non_negative_float,
        default=0.0,
        metavar="SECONDS",
        help="delay of the embedded mock's answers",
    )
    group.add_argument(
        "--fault",
        type=parse_fault,
        action="append",
        default=[],
        metavar="KIND[,NAME=VALUE…]",
        help="inject a fault into the embedded mock; can be given several times",
    )
    backend = "run everything on this event loop (default: %(default)s)"
    group.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio", help=backend)
    group.add_argument(
        "--timeout",
        type=positive_float,
        default=5.0,
        metavar="SECONDS",
        help="timeout of a lookup (default: %(default)s)",
    )


def _add_generator(group: Any) -> None:
    group.add_argument(
        "--warmup",
        type=non_negative_float,
        default=0.0,
        metavar="SECONDS",
        help="leave the lookups of the first seconds out of the figures",
    )
    group.add_argument(
        "--workers",
        type=parse_count,
        metavar="N",
        help="processes that generate the load (default: 1 for the client, for an app one less "
        "than there are cores)",
    )
    group.add_argument(
        "--connections",
        type=parse_count,
        metavar="N",
        help="connections to an app or a proxy (default: as many as are needed; "
        f"{DEFAULT_CONNECTIONS} in a closed load)",
    )
    group.add_argument(
        "--cold-connections",
        action="store_true",
        help="make the connections while the load runs, not before",
    )


def _add_results(group: Any) -> None:
    group.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the time line of each run as CSV"
    )
    group.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    group.add_argument("--html", type=Path, metavar="FILE", help="write the results as a web page")
    group.add_argument(
        "--expect",
        type=parse_expectation,
        action="append",
        default=[],
        metavar="TEXT",
        help="exit with status 1 unless this holds, such as 'p99 < 50ms'; "
        "can be given several times",
    )
    group.add_argument(
        "--allow-saturated",
        action="store_true",
        help="check expectations although the load tool could not keep up",
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
    if options.app_workers > 1 and (target != "app" or url):
        raise OptionError("--app-workers needs the embedded app: --target app without a URL")
    if url and not options.proxy and options.compare:
        raise OptionError("--compare calls the proxy directly: give its URL with --proxy")
