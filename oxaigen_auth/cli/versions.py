"""The versions of what is installed, and the extras of this package."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata

from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth._version import __version__
from oxaigen_auth.cli.report import Finding

CHECK = "Installation"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*extra == ['\"]([a-z0-9-]+)['\"]")
_SHOWN = ("anyio", "fastapi", "starlette", "hypercorn", "trio")


def check_versions() -> Iterator[Finding]:
    yield Finding(CHECK, "ok", f"oxaigen-auth {__version__}, Python {platform.python_version()}")
    library = f"{httpx.__name__} {httpx.__version__}"
    yield Finding(CHECK, "ok", f"HTTP library: {library}")
    yield Finding(CHECK, "ok", ", ".join(f"{name} {_version(name)}" for name in _SHOWN))
    for extra, missing in sorted(_extras().items()):
        state = f"not installed ({', '.join(missing)} missing)" if missing else "installed"
        yield Finding(CHECK, "ok", f"extra {extra}: {state}")


def _extras() -> dict[str, list[str]]:
    """Return the missing requirements of each extra; empty without the `.dist-info` folder."""
    try:
        requirements = metadata.requires("oxaigen-auth") or []
    except metadata.PackageNotFoundError:
        return {}
    extras: dict[str, list[str]] = {}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None and match[2] != "all":
            missing = [match[1]] if _version(match[1]) == "missing" else []
            extras.setdefault(match[2], []).extend(missing)
    return extras


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
