"""Selects the mock's variables from an environment, and warns about those that it ignores."""

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Final

PREFIX: Final = "OXAIGEN_AUTH_MOCK_"
SERVICE_URL: Final = re.compile("(tcp|udp|sctp)://.+", re.IGNORECASE)
SERVICE_VARIABLE: Final = re.compile(  # set by Kubernetes for a service whose name has the prefix
    "(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    "|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)"
)


def variable_name(setting: str) -> str:
    return PREFIX + setting.upper()


def select_variables(
    environ: Mapping[str, str], settings: Collection[str], warn: Callable[[str], object]
) -> dict[str, str]:
    """Return the variables that are set and not blank, without surrounding whitespace.

    Args:
        environ: all variables.
        settings: the names of the settings.
        warn: called as `MockSettings.from_env` describes.
    """
    known = {variable_name(setting) for setting in settings}
    for name, text in environ.items():
        if name.upper().startswith(PREFIX) and name not in known and not _is_service(name, text):
            warn(f"{name} is unknown and ignored{_suggestion(name, settings)}")
    found = {name: environ[name].strip() for name in known if environ.get(name, "").strip()}
    port = variable_name("port")
    if SERVICE_URL.fullmatch(found.get(port, "")):
        warn(
            f"{port} is {found.pop(port)!r}, which Kubernetes sets for a service, and is ignored; "
            "set it to a number or pass --port to use another port than 8765"
        )
    return found


def _is_service(name: str, text: str) -> bool:
    """Whether Kubernetes sets a variable like this for a service."""
    rest = name.removeprefix(PREFIX)
    is_url = rest.endswith("_PORT") and SERVICE_URL.fullmatch(text.strip()) is not None
    return is_url or SERVICE_VARIABLE.fullmatch(rest) is not None


def _suggestion(name: str, settings: Collection[str]) -> str:
    names = [setting.upper() for setting in settings]
    close = get_close_matches(name.upper().removeprefix(PREFIX), names, 1)
    if close:
        return f"; did you mean {PREFIX}{close[0]}?"
    return "; oxaigen-auth-mock --help lists the variables"
