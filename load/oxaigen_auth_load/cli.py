"""The command, from its options to its exit status."""

import json
import logging
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio

from oxaigen_auth_load import targets
from oxaigen_auth_load.metrics import read_metrics
from oxaigen_auth_load.options import (
    PROGRAM,
    OptionError,
    check_target,
    make_plan,
    parse_options,
)
from oxaigen_auth_load.report.document import VERSION, plan_report, run_report, tool
from oxaigen_auth_load.report.files import check_writable, write_atomically
from oxaigen_auth_load.report.html.page import render_page
from oxaigen_auth_load.report.table import Progress, print_table
from oxaigen_auth_load.runner import run_plan
from oxaigen_auth_load.scenarios import Plan, PlanError, make_tokens
from oxaigen_auth_load.servers import EmbeddedServerError, Servers, embedded_app, embedded_mock
from oxaigen_auth_load.signals import Stop, handle_signals
from oxaigen_auth_load.targets import Target

OpenTarget: TypeAlias = Callable[[], AbstractAsyncContextManager[Target]]

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
        except (OptionError, PlanError, EmbeddedServerError, UnreachableError) as error:
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
    plan = make_plan(options)
    tokens = make_tokens(plan, options.seed, options.tokens_file)
    for path in _files(options):
        check_writable(path)  # before the load, so that its results cannot be lost
    with ExitStack() as stack:
        valid = [token for number, token in enumerate(tokens) if number not in plan.invalid]
        servers = _start_servers(options, valid, stack)
        report = _measure(options, plan, tokens, servers, stop)
        return _show(options, report)  # before embedded servers end, which can take seconds


def _files(options: Namespace) -> list[Path]:
    files = [path for path in (options.json, options.html) if path]
    if len({path.resolve() for path in files}) < len(files):
        raise OptionError("--json and --html name the same file")
    return files


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
        app = embedded_app(proxy_url, timeout=options.timeout, backend=backend)
        urls = [stack.enter_context(app)]
    servers = Servers(proxy_url, urls[0] if urls else "", mock_url)
    for url in filter(None, (servers.proxy, servers.app)):
        if not targets.is_reachable(url):
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
    started, opened = datetime.now(UTC), list(_targets(options, servers))
    runs = anyio.run(_run_all, plan, tokens, opened, stop, backend=options.backend)
    if not runs:
        raise KeyboardInterrupt
    metrics = read_metrics(runs[0])
    return {
        "version": VERSION,
        "tool": tool(options.backend),
        "started": started.isoformat(timespec="seconds"),
        "partial": _partial(runs, len(opened), len(plan.starts)),
        "plan": plan_report(plan, zipf=options.zipf, seed=options.seed),
        "target": _describe(options, servers),
        "runs": runs,
        "expectations": [
            {"run": runs[0]["name"], **each.check(metrics)} for each in options.expect
        ],
    }


def _targets(options: Namespace, servers: Servers) -> Iterator[OpenTarget]:
    if servers.app:
        yield partial(targets.app_target, servers.app, options.timeout, servers.mock)
    else:
        yield partial(targets.client_target, servers.proxy, options.timeout)
    if options.compare:
        yield partial(targets.naive_target, servers.proxy, options.timeout)


async def _run_all(
    plan: Plan, tokens: Sequence[str], opened: Sequence[OpenTarget], stop: Stop
) -> list[dict[str, Any]]:
    """Return a report of each run that started before the stop."""
    runs: list[dict[str, Any]] = []
    for open_target in opened:
        if stop.requested:
            break
        async with open_target() as target:
            with Progress(target.name, len(plan.starts)) as progress:
                recording = await run_plan(
                    plan,
                    tokens,
                    target,
                    show=progress.show,
                    is_stopped=lambda: stop.requested,
                )
            used = plan.used(recording.lookups + recording.active)
            runs.append(run_report(target.name, recording, await target.counts(), used))
    return runs


def _partial(runs: Sequence[dict[str, Any]], wanted: int, lookups: int) -> str | None:
    """Describe how far a stopped load came; return None if it was complete."""
    last = runs[-1]
    if len(runs) == wanted and last["lookups"] == lookups:
        return None
    return f"stopped after {last['lookups']:,} of {lookups:,} lookups of {last['name']}"


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


def _show(options: Namespace, report: dict[str, Any]) -> int:
    """Write the files, then print the table; return the exit status."""
    problems = list(_write_files(options, report))
    with suppress(OSError):  # stdout may be closed
        print_table(report)
    if problems:
        return _fail("; ".join(problems))
    if report["partial"]:
        return INTERRUPTED
    return 0 if all(each["met"] for each in report["expectations"]) else 1


def _write_files(options: Namespace, report: dict[str, Any]) -> Iterator[str]:
    """Write each requested file, and yield a message for each that cannot be written."""
    writers: dict[Path | None, Callable[[], str]] = {
        options.json: lambda: f"{json.dumps(report, indent=2)}\n",
        options.html: lambda: render_page(report),
    }
    for path in _files(options):
        try:
            write_atomically(path, writers[path]())
        except OSError as error:
            yield f"{path} could not be written: {error}"
