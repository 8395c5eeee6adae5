"""What a run measured, and where and when: kept as JSON, and compared with another."""

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
from benchmarks.sides import CACHE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGES = (
    *("anyio", "attrs", "cattrs", "fastapi", "httpx", "httpx2", "hypercorn", "pydantic"),
    *("starlette", "trio"),
)


@frozen
class Record:
    """Figures, and all that they depend on."""

    figures: tuple[Figure, ...]
    date: str
    commit: str
    machine: str
    versions: dict[str, str]

    @classmethod
    def of(cls, figures: Iterable[Figure]) -> Record:
        """Return the record of what has just been measured here."""
        return cls(
            tuple(figures), f"{datetime.now(UTC):%Y-%m-%d}", _commit(), _machine(), _versions()
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is something else.
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
    """Return the file that is meant: a path, or the name of one among those kept here."""
    return Path(name) if "/" in name or name.endswith(".json") else CACHE / f"{name}.json"


def _commit() -> str:
    """Return the commit, with a plus if files differ from it."""
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
