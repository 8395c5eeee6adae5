"""Development tools, not for production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxaigen_auth.dev.mock_server import create_mock_app as create_mock_app


def __getattr__(name: str) -> Any:
    """Import the mock at first use, because `python -m` warns if its module is already imported."""
    if name == "create_mock_app":
        from oxaigen_auth.dev.mock_server import create_mock_app  # noqa: PLC0415 (see above)

        return create_mock_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
