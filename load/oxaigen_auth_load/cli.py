"""The command from its flags to its exit status."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field, frozen

from oxaigen_auth_load import targets
from oxaigen_auth_load.options import (
    PROGRAM,
    OptionError,
    check_ways,
    make_plan,
    make_tokens,
    read_options,
)
from oxaigen_auth_load.report.document import VERSION, figures, plan_report, run_report, tool
from oxaigen_auth_load.report.files import check_writable, write_whole
from oxaigen_auth_load.report.html.page import page
from oxaigen_auth_load.report.table import Progress, print_table
from oxaigen_auth_load.runner import run_plan
from oxaigen_auth_load.scenarios import PlanError
from oxaigen_auth_load.servers import EmbeddedError, embedded_app, embedded_mock
from oxaigen_auth_load.signals import heeding_signals

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import TypeAlias

    from oxaigen_auth_load.scenarios import Plan
    from oxaigen_auth_load.signals import Stop
    from oxaigen_auth_load.targets import Target

    Way: TypeAlias = Callable[[], AbstractAsyncContextManager[Target]]

INTERRUPTED = 130  # what shells say of a command that Ctrl-C ended
GLANCE = 0.05  # seconds between two looks at whether the load is to stop


class UnreachableError(Exception):
    """Nobody answers where the load is to go."""


def run(arguments: Sequence[str] | None) -> int:
    """Do what `oxaigen_auth_load.main` does, which see."""
    options = read_options(arguments)
    # What the SDK would say of each failure is counted, by kind.
    logging.getLogger("oxaigen_auth").addHandler(logging.NullHandler())
    with heeding_signals() as stop:
        try:
            return _run(options, stop)
        except (OptionError, PlanError, EmbeddedError, UnreachableError) as error:
            return _fail(str(error))
        except (OSError, UnicodeDecodeError) as error:
            return _fail(f"a file cannot be used: {error}")
        except KeyboardInterrupt:
            return _fail("stopped before the load began", INTERRUPTED)


def _run(options: Namespace, stop: Stop) -> int:
    check_ways(options)
    plan = make_plan(options)
    tokens = make_tokens(options, plan)
    for path in _files(options):
        check_writable(path)  # so that no result is lost in the end
    with ExitStack() as stack:
        good = [token for number, token in enumerate(tokens) if number not in plan.bad]
        places = _find_places(options, good, stack)
        report = _measure(options, _Load(plan, tokens, stop), places)
        return _hand_over(options, report)  # before what is embedded ends, which can take seconds


def _fail(problem: str, status: int = 2) -> int:
    sys.stderr.write(f"{PROGRAM}: {problem}\n")
    return status


def _files(options: Namespace) -> Iterator[Path]:
    yield from filter(None, (options.json, options.html))


def _hand_over(options: Namespace, report: dict[str, Any]) -> int:
    """Write the files, then the table, whose reader may be gone; return the exit status."""
    problems = list(_write(options, report))
    with suppress(OSError):
        print_table(report)
    if problems:
        return _fail("; ".join(problems))
    if report["partial"]:
        return INTERRUPTED
    return 0 if all(each["met"] for each in report["expectations"]) else 1


def _write(options: Namespace, report: dict[str, Any]) -> Iterator[str]:
    """Write each file that is wanted; gives what went wrong."""
    makers: dict[Path | None, Callable[[], str]] = {
        options.json: lambda: f"{json.dumps(report, indent=2)}\n",
        options.html: lambda: page(report),
    }
    for path in _files(options):
        try:
            write_whole(path, makers[path]())
        except OSError as error:
            yield f"{path} could not be written: {error}"


def _measure(options: Namespace, load: _Load, places: _Places) -> dict[str, Any]:
    """Run the plan through everything that is asked for.

    Raises:
        UnreachableError: there is nothing to run it through.
        KeyboardInterrupt: it was stopped before it began.
    """
    load.stop.keeps = True
    ways = _ways(options, places)
    runs = anyio.run(load.run, ways, places, backend=options.backend)
    if load.silent:
        raise UnreachableError(f"nobody answers at {load.silent[0]}; is it running?")
    if not runs:
        raise KeyboardInterrupt
    return {
        "version": VERSION,
        "tool": tool(options.backend),
        "started": load.started.isoformat(timespec="seconds"),
        "partial": _partial(runs, len(ways), len(load.plan.starts)),
        "plan": plan_report(load.plan, zipf=options.zipf, seed=options.seed),
        "target": _described(options, places),
        "runs": runs,
        "expectations": [
            {"run": runs[0]["name"], **each.check(figures(runs[0]))} for each in options.expect
        ],
    }


def _partial(runs: Sequence[dict[str, Any]], ways: int, lookups: int) -> str | None:
    """Tell how far a stopped load came; None if it was not stopped."""
    last = runs[-1]
    if len(runs) == ways and last["lookups"] == lookups:
        return None
    return f"stopped after {last['lookups']:,} of {lookups:,} lookups through {last['name']}"


@frozen
class _Places:
    """Where the load goes, as URLs, "" for none; `mock` is the embedded one, which counts calls."""

    proxy: str
    app: str
    mock: str

    def __iter__(self) -> Iterator[str]:
        """Give those that must answer before the load begins."""
        yield from filter(None, (self.proxy, self.app))


def _find_places(options: Namespace, good: Sequence[str], stack: ExitStack) -> _Places:
    """Start what is to be embedded, for as long as the stack holds."""
    way, *urls = options.through
    backend, mock_url = options.backend, ""
    if not (options.proxy or urls):
        mock = partial(embedded_mock, latency=options.latency, faults=options.fault)
        mock_url = stack.enter_context(mock(good, backend=backend))
    proxy_url = mock_url or (options.proxy or "").rstrip("/")
    if way == "app" and not urls:
        app = embedded_app(proxy_url, timeout=options.timeout, backend=backend)
        urls = [stack.enter_context(app)]
    return _Places(proxy_url, urls[0] if urls else "", mock_url)


def _ways(options: Namespace, places: _Places) -> list[Way]:
    ways: list[Way] = [
        partial(targets.through_app, places.app, options.timeout, places.mock)
        if places.app
        else partial(targets.through_client, places.proxy, options.timeout)
    ]
    if options.compare:
        ways.append(partial(targets.through_nothing, places.proxy, options.timeout))
    return ways


def _described(options: Namespace, places: _Places) -> str:
    parts = [f"app at {places.app}"] if places.app else []
    if places.mock:
        parts.append("embedded mock")
    elif places.proxy:
        parts.append(f"proxy at {places.proxy}")
    if options.latency:
        parts.append(f"answers after {options.latency * 1000:g} ms")
    if options.fault:
        parts.append(f"faults: {', '.join(fault['kind'] for fault in options.fault)}")
    return ", ".join(parts)


@define(eq=False)
class _Load:
    """The runs of one plan, until they are over or somebody stops them."""

    plan: Plan
    tokens: Sequence[str]
    stop: Stop
    started: datetime = field(factory=lambda: datetime.now(UTC))
    silent: Sequence[str] = ()  # URLs at which nobody answers
    _scope: anyio.CancelScope = field(init=False)  # of what is to be stopped

    async def run(self, ways: Sequence[Way], urls: Iterable[str]) -> list[dict[str, Any]]:
        """Return a report of each run that began; none begins if a URL is silent."""
        runs: list[dict[str, Any]] = []
        self._scope = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(self._heed_stop)
            with self._scope:
                self.silent = [url for url in urls if not await targets.is_there(url)]
            if not self.silent:
                runs += [await self._run_through(way) for way in ways if not self.stop.asked]
            group.cancel_scope.cancel()
        return runs

    async def _run_through(self, way: Way) -> dict[str, Any]:
        self._scope = anyio.CancelScope()
        async with way() as target:
            with Progress(target.name, len(self.plan.starts)) as progress:
                recording = await run_plan(
                    self.plan, self.tokens, target, show=progress.show, stop=self._scope
                )
            counts = await target.counts()
        return run_report(target.name, recording, counts, self.plan.used)

    async def _heed_stop(self) -> None:
        """Cancel what runs once a signal has arrived, whose handler could not wake the loop."""
        while True:
            if self.stop.asked:
                self._scope.cancel()
            await anyio.sleep(GLANCE)
