"""Mutation testing: change one thing in the SDK's core at a time, and see whether a test fails.

    just mutate                      all modules; what an earlier run found out is kept
    just mutate verdict _core.cache  these modules
    just mutate --quick              each module's own tests alone, without the wider ones
    just mutate --survivors          those that survived once more, since the tests have changed

A mutant that its module's own tests let pass meets all of `tests/test_*.py`. A run that takes five
times as long as it should counts as a failed one. Results are cosmic-ray's sessions, in
`.mutation`, one for each text of a module: the same command goes on where it was interrupted. The
copies in which tests run are temporary, so two runs for different modules do not meet.

At the end it prints the table and the survivors for docs/mutation.md, and fails if that page lacks
one of them.
"""
# pyright: reportMissingImports=false
# (cosmic-ray is in a dependency group of its own, which only mutation testing needs)

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from attrs import define, field
from cosmic_ray.commands.init import init
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

from benchmarks.forked_tests import Copy
from benchmarks.mutants import Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/mutation.md"
LEAST_TIMEOUT = 20.0  # seconds
FACTOR = 5  # of the time that the tests take without a fault
TARGET = 95  # per cent

# The tests that know each module best.
MODULES = {
    "_core.breaker": ["breaker"],
    "_core.cache": ["cache"],
    "_core.generations": ["generations"],
    "_core.fingerprint": ["fingerprint"],
    "_core.groups": ["client", "singleflight"],
    "_core.lanes": ["lanes", "proxy"],
    "_core.singleflight": [
        "singleflight",
        "singleflight_native_asyncio",
        "singleflight_machine",
    ],
    "_core.sizes": ["sizes"],
    "_core.throttle": ["throttle"],
    "verdict": ["verdict", "errors"],
    "connection": ["connection"],
    "_answer": ["proxy"],
    "_jwt": ["jwt"],
    "_proxy": ["call", "proxy", "client_sockets"],
    "_memory": ["client", "resilience"],
    "_loop": ["loop", "client", "client_sockets"],
    "_lookup": ["client", "resilience"],
    "_verifier": ["client", "resilience", "client_sockets"],
    "client": ["client", "settings", "resilience"],
}
LAST = [
    "tests/integration/test_servers.py",
    "tests/integration/test_shutdown.py",
]  # slow: for what nothing else finds
NOT_ABOUT_IT = ["tests/integration/test_benchmarks.py", "tests/docs/test_security_page.py"]


def own_tests(module: str) -> list[str]:
    return [f"tests/test_{name}.py" for name in (*MODULES[module], "classes")]


def all_tests() -> list[str]:
    found = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").glob("test_*.py"))]
    return [it for it in found if it not in (*LAST, *NOT_ABOUT_IT)] + LAST


@define(eq=False)
class Session:
    """What is known of one module's mutants."""

    module: str
    file: Path = field(init=False)
    source: str = field(init=False)
    results: WorkDB = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.file = Path("oxaigen_auth", *self.module.split(".")).with_suffix(".py")
        self.source = (ROOT / self.file).read_text()
        digest = sha256(self.source.encode()).hexdigest()[:12]
        path = ROOT / ".mutation" / f"{self.module}-{digest}.sqlite"
        if not path.exists():
            self._begin(path)
        self.results = WorkDB(path, WorkDB.Mode.open)

    def _begin(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        session = WorkDB(unfinished, WorkDB.Mode.create)
        init([self.file], session, {})
        for item in session.work_items:
            if not self.mutant(item).runs:
                session.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))
        session.close()
        unfinished.rename(path)

    def mutant(self, item: Any) -> Mutant:
        return Mutant(item.mutations[0], self.source)

    def outcomes(self, outcome: TestOutcome) -> list[Any]:
        done = self.results.completed_work_items
        return [item for item, result in done if result.test_outcome is outcome]

    def survivors(self) -> list[str]:
        found = [self.mutant(item) for item in self.outcomes(TestOutcome.SURVIVED)]
        return [it.row for it in sorted(found, key=lambda it: it.spec.start_pos)]

    def count(self) -> tuple[int, int]:
        """Return how many were tried, and how many of them were killed."""
        killed = len(self.outcomes(TestOutcome.KILLED))
        return killed + len(self.outcomes(TestOutcome.SURVIVED)), killed


@define(eq=False)
class Trial:
    """Tries mutants of one module in a copy of the project."""

    session: Session
    copy: Copy
    stages: Sequence[list[str]]

    def try_all(self, items: Sequence[Any]) -> None:
        for number, item in enumerate(items, 1):
            mutant = self.session.mutant(item)
            killer = self.kill(mutant.text)
            outcome = TestOutcome.SURVIVED if killer is None else TestOutcome.KILLED
            result = WorkResult(WorkerOutcome.NORMAL, killer, outcome)
            self.session.results.set_result(item.job_id, result)
            mark = "survived" if killer is None else "killed"
            print(f"{self.session.module} {number}/{len(items)} {mark} {mutant.row}", flush=True)

    def kill(self, text: str) -> str | None:
        """Return what the tests said that failed, or None."""
        with self.copy.changed(self.session.file, text):
            for tests in self.stages:
                outcome = self.copy.run(tests, self.timeout(tuple(tests)))
                if outcome.killed:
                    return outcome.output
        return None

    @cache  # noqa: B019 (a trial lives as long as the process)
    def timeout(self, tests: tuple[str, ...]) -> float:
        """Measure how long a run may take; and see that it passes, and fails for a fault."""
        source = self.session.source
        with self.copy.changed(self.session.file, f"{source}\n# nothing\n"):
            outcome = self.copy.run(tests)
        if outcome.killed:
            raise RuntimeError(f"The tests fail without any mutation: {outcome.output}")
        with self.copy.changed(self.session.file, f"{source}\nraise SystemError('planted')\n"):
            planted = self.copy.run(tests)
        if not planted.killed or "planted" not in planted.output:
            raise RuntimeError(f"{self.session.file} is not what {tests} run: {planted.output}")
        return max(FACTOR * outcome.seconds, LEAST_TIMEOUT)


def table(sessions: Sequence[Session]) -> Iterator[str]:
    yield "| module | mutants | killed | survived | killed, % |"
    yield "|---|---|---|---|---|"
    counts = {f"`{it.module}`": it.count() for it in sessions}
    tried, killed = (sum(column) for column in zip(*counts.values(), strict=True))
    for name, (all_, dead) in {**counts, "all": (tried, killed)}.items():
        rate = 100 * dead / all_ if all_ else 100
        yield f"| {name} | {all_} | {dead} | {all_ - dead} | {rate:.1f} |"


def main() -> int:
    parser = ArgumentParser(description="See whether the tests notice faults in the SDK's core.")
    parser.add_argument("modules", nargs="*", metavar="module", choices=[[], *MODULES])
    parser.add_argument("--quick", action="store_true", help="run each module's own tests alone")
    parser.add_argument("--survivors", action="store_true", help="try the survivors once more")
    parser.add_argument("--report", action="store_true", help="say what is known, and run nothing")
    asked = parser.parse_args()
    os.chdir(ROOT)
    sessions = [Session(name) for name in asked.modules or MODULES]
    with TemporaryDirectory() as away:
        copy = None if asked.report else Copy.make(ROOT, Path(away, "project"))
        for session in sessions:
            if copy is not None:
                stages = [own_tests(session.module), *([] if asked.quick else [all_tests()])]
                items = list(session.results.pending_work_items)
                if asked.survivors:
                    items += session.outcomes(TestOutcome.SURVIVED)
                Trial(session, copy, stages).try_all(items)
    return _report(sessions)


def _report(sessions: Sequence[Session]) -> int:
    print("\n".join(table(sessions)))
    page = PAGE.read_text() if PAGE.exists() else ""
    rows = {f"| `{it.file.name}` {row}" for it in sessions for row in it.survivors()}
    unnamed = sorted(row for row in rows if row not in page)
    print(f"{len(rows)} survivors, of which {PAGE.name} lacks {len(unnamed)}", *unnamed, sep="\n")
    return int(bool(unnamed))


if __name__ == "__main__":
    sys.exit(main())
