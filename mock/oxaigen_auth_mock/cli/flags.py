"""The flags of the command: how they are read, and how `--help` explains them and the variables."""

import os
from argparse import (
    Action,
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, cast

from attrs import evolve, frozen

from oxaigen_auth_mock.config import kinds
from oxaigen_auth_mock.config.kinds import Kind
from oxaigen_auth_mock.config.settings import MockSettings, Variable, log_warning, variables

PROGRAM: Final = "oxaigen-auth-mock"
EXAMPLE: Final = f"""\
two terminals:
  $ {PROGRAM} --pick
  $ OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 my_app:app

The mock's control page is at http://127.0.0.1:8765/_mock/: who is known, which faults strike,
what your app asked.
"""


@frozen
class Flag:
    """A setting that has a flag as well as a variable."""

    setting: str
    group: str
    name: str = ""
    metavar: str | None = None


FLAGS: Final = (
    Flag("host", "where it listens"),
    Flag("port", "where it listens"),
    Flag("cors_origins", "where it listens", "--origins", "ORIGIN"),
    Flag("allow_remote", "where it listens"),
    Flag("personas", "how it behaves", metavar="FILE"),
    Flag("pick", "how it behaves"),
    Flag("strict", "how it behaves"),
    Flag("faults", "how it behaves", metavar="FILE"),
    Flag("latency", "how it behaves", metavar="SECONDS"),
    Flag("backend", "how it runs"),
    Flag("reload", "how it runs"),
)


def read_flags(arguments: Sequence[str] | None) -> dict[str, Any]:
    """Read the settings that flags were given for; None takes the arguments of the process.

    Raises:
        SystemExit: with 2 for a wrong flag, with 0 after `--help`.
    """
    given = vars(_parser().parse_args(arguments))
    flags = {name: value for name, value in given.items() if value is not None}
    if "cors_origins" in flags:
        flags["cors_origins"] = tuple(chain(*flags["cors_origins"]))
    return flags


def settings_of(
    flags: dict[str, Any], *, warn: Callable[[str], object] = log_warning
) -> MockSettings:
    """Take settings from the flags, else from the environment.

    A flag hides its variable, so that a bad value there is no reason to stop.

    Args:
        flags: as `read_flags` gives them.
        warn: gets each warning of `MockSettings.from_env`.

    Raises:
        MockConfigurationError: naming each variable that holds what it may not.
    """
    names = {variable.name for variable in variables() if variable.setting in flags}
    environ = {name: text for name, text in os.environ.items() if name not in names}
    return evolve(MockSettings.from_env(environ, warn=warn), **flags)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Set rows as lines of columns, each as wide as its widest cell; the last one runs free."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"  {line}\n" for line in lines)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog=PROGRAM,
        description="Stand in for the Oxaigen auth proxy, for development on this machine.",
        epilog=f"{EXAMPLE}\n{_about_variables(variables())}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    titles = dict.fromkeys(flag.group for flag in FLAGS)
    groups = {title: parser.add_argument_group(title) for title in titles}
    known = {variable.setting: variable for variable in variables()}
    for flag in FLAGS:
        variable = known[flag.setting]
        groups[flag.group].add_argument(
            flag.name or f"--{flag.setting.replace('_', '-')}",
            dest=flag.setting,
            help=f"{variable.meaning} (default: {variable.name}, else {_plain(variable.default)})",
            **_shape(flag, variable),
        )
    return parser


def _shape(flag: Flag, variable: Variable) -> dict[str, Any]:
    """Tell argparse how to read a flag."""
    if variable.kind is kinds.SWITCH:
        return {"action": BooleanOptionalAction}
    nargs = "+" if variable.kind is kinds.ORIGINS else None
    action = _Once if nargs is None else "extend"
    return {
        "action": action,
        "type": _reader(variable.kind),
        "metavar": flag.metavar,
        "nargs": nargs,
    }


class _Once(Action):
    """Refuses a flag that is given twice, where argparse would drop the first value."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given more than once")
        setattr(namespace, self.dest, values)


def _reader(kind: Kind[object]) -> Callable[[str], object]:
    def read(text: str) -> object:
        if not text.strip():
            raise ArgumentTypeError("an empty value says nothing; leave the flag out")
        try:
            return kind.read(text.strip())
        except ValueError as error:
            raise ArgumentTypeError(f"{text!r} is not {kind.may_hold}") from error

    return read


def _about_variables(known: Iterable[Variable]) -> str:
    rows = [(each.name, f"{each.meaning} (default: {_plain(each.default)})") for each in known]
    return f"environment; a flag wins, and an empty variable counts as unset:\n{table(rows)}"


def _plain(value: object) -> str:
    """Write a setting as people do."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(cast("tuple[str, ...]", value)) or "none"
    return "none" if value is None else str(value)
