"""The command `oxaigen-auth-mock`: reads flags and environment, serves until it is told to stop."""

import signal
import socket
from collections.abc import Sequence
from errno import EADDRINUSE

import anyio

from oxaigen_auth_mock.app import MockApp, create_app
from oxaigen_auth_mock.cli.console import print_banner, print_errors, print_warning
from oxaigen_auth_mock.cli.flags import read_flags, settings_of
from oxaigen_auth_mock.config.settings import MockConfigurationError, MockSettings
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.reload import serve_reloading
from oxaigen_auth_mock.server.sockets import (
    RemoteAddressError,
    base_url,
    host_and_port,
    listen_on_all,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a mock until SIGINT or SIGTERM.

    Args:
        arguments: None takes those of the process.

    Returns:
        The exit status: 0 once it was told to stop, 1 where it cannot listen, 2 when a variable
        or a file holds what it may not, or other machines could reach it and should not.

    Raises:
        SystemExit: with 2 for a wrong flag, with 0 after `--help`.
    """
    flags = read_flags(arguments)
    try:
        settings = settings_of(flags, warn=print_warning)
        app = create_app(settings)
    except MockConfigurationError as error:
        return _fail(2, *error.problems)
    try:
        listeners = listen_on_all(settings.host, settings.port, allow_remote=settings.allow_remote)
    except RemoteAddressError as error:
        return _fail(2, _is_remote(settings, error))
    except OSError as error:
        return _fail(1, _cannot_listen(settings, error))
    if settings.reload:
        return serve_reloading(settings, *listeners)
    anyio.run(_serve_until_told, app, listeners, backend=settings.backend)
    return 0


def _is_remote(settings: MockSettings, error: RemoteAddressError) -> str:
    return (
        f"{host_and_port(settings.host, settings.port)} is not for this machine alone ({error}); "
        "--allow-remote or OXAIGEN_AUTH_MOCK_ALLOW_REMOTE=1 lets other machines in"
    )


def _cannot_listen(settings: MockSettings, error: OSError) -> str:
    where = host_and_port(settings.host, settings.port)
    if error.errno == EADDRINUSE:
        return f"{where} is already in use; choose another with --port or OXAIGEN_AUTH_MOCK_PORT"
    return f"cannot listen on {where}: {error.strerror or error}"


def _fail(status: int, *problems: str) -> int:
    print_errors(*problems)
    return status


async def _serve_until_told(app: MockApp, listeners: Sequence[socket.socket]) -> None:
    """Stop at the first signal; later ones are caught too, so that none interrupts the stopping."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        urls = [base_url(each) for each in listeners]
        async with serving(app, *listeners):
            print_banner(urls, app.proxy)
            await anext(signals)
