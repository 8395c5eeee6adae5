"""The requests that the middleware does not identify: excluded paths, and CORS preflights."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope


def check_paths(exclude: Iterable[str]) -> tuple[str, ...]:
    if isinstance(exclude, str):
        raise TypeError(f"exclude is a string; write exclude=({exclude!r},)")
    paths = tuple(exclude)
    for path in paths:
        if not isinstance(path, str):
            raise TypeError(f"exclude contains {path!r}, which is not a string")
        if path[:1] != "/" or "*" in path[:-1]:
            raise ValueError(f"exclude contains {path!r}; write /path, or /prefix/* for a prefix")
    return paths


def is_excluded(scope: Scope, patterns: tuple[str, ...]) -> bool:
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if path.startswith(f"{root}/"):  # the app is mounted, or served below this path
        path = path[len(root) :]
    return any(
        path.startswith(pattern[:-1]) if pattern[-1] == "*" else path == pattern
        for pattern in patterns
    )


def is_preflight(scope: Scope) -> bool:
    """Return whether a browser asks for permission to send a request (Fetch, CORS preflight)."""
    if scope.get("method") != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return names >= {b"origin", b"access-control-request-method"}
