"""The command `oxaigen-auth-load`, which load-tests token validation."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0; 1 if an expectation was not met; 2 for an invalid option, a server that
        cannot be reached, a file that cannot be used, or a missing extra; 130 if the load was
        stopped.
    """
    if any(find_spec(name) is None for name in ("hdrh", "httptools", "rich")):
        sys.stderr.write('oxaigen-auth-load needs an extra: pip install "oxaigen-auth[load]"\n')
        return 2
    from oxaigen_auth_load.cli import run  # noqa: PLC0415 (needs the extra)

    return run(arguments)
