"""The examples of docs/testing.md are files of a project; pytest runs them as a user would."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_FILE = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def outcome_of(folder: Path) -> str:
    options = ["-q", "-p", "no:asyncio", "-p", "no:looptime_plugin"]
    options += ["-p", "no:cacheprovider", "-p", "no:schemathesis", "-o", "pythonpath=."]
    run = subprocess.run(  # noqa: S603 (our own code)
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    return run.stdout + run.stderr


def test_the_examples_of_the_page_pass(tmp_path: Path) -> None:
    files = _FILE.findall((ROOT / "docs/testing.md").read_text())
    for name, text in files:
        (tmp_path / name).write_text(text)
    tests = sum(text.count("def test_") for _, text in files)
    asynchronous = 1  # that of test_async.py, on both backends
    output = outcome_of(tmp_path)
    assert f"{tests + asynchronous} passed" in output, output


def test_the_examples_of_the_readme_pass(tmp_path: Path) -> None:
    blocks = _BLOCK.findall((ROOT / "README.md").read_text())
    test = next(block for block in blocks if "def test_" in block)
    (tmp_path / "test_readme.py").write_text(blocks[0] + test)
    output = outcome_of(tmp_path)
    assert f"{test.count('def test_')} passed" in output, output
