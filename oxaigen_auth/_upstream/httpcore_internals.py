"""The two uses of the HTTP library's private attributes, where it has no public API.

If they change, the fallback is safe and logged once, and a test fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from oxaigen_auth._core.process_cache import process_cache

_log = logging.getLogger("oxaigen_auth")


def wrap_network_backend(transport: Any, wrap: Callable[[Any], Any]) -> None:
    """Replace the network backend of a transport by `wrap(backend)`."""
    try:
        pool = transport._pool  # noqa: SLF001
        pool._network_backend = wrap(pool._network_backend)  # noqa: SLF001
    except AttributeError:
        _warn("the event loop looks up host names, so one slow name server can delay all lookups")


def has_trailing_data(response: Any) -> bool:
    """Return whether data followed a response, which the next call would read as its own.

    Return True if it is unknown, so that no connection is reused.
    """
    stream = response.stream
    try:
        trailing, _ = stream._httpcore_stream._stream._connection._h11_state.trailing_data  # noqa: SLF001
    except AttributeError:
        _warn("each call opens a connection of its own, which is slow")
        return True
    return bool(trailing)


@process_cache
def _warn(effect: str) -> None:
    _log.warning(
        "The HTTP library has changed: %s. Report this to the developers of oxaigen-auth.", effect
    )
