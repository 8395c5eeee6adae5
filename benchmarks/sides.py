"""Ours and the published package, each in a process of its own that measures a round on command.

The two have one import name, so the published one has an environment of its own. It is made at
the first use, with the versions that this environment has of what both build on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from attrs import define

from benchmarks.harness import NotMeasuredError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".bench"
PUBLISHED = "oxaigen-auth==0.1.0"
SHARED = ("anyio", "attrs", "fastapi", "httpx", "pydantic", "starlette")
PATIENCE = 300  # seconds for the package index


@define(eq=False)
class Side:
    """A process that calls functions of these modules, one at a time, as it is told."""

    process: subprocess.Popen[str]

    def call(self, function: Callable[..., Any], *args: object) -> Any:
        """Call a function there; arguments and result are JSON."""
        to, of = self.process.stdin, self.process.stdout
        if to is None or of is None:
            raise RuntimeError("this side has no pipes")
        print(json.dumps([function.__module__, function.__name__, args]), file=to, flush=True)
        answer = of.readline()
        if not answer:
            raise RuntimeError(f"{function.__name__} failed, see above")
        return json.loads(answer)


@contextmanager
def side(python: str = sys.executable, environ: Mapping[str, str] | None = None) -> Iterator[Side]:
    """Run a process that has the package which this Python finds; ours by default."""
    process = subprocess.Popen(  # noqa: S603
        command(python, __name__, serve.__name__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    with process:  # which closes the pipes, and waits
        yield Side(process)


@contextmanager
def both_sides(environ: Mapping[str, str] | None = None) -> Iterator[tuple[Side, Side]]:
    """Give ours and the published one.

    Raises:
        NotMeasuredError: the published package cannot be installed.
    """
    with side(published_python(), environ) as published, side(environ=environ) as ours:
        yield ours, published


def command(python: str, module: str, function: str, *args: str) -> list[str]:
    """Return what calls a function of these modules, where `python` finds its own package first."""
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); "
        f"from {module} import {function}; {function}(*sys.argv[1:])"
    )
    return [python, "-P", "-c", code, *args]


def serve() -> None:
    """Do as the other end of the pipes says, until it closes them."""
    answers: IO[str] = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints, prints no answers
    for line in sys.stdin:
        module, name, args = json.loads(line)
        print(json.dumps(getattr(import_module(module), name)(*args)), file=answers, flush=True)
    os._exit(0)  # nothing that a measurement left behind is worth waiting for


def published_python() -> str:
    """Return the Python that finds the published package, after installing it if need be.

    Raises:
        NotMeasuredError: that did not work.
    """
    home = CACHE / "published"
    python, stamp = home / "bin" / "python", home / "installed.json"
    wanted = [PUBLISHED, *(f"{name}=={version(name)}" for name in SHARED)]
    if not (stamp.exists() and json.loads(stamp.read_text()) == wanted):
        uv = shutil.which("uv")
        if uv is None:
            raise NotMeasuredError(f"needs uv, to install {PUBLISHED}")
        _run(uv, "venv", "--clear", "--python", sys.executable, str(home))
        _run(uv, "pip", "install", "--python", str(python), *wanted)
        stamp.write_text(json.dumps(wanted))
    return str(python)


def _run(*words: str) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        raise NotMeasuredError(f"{PUBLISHED} could not be installed") from None
