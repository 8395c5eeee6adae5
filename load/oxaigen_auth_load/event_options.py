"""The options of the scenarios in which something happens during a steady load."""

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from random import Random
from typing import Any

from oxaigen_auth_load.events.event import Event
from oxaigen_auth_load.events.outage import COUNTED, Outage
from oxaigen_auth_load.events.revocation import Revocation
from oxaigen_auth_load.events.stampede import Stampede
from oxaigen_auth_load.metrics import METRICS
from oxaigen_auth_load.option_types import parse_count, parse_fault, positive_float
from oxaigen_auth_load.plan import Plan, PlanError

SCENARIOS = ("revoke", "outage", "stampede")
DEFAULT_REVOKED = 10
OUTAGE_FAULT = "status,status=503"  # of the web server in front of a proxy that does not run
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def add_event_scenarios(add: Callable[..., Any]) -> None:
    """Add the scenarios, each with a function that adds one."""
    revoke = add("revoke", help="a steady load; half-way through, some tokens are revoked")
    outage = add("outage", help="a steady load; after a third of it, the proxy fails for a while")
    stampede = add("stampede", help="a steady load; all cached answers expire at the same time")
    for scenario, seconds in ((revoke, 10.0), (outage, 12.0), (stampede, 35.0)):
        scenario.add_argument(
            "--rate",
            type=positive_float,
            default=200.0,
            help="lookups per second (default: %(default)s)",
        )
        scenario.add_argument(
            "--seconds",
            type=positive_float,
            default=seconds,
            help="length of the load (default: %(default)s)",
        )
    revoke.add_argument(
        "--revoked",
        type=parse_count,
        metavar="N",
        help=f"number of tokens to revoke (default: {DEFAULT_REVOKED}, at most half of them)",
    )
    revoke.add_argument(
        "--on-event",
        metavar="COMMAND",
        default="",
        help="revokes tokens at a proxy that is not embedded: a command for the shell, with a "
        "token on each line of its standard input",
    )
    revoke.add_argument(
        "--worker-header",
        type=_parse_header,
        metavar="NAME",
        help="the response header that names the worker of the app (default: that of the embedded "
        "app; another app has a row for each connection)",
    )
    outage.add_argument(
        "--outage-seconds",
        type=positive_float,
        metavar="SECONDS",
        help="length of the outage (default: a third of the load)",
    )
    outage.add_argument(
        "--outage-fault",
        type=parse_fault,
        default=OUTAGE_FAULT,
        metavar="KIND[,NAME=VALUE…]",
        help="what the embedded mock answers meanwhile (default: %(default)s)",
    )


def _parse_header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not the name of a header")
    return text


def check_event(options: Namespace) -> None:
    """Check that the options of the event can be combined with the others.

    Raises:
        PlanError: they cannot.
    """
    scenario = options.scenario
    for expectation in options.expect:
        only = METRICS[expectation.name].scenario
        if only not in {"", scenario}:
            raise PlanError(f"--expect: only the scenario {only} measures {expectation.name}")
    if scenario in SCENARIOS:
        if options.compare:
            raise PlanError(f"--compare cannot be used with {scenario}")
        {"revoke": _check_revoke, "outage": _check_outage, "stampede": _check_stampede}[scenario](
            options
        )


def _has_mock(options: Namespace) -> bool:
    return not options.proxy and len(options.target) == 1


def _check_revoke(options: Namespace) -> None:
    if _has_mock(options):
        if options.on_event:
            raise PlanError("--on-event is for a proxy that is not embedded")
    elif not options.on_event:
        raise PlanError(
            "revoke needs the embedded mock, or --on-event with a command that revokes tokens"
        )
    if options.worker_header and options.target[0] != "app":
        raise PlanError("--worker-header needs --target app")


def _check_outage(options: Namespace) -> None:
    if not _has_mock(options):
        raise PlanError("outage needs the embedded mock: leave out --proxy and the app's URL")
    least = options.seconds / 3 + _outage_seconds(options) + COUNTED
    if least > options.seconds:
        raise PlanError(
            "the load ends less than a second after the outage; raise --seconds or lower "
            "--outage-seconds"
        )


def _check_stampede(options: Namespace) -> None:
    if not options.ttl:
        raise PlanError("without a cache nothing expires; raise --ttl")
    if Stampede(ttl=options.ttl).window[1] > options.seconds:
        raise PlanError(
            f"the answers expire after {options.ttl:g} s, too late for a load of "
            f"{options.seconds:g} s; raise --seconds or lower --ttl"
        )


def _outage_seconds(options: Namespace) -> float:
    seconds: float = options.outage_seconds or options.seconds / 3
    return seconds


def make_event(options: Namespace, plan: Plan, mock_url: str) -> Event | None:
    """Return what happens during the load; None for other scenarios.

    Raises:
        PlanError: there are fewer valid tokens than shall be revoked.
    """
    if options.scenario == "revoke":
        revoked = _draw_revoked(options, plan)
        at, command = options.seconds / 2, options.on_event
        return Revocation(at=at, revoked=revoked, mock_url=mock_url, command=command)
    if options.scenario == "outage":
        at, seconds = options.seconds / 3, _outage_seconds(options)
        return Outage(at=at, seconds=seconds, fault=options.outage_fault, mock_url=mock_url)
    if options.scenario == "stampede":
        return Stampede(ttl=options.ttl, mock_url=mock_url)
    return None


def _draw_revoked(options: Namespace, plan: Plan) -> frozenset[int]:
    valid = [number for number in range(plan.distinct) if number not in plan.invalid]
    number = options.revoked or min(DEFAULT_REVOKED, (len(valid) + 1) // 2)
    if not 1 <= number <= len(valid):
        raise PlanError(
            f"{max(1, number)} of {len(valid)} valid tokens cannot be revoked; lower --revoked or "
            "raise --tokens"
        )
    return frozenset(Random(options.seed).sample(valid, number))  # noqa: S311 (repeatable)
