"""The command, from its options to its exit status."""

import json
import logging
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import anyio
from attrs import evolve

from oxaigen_auth_load.event_options import check_event, make_event
from oxaigen_auth_load.events.event import EventError
from oxaigen_auth_load.metrics import read_metrics
from oxaigen_auth_load.options import PROGRAM, OptionError, check_target, parse_options
from oxaigen_auth_load.plan import Plan, PlanError
from oxaigen_auth_load.planning import make_plan, target_addresses
from oxaigen_auth_load.report.csv_lines import time_line_csv
from oxaigen_auth_load.report.document import VERSION, plan_report, run_report, tool
from oxaigen_auth_load.report.files import check_writable, write_atomically
from oxaigen_auth_load.report.html.page import render_page
from oxaigen_auth_load.report.progress import ProgressDisplay
from oxaigen_auth_load.report.table import print_table
from oxaigen_auth_load.runner import Run
from oxaigen_auth_load.servers import EmbeddedServerError, Servers, embedded_app, embedded_mock
from oxaigen_auth_load.signals import Stop, handle_signals
from oxaigen_auth_load.targets import TargetAddress
from oxaigen_auth_load.thresholds import Expectation
from oxaigen_auth_load.tokens import make_tokens, read_tokens
from oxaigen_auth_load.urls import is_reachable
from oxaigen_auth_load.workers import NotStartedError, WorkerError, run_in_processes

INTERRUPTED = 130  # the status that shells give a command ended by Ctrl-C


class UnreachableError(Exception):
    """Nothing answers at the URL of a server."""


def run(arguments: Sequence[str] | None) -> int:
    """Run the command, as `oxaigen_auth_load.main` documents."""
    options = parse_options(arguments)
    # Failures are counted by kind; the SDK's log of each would flood stderr.
    logging.getLogger("oxaigen_auth").addHandler(logging.NullHandler())
    with handle_signals() as stop:
        try:
            return _run(options, stop)
        except (
            OptionError,
            PlanError,
            EmbeddedServerError,
            UnreachableError,
            WorkerError,
            EventError,
        ) as error:
            return _fail(str(error))
        except (OSError, UnicodeDecodeError) as error:
            return _fail(f"cannot use a file: {error}")
        except KeyboardInterrupt:
            return _fail("stopped before the load started", INTERRUPTED)


def _fail(problem: str, status: int = 2) -> int:
    sys.stderr.write(f"{PROGRAM}: {problem}\n")
    return status


def _run(options: Namespace, stop: Stop) -> int:
    check_target(options)
    check_event(options)
    for path in _files(options):
        check_writable(path)  # before the load, so that its results cannot be lost
    given = read_tokens(options.tokens_file) if options.tokens_file else None
    plan = make_plan(options, given)
    tokens = make_tokens(plan, options.seed, given)
    with ExitStack() as stack:
        valid = [token for number, token in enumerate(tokens) if number not in plan.invalid]
        make_event(options, plan, "")  # raises before servers start
        servers = _start_servers(options, valid, stack)
        plan = evolve(plan, event=make_event(options, plan, servers.mock))
        report = _measure(options, plan, tokens, servers, stop)
        return _show(options, report, stop)  # before embedded servers end, which can take seconds


def _files(options: Namespace) -> list[Path]:
    files = {option: getattr(options, option) for option in ("json", "html", "csv")}
    given = {option: path for option, path in files.items() if path}
    for (one, path), (other, same) in combinations(given.items(), 2):
        if path.resolve() == same.resolve():
            raise OptionError(f"--{one} and --{other} name the same file")
    for source in filter(None, (options.tokens_file, getattr(options, "file", None))):
        for option, path in given.items():
            if path.resolve() == source.resolve():
                raise OptionError(f"--{option} would overwrite {source.name}, which is read")
    return list(given.values())


def _start_servers(options: Namespace, valid: Sequence[str], stack: ExitStack) -> Servers:
    """Start the embedded servers, and return the URLs of all.

    Raises:
        EmbeddedServerError: one failed to start.
        UnreachableError: one that is not embedded does not answer.
    """
    target, *urls = options.target
    backend, mock_url = options.backend, ""
    if not (options.proxy or urls):
        mock = partial(embedded_mock, latency=options.latency, faults=options.fault)
        mock_url = stack.enter_context(mock(valid, backend=backend))
    proxy_url = mock_url or (options.proxy or "").rstrip("/")
    if target == "app" and not urls:
        app = embedded_app(
            proxy_url,
            timeout=options.timeout,
            backend=backend,
            ttl=options.ttl,
            workers=options.app_workers,
        )
        urls = [stack.enter_context(app)]
    servers = Servers(proxy_url, urls[0] if urls else "", mock_url)
    for url in filter(None, (servers.proxy, servers.app)):
        if not is_reachable(url):
            raise UnreachableError(f"nothing answers at {url}; is it running?")
    return servers


def _measure(
    options: Namespace, plan: Plan, tokens: Sequence[str], servers: Servers, stop: Stop
) -> dict[str, Any]:
    """Run the plan against each target, and return the report.

    Raises:
        KeyboardInterrupt: a signal came before the first run.
    """
    stop.keeps_results = True
    started, targets = datetime.now(UTC), target_addresses(options, plan, servers)
    run_all = partial(_run_all, plan, tokens, targets, options.backend, stop)
    runs = anyio.run(run_all, backend=options.backend)
    if not runs:
        raise KeyboardInterrupt
    reports = [run_report(name, plan, run) for name, run in runs.items()]
    return {
        "version": VERSION,
        "tool": tool(options.backend),
        "started": started.isoformat(timespec="seconds"),
        "partial": _partial(runs, plan, len(targets)),
        "plan": plan_report(plan, zipf=options.zipf, seed=options.seed),
        "target": _describe(options, servers),
        "runs": reports,
        "expectations": [
            _check(each, reports[0], allow_saturated=options.allow_saturated)
            for each in options.expect
        ],
    }


def _check(
    expectation: Expectation, run: Mapping[str, Any], *, allow_saturated: bool
) -> dict[str, Any]:
    checked = {"run": run["name"], **expectation.check(read_metrics(run))}
    if run["generator"]["saturated"] and not allow_saturated:
        checked |= {"met": False, "measured": f"{checked['measured']}, of a saturated generator"}
    return checked


async def _run_all(
    plan: Plan,
    tokens: Sequence[str],
    targets: Mapping[str, Sequence[TargetAddress]],
    backend: str,
    stop: Stop,
) -> dict[str, Run]:
    """Return each run that started before the stop."""
    runs: dict[str, Run] = {}
    for name, addresses in targets.items():
        if stop.requested:
            break
        with suppress(NotStartedError), ProgressDisplay(name, plan.lookups) as display:
            runs[name] = await run_in_processes(
                plan,
                tokens,
                addresses,
                backend=backend,
                show=display.show,
                is_stopped=lambda: stop.requested,
            )
        run = runs.get(name)
        if run and run.observation and run.observation.problem is not None:
            raise EventError(run.observation.problem)
    return runs


def _partial(runs: Mapping[str, Run], plan: Plan, wanted: int) -> str | None:
    """Describe how far a stopped load came; return None if it was complete."""
    name, last = list(runs.items())[-1]
    if len(runs) == wanted and last.is_complete:
        return None
    if last.died:
        return f"{last.died} of the processes of {name} died, and their lookups are missing"
    of_all = "" if plan.lookups is None else f" of {plan.lookups:,}"
    return f"stopped after {last.recording.lookups:,}{of_all} lookups of {name}"


def _describe(options: Namespace, servers: Servers) -> str:
    parts = [f"app at {servers.app}"] if servers.app else []
    if servers.mock:
        parts.append("embedded mock")
    elif servers.proxy:
        parts.append(f"proxy at {servers.proxy}")
    if options.latency:
        parts.append(f"latency {options.latency * 1000:g} ms")
    if options.fault:
        parts.append(f"faults: {', '.join(fault['kind'] for fault in options.fault)}")
    return ", ".join(parts)


def _show(options: Namespace, report: dict[str, Any], stop: Stop) -> int:
    """Write the files, then print the table; return the exit status."""
    problems = list(_write_files(options, report))
    with suppress(OSError):  # stdout may be closed
        print_table(report)
    if problems:
        return _fail("; ".join(problems))
    if report["partial"]:
        return INTERRUPTED if stop.requested else _fail(report["partial"])
    return 0 if all(each["met"] for each in report["expectations"]) else 1


def _write_files(options: Namespace, report: dict[str, Any]) -> Iterator[str]:
    """Write each requested file, and yield a message for each that cannot be written."""
    writers: dict[Path | None, Callable[[], str]] = {
        options.json: lambda: f"{json.dumps(report, indent=2)}\n",
        options.html: lambda: render_page(report),
        options.csv: lambda: time_line_csv(report),
    }
    for path in _files(options):
        try:
            write_atomically(path, writers[path]())
        except OSError as error:
            yield f"{path} could not be written: {error}"
