"""The record of a run: its figures, date, commit, machine and versions, stored as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from benchmarks.harness import Figure
from benchmarks.package_process import CACHE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGES = (
    *("anyio", "attrs", "cattrs", "fastapi", "httpx", "httpx2", "hypercorn", "pydantic"),
    *("starlette", "trio"),
)


@frozen
class Record:
    """Figures, and what they depend on."""

    figures: tuple[Figure, ...]
    date: str
    commit: str
    machine: str
    versions: dict[str, str]

    @classmethod
    def of(cls, figures: Iterable[Figure]) -> Record:
        """Return a record of figures that were measured just now, on this machine."""
        return cls(
            tuple(figures), f"{datetime.now(UTC):%Y-%m-%d}", _commit(), _machine(), _versions()
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not a record.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            figures = tuple(
                Figure(**{**figure, "values": tuple(figure["values"])})
                for figure in data.pop("figures")
            )
            return cls(figures, **data)
        except (AttributeError, KeyError, TypeError):
            raise ValueError("not a record of figures") from None


def path_of(name: str) -> Path:
    """Return the file of a record: a path stays a path, a name is one in `.bench/`."""
    return Path(name) if "/" in name or name.endswith(".json") else CACHE / f"{name}.json"


def _commit() -> str:
    """Return the current commit, with a plus sign if files have changed since."""
    words = ("git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*")
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _versions() -> dict[str, str]:
    return {"Python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
