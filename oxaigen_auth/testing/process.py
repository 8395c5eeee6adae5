"""The state of the process that tests reset."""

from __future__ import annotations

from oxaigen_auth._core.process_cache import clear_process_caches


def reset() -> None:
    """Discard the default client with its settings and caches, and log one-time warnings again.

    The next use reads the environment again, so no test sees the settings of another one. Works
    with and without a running event loop; connections end with the loops in which they were made.
    In an event loop that continues, `await aclose_client()` does the same and closes them at once.

    >>> import pytest
    >>> @pytest.fixture(autouse=True)
    ... def _fresh_auth():
    ...     yield
    ...     reset()
    """
    clear_process_caches()
