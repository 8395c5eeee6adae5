"""The command `oxaigen-auth-load`: bursts and streams of token validation, and what became of them.

Uses the SDK and the mock from outside, as apps do.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its packages are an extra, so that servers need not have them.

    Returns:
        The exit status: 0; 1 if an expectation was not met; 2 if there was nothing to load, or
        nothing to load it with, or a file could not be written; 130 if it was stopped half-way.
    """
    if any(find_spec(name) is None for name in ("hdrh", "rich")):
        sys.stderr.write('This command needs more packages: pip install "oxaigen-auth[load]"\n')
        return 2
    from oxaigen_auth_load.cli import run  # noqa: PLC0415 (see above)

    return run(arguments)
