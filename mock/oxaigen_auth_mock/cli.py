"""The command `oxaigen-auth-mock`: reads flags and environment, serves until it is told to stop."""

import os
import signal
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from errno import EADDRINUSE
from typing import Any, Final, cast

import anyio
from attrs import evolve

from oxaigen_auth_mock.app import MockApp, create_app
from oxaigen_auth_mock.kinds import Kind
from oxaigen_auth_mock.proxy import MockProxy
from oxaigen_auth_mock.serving import host_and_port, listen, serving
from oxaigen_auth_mock.settings import MockConfigurationError, MockSettings, variables

PROGRAM: Final = "oxaigen-auth-mock"
FLAGS: Final = ("host", "port", "latency")  # settings that have a flag as well as a variable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a mock until SIGINT or SIGTERM.

    Args:
        arguments: None takes those of the process.

    Returns:
        The exit status: 0 once it was told to stop, 1 where it cannot listen, 2 when a variable
        holds what it may not.

    Raises:
        SystemExit: with 2 for a wrong flag, with 0 after `--help`.
    """
    flags = vars(_parser().parse_args(arguments))
    try:
        settings = _settings({name: flags[name] for name in FLAGS if flags[name] is not None})
    except MockConfigurationError as error:
        return _fail(2, *error.problems)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        return _fail(1, _cannot_listen(settings, error))
    anyio.run(_serve_until_told, create_app(settings), listener, backend=flags["backend"])
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog=PROGRAM,
        description="Stand in for the Oxaigen auth proxy, for development on this machine.",
        epilog=_about_variables(),
        formatter_class=RawDescriptionHelpFormatter,
    )
    for variable in variables():
        if variable.setting in FLAGS:
            parser.add_argument(
                f"--{variable.setting}",
                type=_flag_type(variable.kind),
                help=f"{variable.meaning} (default: {variable.name}, else {variable.default})",
            )
    parser.add_argument(
        "--backend",
        choices=("asyncio", "trio"),
        default="asyncio",
        help="event loop to run on (default: %(default)s)",
    )
    return parser


def _flag_type(kind: Kind[object]) -> Callable[[str], object]:
    def read(text: str) -> object:
        if not text.strip():
            raise ArgumentTypeError("an empty value says nothing; leave the flag out")
        try:
            return kind.read(text.strip())
        except ValueError as error:
            raise ArgumentTypeError(f"{text!r} is not {kind.may_hold}") from error

    return read


def _about_variables() -> str:
    rows = [
        (variable.name, f"{variable.meaning} (default: {_plain(variable.default)})")
        for variable in variables()
    ]
    return f"environment; an empty variable counts as unset:\n{_table(rows)}"


def _plain(value: object) -> str:
    """Write a setting as its variable would have it."""
    if isinstance(value, tuple):
        return ",".join(cast("tuple[str, ...]", value)) or "none"
    return "none" if value is None else str(value)


def _settings(flags: dict[str, Any]) -> MockSettings:
    """Take settings from the flags, else from the environment.

    A flag hides its variable, so that a bad value there is no reason to stop.
    """
    names = {variable.name for variable in variables() if variable.setting in flags}
    environ = {name: text for name, text in os.environ.items() if name not in names}
    return evolve(MockSettings.from_env(environ), **flags)


def _cannot_listen(settings: MockSettings, error: OSError) -> str:
    where = host_and_port(settings.host, settings.port)
    if error.errno == EADDRINUSE:
        return f"{where} is already in use; choose another with --port or OXAIGEN_AUTH_MOCK_PORT"
    return f"cannot listen on {where}: {error.strerror or error}"


def _fail(status: int, *problems: str) -> int:
    for problem in problems:
        sys.stderr.write(f"{PROGRAM}: {problem}\n")
    return status


async def _serve_until_told(app: MockApp, listener: socket.socket) -> None:
    """Stop at the first signal; later ones are caught too, so that none interrupts the stopping."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with serving(app, listener) as url:
            sys.stdout.write(_greeting(url, app.proxy))
            sys.stdout.flush()
            await anext(signals)


def _greeting(url: str, proxy: MockProxy) -> str:
    rows = [("PERSONA", "TOKEN", "STATE", "PERMISSIONS")]
    rows += [
        (each.name, each.token, each.state, ", ".join(sorted(each.permissions)) or "none")
        for each in proxy.roster.personas
    ]
    return f"Listening on {url}\n{_table(rows)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Set rows as lines of columns, each as wide as its widest cell; the last one runs free."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"  {line}\n" for line in lines)
