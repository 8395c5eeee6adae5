"""Processes that import this package or the published one, and call benchmark functions on request.

Both packages have the same import name, so the published one has an environment of its own. It is
created at the first use, with the versions of the shared dependencies of this environment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
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
SHARED = ("anyio", "attrs", "fastapi", "httpx", "pydantic", "starlette", "uvicorn", "websockets")
INSTALL_TIMEOUT = 300  # seconds


@define(eq=False)
class PackageProcess:
    """A process that calls functions of the benchmarks, one at a time."""

    process: subprocess.Popen[str]

    def call(self, function: Callable[..., Any], *args: object) -> Any:
        """Call a function in the process. Its arguments and its result must be JSON values."""
        requests, results = self.process.stdin, self.process.stdout
        if requests is None or results is None:
            raise RuntimeError("the process has no pipes")
        call = [function.__module__, function.__name__, args]
        print(json.dumps(call), file=requests, flush=True)
        result = results.readline()
        if not result:
            raise RuntimeError(f"{function.__name__} failed, see above")
        return json.loads(result)


@contextmanager
def package_process(
    python: str = sys.executable, environ: Mapping[str, str] | None = None
) -> Iterator[PackageProcess]:
    """Run a process with the package that a Python interpreter finds; by default this one."""
    process = subprocess.Popen(  # noqa: S603
        command(python, __name__, serve.__name__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    with process:  # closes the pipes and waits
        yield PackageProcess(process)


@contextmanager
def both_packages(
    environ: Mapping[str, str] | None = None,
) -> Iterator[tuple[PackageProcess, PackageProcess]]:
    """Run a process with this package, and one with the published package.

    Raises:
        NotMeasuredError: the published package cannot be installed.
    """
    with (
        package_process(published_python(), environ) as published,
        package_process(environ=environ) as ours,
    ):
        yield ours, published


def command(python: str, module: str, function: str, *args: str) -> list[str]:
    """Return a command that calls a function of the benchmarks with the package of `python`."""
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); "
        f"from {module} import {function}; {function}(*sys.argv[1:])"
    )
    return [python, "-P", "-c", code, *args]


def serve() -> None:
    """Call the functions that the other end of the pipes names, until it closes them."""
    results: IO[str] = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a function prints must not be read as a result
    for line in sys.stdin:
        module, name, args = json.loads(line)
        print(json.dumps(getattr(import_module(module), name)(*args)), file=results, flush=True)
    os._exit(0)  # without waiting for threads and tasks of a measurement


def published_python() -> str:
    """Return an interpreter that has the published package; install the package if necessary.

    Raises:
        NotMeasuredError: the package could not be installed.
    """
    home = CACHE / "published"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        flock(lock, LOCK_EX)  # tests in other processes need it as well
        return _installed(home)


def _installed(home: Path) -> str:
    python, stamp = home / "bin" / "python", home / "installed.json"
    wanted = [PUBLISHED, *(f"{name}=={version(name)}" for name in SHARED)]
    if not (stamp.exists() and json.loads(stamp.read_text()) == wanted):
        uv = shutil.which("uv")
        if uv is None:
            raise NotMeasuredError(f"needs uv to install {PUBLISHED}")
        _run(uv, "venv", "--clear", "--python", sys.executable, str(home))
        _run(uv, "pip", "install", "--python", str(python), *wanted)
        stamp.write_text(json.dumps(wanted))
    return str(python)


def _run(*words: str) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=INSTALL_TIMEOUT)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        raise NotMeasuredError(f"{PUBLISHED} could not be installed") from None
