"""The environment variables of the settings, and suggestions for unknown ones."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from oxaigen_auth._core.process_cache import process_cache

_log = logging.getLogger("oxaigen_auth")

_PREFIX = "OXAIGEN_AUTH_"

# Variables of the mock, of the load tool and of the command, and those that Kubernetes sets for a
# service whose name begins with oxaigen-auth.
_OTHERS = re.compile(
    r"(?:MOCK|LOAD)_.*"
    r"|TOKEN"
    r"|(?:.*_)?SERVICE_HOST"
    r"|(?:.*_)?SERVICE_PORT(?:_.*)?"
    r"|(?:.*_)?PORT(?:_[0-9]+_[A-Z]+(?:_.*)?)?",
    re.DOTALL,
)


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{_PREFIX}{name.upper()}"


def suggest(name: str, names: Collection[str]) -> str:
    """Return "did you mean …?" with names similar to an unknown one; empty if there are none."""
    similar = get_close_matches(name, names, 2)
    return f"did you mean {' or '.join(similar)}?" if similar else ""


def warn_of_unknown_variables(environ: Mapping[str, str], names: Collection[str]) -> None:
    """Log each variable with the prefix of the settings that is none of them, once per process."""
    for name, suggestion in unknown_variables(environ, names):
        warn_of_unknown_variable(name, suggestion)


def unknown_variables(
    environ: Mapping[str, str], names: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield each variable that has the prefix but is no setting, and a suggestion."""
    known = {variable(name) for name in names}
    for name, text in environ.items():
        upper = name.upper()
        is_ours = upper.startswith(_PREFIX) and not _OTHERS.fullmatch(upper, len(_PREFIX))
        if is_ours and name not in known and text.strip():
            yield name, suggest(upper, known)


@process_cache
def warn_of_unknown_variable(name: str, suggestion: str) -> None:
    hint = f"; {suggestion}" if suggestion else ""
    _log.warning("The environment variable %s is unknown and ignored%s", ascii(name[:100]), hint)
