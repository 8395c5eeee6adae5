"""The flags of the command, generated from the settings, and its `--help`."""

import os
from argparse import (
    SUPPRESS,
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Sequence
from typing import Any, Final, cast, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from oxaigen_auth_mock.cli.console import PROGRAM, format_table
from oxaigen_auth_mock.config.environment import variable_name
from oxaigen_auth_mock.config.settings import MockSettings, log_warning
from oxaigen_auth_mock.config.validation_errors import format_error

EXAMPLE: Final = f"""\
two terminals:
  $ {PROGRAM} --pick
  $ OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 my_app:app

The mock's control page, http://127.0.0.1:8765/_mock/, shows its personas, its faults and the calls
of your app.
"""

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "network": ("host", "port", "cors_origins", "allow_remote", "tls"),
    "behavior": ("personas", "pick", "strict", "faults", "scenario", "latency", "cookie_suffix"),
    "process": ("backend", "reload"),
}
NAMES: Final = {"cors_origins": "--origins"}
METAVARS: Final = {
    "cors_origins": "ORIGIN",
    "personas": "FILE",
    "faults": "FILE",
    "scenario": "FILE|NAME",
    "latency": "SECONDS",
    "cookie_suffix": "SUFFIX",
}


def read_settings(
    arguments: Sequence[str] | None, *, warn: Callable[[str], object] = log_warning
) -> MockSettings:
    """Read each setting from its flag, else from its variable.

    A flag hides its variable, so that an invalid value there is no error.

    Args:
        arguments: None takes those of the process.
        warn: called with each warning of `MockSettings.from_env`.

    Raises:
        MockConfigurationError: naming each variable that has an invalid value.
        SystemExit: with 2 for invalid flags, with 0 after `--help`.
    """
    flags = _read_flags(arguments)
    variables = {variable_name(setting) for setting in flags}
    environ = {name: text for name, text in os.environ.items() if name not in variables}
    return MockSettings.from_env(environ, warn=warn).model_copy(update=flags)


def _read_flags(arguments: Sequence[str] | None) -> dict[str, Any]:
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    for setting, value in given.items():
        if isinstance(value, list):
            if len(value) > 1 and setting != "cors_origins":
                parser.error(f"{_flag(setting)} is given more than once")
            given[setting] = ",".join(value)
    try:
        return MockSettings(**given).model_dump(exclude_unset=True)
    except ValidationError as error:
        problems = [format_error(_flag(str(each["loc"][0])), each) for each in error.errors()]
        parser.error(f"\n{PROGRAM}: error: ".join(problems))


def _parser() -> ArgumentParser:
    rows = [
        (variable_name(setting), f"{info.description} (default: {_format(info.default)})")
        for setting, info in MockSettings.model_fields.items()
    ]
    parser = ArgumentParser(
        prog=PROGRAM,
        description="Mock of the Oxaigen auth proxy, for development on this machine.",
        epilog=f"{EXAMPLE}\nenvironment variables; flags take precedence, and blank variables "
        f"count as unset:\n{format_table(rows)}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=SUPPRESS,
    )
    for title, settings in GROUPS.items():
        group = parser.add_argument_group(title)
        for setting in settings:
            info = MockSettings.model_fields[setting]
            default = f"default: {variable_name(setting)}, else {_format(info.default)}"
            group.add_argument(
                _flag(setting),
                dest=setting,
                help=f"{info.description} ({default})",
                **_options(setting, info),
            )
    return parser


def _flag(setting: str) -> str:
    return NAMES.get(setting, f"--{setting.replace('_', '-')}")


def _options(setting: str, info: FieldInfo) -> dict[str, Any]:
    """Return how argparse reads a flag; its value is checked with the settings."""
    if info.annotation is bool:
        return {"action": BooleanOptionalAction}
    options = {"type": _require_text, "metavar": METAVARS.get(setting)}
    if get_origin(info.annotation) is tuple:
        return {**options, "action": "extend", "nargs": "+"}
    return {**options, "action": "append"}  # rejected if repeated; "store" would drop the first


def _require_text(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("expected a value; leave the flag out to use the default")
    return text.strip()


def _format(value: object) -> str:
    """Format a default as users write it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(cast("tuple[str, ...]", value)) or "none"
    return "none" if value is None else str(value)
