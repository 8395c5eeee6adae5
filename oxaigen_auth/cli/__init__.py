"""The command `oxaigen-auth`, which checks a deployment, tokens and permissions."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import NoReturn


def main() -> NoReturn:
    """Run the command.

    Raises:
        SystemExit: with the exit status of the command; 2 if its extra is missing.
    """
    if any(find_spec(name) is None for name in ("rich", "typer")):
        sys.stderr.write('oxaigen-auth needs an extra: pip install "oxaigen-auth[cli]"\n')
        sys.exit(2)
    from oxaigen_auth.cli.commands import app  # noqa: PLC0415 (needs the extra)

    sys.exit(app())
