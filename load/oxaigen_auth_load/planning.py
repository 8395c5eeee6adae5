"""Derives from the options what is run: the plan, and the processes and connections that run it."""

import os
import resource
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from math import ceil
from random import Random

from attrs import evolve

from oxaigen_auth_load import scenarios
from oxaigen_auth_load.options import DEFAULT_CONNECTIONS, DEFAULT_TOKENS
from oxaigen_auth_load.plan import Plan, PlanError
from oxaigen_auth_load.servers import WORKER_HEADER, Servers
from oxaigen_auth_load.targets import TargetAddress
from oxaigen_auth_load.tokens import TokenMix

MAX_CONNECTIONS = 10_000  # of all processes; more would need more ports
OPENED = 50  # connections in advance, for a load that may need any number
OTHER_FILES = 100  # of a process
ASKED_PER_WORKER = 4  # lookups of each token when a stampede starts


def make_plan(options: Namespace, tokens: Sequence[str] | None) -> Plan:
    """Draw the plan that the options describe, for these valid tokens if there are any.

    Raises:
        PlanError: it is impossible.
        OSError: a file cannot be read.
    """
    plan = _draw_plan(options, tokens)
    if options.warmup and options.warmup >= plan.seconds:
        raise PlanError(f"--warmup {options.warmup:g} leaves no lookup of {plan.seconds:g} seconds")
    return evolve(plan, warmup=options.warmup)


def _draw_plan(options: Namespace, tokens: Sequence[str] | None) -> Plan:
    random = Random(options.seed)  # noqa: S311 (repeatable, not secret)
    if options.scenario == "replay":
        return scenarios.replay(options.file, options.invalid, random)
    distinct = options.tokens or DEFAULT_TOKENS
    if tokens and not options.tokens:
        distinct = len(tokens) + options.invalid
    mix = TokenMix(distinct=distinct, zipf=options.zipf, invalid=options.invalid)
    if options.scenario == "closed":
        connections = options.connections or DEFAULT_CONNECTIONS
        return scenarios.closed(connections, options.seconds, mix, random)
    if options.scenario == "stampede":
        # Each worker of an app should cache each token, whichever connections reach it.
        asked = 1 if options.target[0] == "client" else ASKED_PER_WORKER * options.app_workers
        return scenarios.stampede(options.rate, options.seconds, asked, mix, random)
    starts = {
        "burst": lambda: scenarios.burst(options.callers),
        **dict.fromkeys(
            ("steady", "revoke", "outage"),
            lambda: scenarios.steady(options.rate, options.seconds, random),
        ),
        "ramp": lambda: scenarios.ramp(options.first, options.last, options.seconds, random),
        "stages": lambda: scenarios.stages(options.stages, random),
    }[options.scenario]()
    return scenarios.assign_tokens(options.scenario, starts, mix, random)


def target_addresses(
    options: Namespace, plan: Plan, servers: Servers
) -> dict[str, list[TargetAddress]]:
    """Return the targets by name, each with an address for each process that generates the load."""
    processes = _processes(options, plan)
    limit, opened = _connections(options, plan)
    address = partial(
        TargetAddress,
        timeout=options.timeout,
        max_connections=ceil(limit / processes),
        connections=ceil(opened / processes),
        ttl=options.ttl,
        worker_header=getattr(options, "worker_header", None) or WORKER_HEADER,
    )
    # Only the first process counts the calls at the mock, which are those of all.
    mocks = [servers.mock, *[""] * (processes - 1)]
    targets = {"client": [address(name="client", url=servers.proxy)] * processes}
    if servers.app:
        targets = {"app": [address(name="app", url=servers.app, mock_url=mock) for mock in mocks]}
    if options.compare:
        url = f"{servers.proxy}/_oxa_auth/get-me"
        targets["naive"] = [address(name="naive", url=url)] * processes
    return targets


def _processes(options: Namespace, plan: Plan) -> int:
    default = 1 if options.target[0] == "client" else max(1, (os.cpu_count() or 2) - 1)
    return min(options.workers or default, plan.connections or len(plan.starts))


def _connections(options: Namespace, plan: Plan) -> tuple[int, int]:
    """Return how many connections there may be, and how many are opened in advance."""
    needed = plan.connections or (len(plan.starts) if plan.scenario == "burst" else None)
    limit = min(options.connections or needed or MAX_CONNECTIONS, _max_open_files() - OTHER_FILES)
    opened = 0 if options.cold_connections else options.connections or needed or OPENED
    return limit, min(limit, opened)


def _max_open_files() -> int:
    """Raise the limit of open files of this process and its children, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_CONNECTIONS + OTHER_FILES
    limit = limit if hard == resource.RLIM_INFINITY else min(hard, limit)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
