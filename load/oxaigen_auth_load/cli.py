"""The command from its flags to its exit status."""

from __future__ import annotations

import json
import logging
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field, frozen

from oxaigen_auth_load import targets
from oxaigen_auth_load.display import Progress, print_table
from oxaigen_auth_load.embedded import EmbeddedError, embedded_app, embedded_mock
from oxaigen_auth_load.options import (
    PROGRAM,
    OptionError,
    check_ways,
    make_plan,
    make_tokens,
    read_options,
)
from oxaigen_auth_load.page import page
from oxaigen_auth_load.plan import PlanError
from oxaigen_auth_load.report import VERSION, figures, plan_report, run_report, tool
from oxaigen_auth_load.running import run_plan

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from oxaigen_auth_load.plan import Plan
    from oxaigen_auth_load.targets import Target

    Way: TypeAlias = Callable[[], AbstractAsyncContextManager[Target]]

INTERRUPTED = 130  # what shells say of a command that Ctrl-C ended


class UnreachableError(Exception):
    """Nobody answers where the load is to go."""


def run(arguments: Sequence[str] | None) -> int:
    """Do what `oxaigen_auth_load.main` does, which see."""
    options = read_options(arguments)
    # What the SDK would say of each failure is counted, by kind.
    logging.getLogger("oxaigen_auth").addHandler(logging.NullHandler())
    try:
        check_ways(options)
        plan = make_plan(options)
        tokens = make_tokens(options, plan)
        for path in filter(None, (options.json, options.html)):
            path.touch()  # so that no result is lost in the end
        report = _measure(options, plan, tokens)
    except (OptionError, PlanError, EmbeddedError, UnreachableError) as error:
        return _fail(str(error))
    except (OSError, UnicodeDecodeError) as error:
        return _fail(f"a file cannot be used: {error}")
    except KeyboardInterrupt:
        return _fail("stopped before the load began", INTERRUPTED)
    _write(options, report)
    print_table(report)
    if report["partial"]:
        return INTERRUPTED
    return 0 if all(each["met"] for each in report["expectations"]) else 1


def _fail(problem: str, status: int = 2) -> int:
    sys.stderr.write(f"{PROGRAM}: {problem}\n")
    return status


def _write(options: Namespace, report: dict[str, Any]) -> None:
    if options.json:
        options.json.write_text(f"{json.dumps(report, indent=2)}\n", "utf-8")
    if options.html:
        options.html.write_text(page(report), "utf-8")


def _measure(options: Namespace, plan: Plan, tokens: Sequence[str]) -> dict[str, Any]:
    """Run the plan through everything that is asked for.

    Raises:
        EmbeddedError, UnreachableError: there is nothing to run it through.
    """
    with ExitStack() as stack:
        good = [token for number, token in enumerate(tokens) if number not in plan.bad]
        places = _find_places(options, good, stack)
        load = _Load(plan, tokens)
        runs = anyio.run(load.run, _ways(options, places), places, backend=options.backend)
    return {
        "version": VERSION,
        "tool": tool(options.backend),
        "started": load.started.isoformat(timespec="seconds"),
        "partial": load.partial,
        "plan": plan_report(plan, zipf=options.zipf, seed=options.seed),
        "target": _described(options, places),
        "runs": runs,
        "expectations": [
            {"run": runs[0]["name"], **each.check(figures(runs[0]))} for each in options.expect
        ],
    }


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
    """The runs of one plan, until they are over or Ctrl-C ends them."""

    plan: Plan
    tokens: Sequence[str]
    started: datetime = field(factory=lambda: datetime.now(UTC))
    partial: str | None = None
    _stop: anyio.CancelScope = field(init=False)  # of the plan that runs
    _stopped: bool = False

    async def run(self, ways: Iterable[Way], urls: Iterable[str]) -> list[dict[str, Any]]:
        for url in urls:
            if not await targets.is_there(url):
                raise UnreachableError(f"nobody answers at {url}; is it running?")
        self._stop = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            if current_thread() is main_thread():  # signals arrive nowhere else
                await group.start(self._heed_ctrl_c)
            runs = [await self._run_through(way) for way in ways if not self._stopped]
            group.cancel_scope.cancel()
        return runs

    async def _run_through(self, way: Way) -> dict[str, Any]:
        self._stop = anyio.CancelScope()
        async with way() as target:
            with Progress(target.name, len(self.plan.starts)) as progress:
                recording = await run_plan(
                    self.plan, self.tokens, target, show=progress.show, stop=self._stop
                )
            counts = await target.counts()
        if self._stopped:
            done, all_ = recording.lookups, len(self.plan.starts)
            self.partial = f"stopped after {done:,} of {all_:,} lookups through {target.name}"
        return run_report(target.name, recording, counts, self.plan.used)

    async def _heed_ctrl_c(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                self._stopped = True
                self._stop.cancel()
