"""The command `oxaigen-auth-mock`, which serves a mock until a signal."""

import multiprocessing
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from errno import EADDRINUSE
from importlib.util import find_spec
from typing import Final

import anyio
from starlette.types import ASGIApp

from oxaigen_auth_mock.app import MockApp, create_app, unavailable_app
from oxaigen_auth_mock.cli.console import print_banner, print_errors, print_warning
from oxaigen_auth_mock.cli.flags import read_settings
from oxaigen_auth_mock.config.scenarios import is_file_name
from oxaigen_auth_mock.config.settings import MockConfigurationError, MockSettings
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import (
    RemoteAddressError,
    base_url,
    host_and_port,
    listen_on_all,
    port_of,
)
from oxaigen_auth_mock.server.tls import Certificate, temporary_certificate

EXTRAS: Final = {"reload": "watchfiles", "tls": "trustme"}  # a setting, and what it imports


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a mock until SIGINT, SIGTERM or SIGHUP.

    Args:
        arguments: None takes those of the process.

    Returns:
        The exit status: 0 after a signal; 1 if it cannot listen; 2 if a variable or a file has an
        invalid value, if other machines could reach it without `--allow-remote`, or if `--reload`
        or `--tls` lacks its extra.

    Raises:
        SystemExit: with 2 for invalid flags, with 0 after `--help`.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        settings = read_settings(arguments, warn=print_warning)
        app = create_app(settings, warn=print_warning)
        for extra, module in EXTRAS.items():
            if getattr(settings, extra) and find_spec(module) is None:
                return _fail(2, f'--{extra} needs {module}: pip install "oxaigen-auth[{extra}]"')
        with ExitStack() as stack:
            certificate = (
                stack.enter_context(temporary_certificate(settings.host)) if settings.tls else None
            )
            return _listen_and_serve(settings, arguments, app, certificate)
    except MockConfigurationError as error:
        return _fail(2, *error.problems)


def _listen_and_serve(
    settings: MockSettings,
    arguments: Sequence[str],
    app: MockApp,
    certificate: Certificate | None,
) -> int:
    try:
        listeners = listen_on_all(settings.host, settings.port, allow_remote=settings.allow_remote)
    except RemoteAddressError as error:
        return _fail(2, _remote_address(settings, error))
    except OSError as error:
        return _fail(1, _cannot_listen(settings, error))
    if settings.reload:
        return _run_with_reload(settings, arguments, listeners, certificate)
    if settings.port == 0:
        app = create_app(_with_port(settings, listeners), warn=print_warning)
    anyio.run(_serve_until_stopped, app, listeners, certificate, backend=settings.backend)
    return 0


def _with_port(settings: MockSettings, listeners: Sequence[socket.socket]) -> MockSettings:
    """Return settings with the port that was picked, by which cookies can be named."""
    return settings.model_copy(update={"port": port_of(listeners[0])})


def _remote_address(settings: MockSettings, error: RemoteAddressError) -> str:
    return (
        f"other machines could reach {host_and_port(settings.host, settings.port)} ({error}); pass "
        "--allow-remote or set OXAIGEN_AUTH_MOCK_ALLOW_REMOTE=1 to allow this"
    )


def _cannot_listen(settings: MockSettings, error: OSError) -> str:
    address = host_and_port(settings.host, settings.port)
    if error.errno == EADDRINUSE:
        return f"{address} is already in use; choose another with --port or OXAIGEN_AUTH_MOCK_PORT"
    return f"cannot listen on {address}: {error.strerror or error}"


def _fail(status: int, *problems: str) -> int:
    print_errors(*problems)
    return status


def _run_with_reload(
    settings: MockSettings,
    arguments: Sequence[str],
    listeners: Sequence[socket.socket],
    certificate: Certificate | None,
) -> int:
    from oxaigen_auth_mock.server.reload import Reloader  # noqa: PLC0415 - needs an extra

    named = (settings.personas, settings.faults, settings.scenario)
    files = [name for name in named if name is not None and is_file_name(name)]
    try:
        Reloader(
            serve_reloaded,
            (list(arguments), listeners, certificate),
            files=files,
            report=print_errors,
        ).run()
    finally:
        for listener in listeners:
            listener.close()
    return 0


def serve_reloaded(
    arguments: Sequence[str],
    listeners: Sequence[socket.socket],
    certificate: Certificate | None = None,
) -> None:
    """Serve a mock in a process of the reloader; with errors in its files, answer with 503."""
    settings = read_settings(arguments, warn=lambda _: None)  # the reloader has warned already
    app: ASGIApp
    try:
        app = create_app(_with_port(settings, listeners), warn=print_warning)
    except MockConfigurationError as error:
        print_errors(*error.problems, "all calls are answered with 503 until the files are fixed")
        app = unavailable_app(str(error), allow_remote=settings.allow_remote)
    anyio.run(_serve_until_stopped, app, listeners, certificate, backend=settings.backend)


async def _serve_until_stopped(
    app: ASGIApp, listeners: Sequence[socket.socket], certificate: Certificate | None
) -> None:
    """Stop at the first signal; catch later ones too, so that none interrupts the shutdown."""
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    hangup = () if is_nohup else (signal.SIGHUP,)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, *hangup) as signals:
        async with serving(app, *listeners, certificate=certificate):
            if isinstance(app, MockApp):
                scheme = "https" if certificate else "http"
                urls = [base_url(each, scheme=scheme) for each in listeners]
                ca_file = certificate.ca_file if certificate else None
                print_banner(urls, app.mock_state, ca_file=ca_file)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cancel_without_parent, tasks.cancel_scope)
                await anext(signals)
                tasks.cancel_scope.cancel()


async def _cancel_without_parent(scope: anyio.CancelScope) -> None:
    """Cancel the scope when the process that spawned this one has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        await anyio.wait_readable(parent.sentinel)
        scope.cancel()
