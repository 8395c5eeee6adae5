"""Mutation testing: change one thing at a time in a module of the SDK, and run its tests.

    just mutate _core.cache                   with tests/unit/oxaigen_auth/_core/test_cache*.py
    just mutate client tests/unit/oxaigen_auth/test_middleware.py      with more tests

cosmic-ray makes the mutants and runs the tests, in a temporary copy of the project. The command
prints the surviving mutants that docs/mutation.md does not accept, and fails if there are any.
"""
# pyright: reportMissingImports=false
# (cosmic-ray is in a dependency group of its own)

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/mutation.md"
TESTS = Path("tests/unit/oxaigen_auth")
PYTEST = "-m pytest -x -q --tb=no -p no:cacheprovider --hypothesis-seed=0"
CONFIG = """
[cosmic-ray]
module-path = {module}
timeout = 60.0
excluded-modules = []
test-command = {command}
distributor.name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = [
  "core/ReplaceBinaryOperator_BitOr_.*",  # nearly all are in annotations, which nothing evaluates
  "core/ReplaceBinaryOperator_Mul_Div",  # in a signature it makes arguments positional
  "core/ReplaceComparisonOperator_Is(Not)?_(Not)?Eq",  # the same for objects without `__eq__`
  "core/ReplaceUnaryOperator_USub_Not",  # `not inf` is 0, which no clock precedes
]
"""
STEPS = (
    "cosmic-ray init mutation.toml session.sqlite",
    "cr-filter-operators session.sqlite mutation.toml",
    "cosmic-ray baseline mutation.toml",
    "cosmic-ray exec mutation.toml session.sqlite",
)


def main(arguments: list[str]) -> int:
    more = [argument for argument in arguments if argument.endswith(".py")]
    modules = [argument for argument in arguments if argument not in more]
    survivors = [survivor for module in modules for survivor in mutate(module, more)]
    print(
        f"\n{len(survivors)} survivors that docs/mutation.md does not accept", *survivors, sep="\n"
    )
    return int(bool(survivors))


def mutate(module: str, more: list[str]) -> list[str]:
    """Return the diffs of the survivors that are not accepted."""
    with TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        copytree(ROOT, copy, ignore=ignore_patterns(".*", "__pycache__"))
        copy.joinpath("mutation.toml").write_text(config(module, more))
        paths = os.pathsep.join(str(copy / part) for part in ("", "load", "mock"))
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        for step in STEPS:
            subprocess.run(step.split(), cwd=copy, env=environment, check=True)  # noqa: S603 (ours)
        with use_db(copy / "session.sqlite", WorkDB.Mode.open) as session:
            results = [result for _, result in session.completed_work_items]
    killed = sum(result.test_outcome is TestOutcome.KILLED for result in results)
    survivors = [it.diff or "" for it in results if it.test_outcome is TestOutcome.SURVIVED]
    print(f"{module}: {killed} killed, {len(survivors)} survived", flush=True)
    return [diff for diff in survivors if not is_accepted(diff, module)]


def config(module: str, more: list[str]) -> str:
    """Return the configuration of cosmic-ray for a module, its own tests and more."""
    *room, name = module.split(".")
    own = [str(test) for test in TESTS.joinpath(*room).glob(f"test_{name}*.py")]
    if not own + more:
        sys.exit(f"There are no tests of {module}; name some, as paths.")
    command = f"{sys.executable} {PYTEST} {' '.join(own + more)}"
    file = Path("oxaigen_auth", *room, f"{name}.py")
    return CONFIG.format(module=json.dumps(str(file)), command=json.dumps(command))


def is_accepted(diff: str, module: str) -> bool:
    """Return whether a row of docs/mutation.md has the module and the line that the diff adds.

    White space is ignored, because cosmic-ray adds some.
    """
    lines = [line for line in diff.splitlines() if not re.match(r"---|\+\+\+", line)]
    added, removed = (
        "".join("".join(line[1:].split()) for line in lines if line.startswith(sign))
        for sign in "+-"
    )
    mutant = (f"`{added}`" if added else f"`{removed}`removed").replace("|", "\\|")
    rows = ("".join(row.split()) for row in PAGE.read_text().splitlines())
    return any(row.startswith("|") and f"`{module}`" in row and mutant in row for row in rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
