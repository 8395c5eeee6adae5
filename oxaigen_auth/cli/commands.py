"""The commands, from their arguments to their exit status."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from oxaigen_auth.blocking import BlockingProxyAuthClient
from oxaigen_auth.cli.doctor import examine
from oxaigen_auth.cli.output import (
    format_value,
    print_error,
    print_json,
    print_line,
    print_report,
    print_warning,
)
from oxaigen_auth.cli.tokens import TOKEN_VARIABLE, TokenError, read_token
from oxaigen_auth.errors import (
    OxaigenAuthConfigurationError,
    OxaigenAuthError,
    OxaigenAuthUpstreamError,
)

REFUSED, USAGE, UNAVAILABLE = 1, 2, 3
STATUSES = (
    "Exit status: 0 for {yes}; 1 for {no}; 2 for wrong usage or invalid settings; 3 if the "
    "proxy gave no usable answer."
)
PASS_ON: dict[str, Any] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}

app: typer.Typer = typer.Typer(
    name="oxaigen-auth",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they can show local variables, and so tokens
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Check a deployment of oxaigen-auth, tokens and permissions.",
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The URL of the proxy. Default: from the settings."),
]
Token = Annotated[
    str | None,
    typer.Argument(
        metavar="-|TOKEN",
        help=f"The token; - reads it from stdin. Default: ${TOKEN_VARIABLE}, otherwise stdin if "
        "that is not a terminal.",
        show_default=False,
    ),
]


@app.command(epilog="Exit status: 0 for ok and warnings; 1 if a check failed; 2 for wrong usage.")
def doctor(
    url: Annotated[
        str | None,
        typer.Argument(help="The URL of the proxy. Default: from the settings."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Check what a request with this Host header would do.")
    ] = None,
    json: Json = False,  # noqa: FBT002 (Typer makes it an option)
) -> None:
    """Check settings, host, proxy and shared store, and show what to do about each problem."""
    try:
        report = examine(url, host, os.environ)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="URL") from None
    if json:
        print_json(report.as_dict())
    else:
        print_report(report)
    raise typer.Exit(1 if report.status == "fail" else 0)


@app.command(epilog=STATUSES.format(yes="a valid token", no="a rejected one"))
def whoami(
    token: Token = None,
    url: Url = None,
    json: Json = False,  # noqa: FBT002 (Typer makes it an option)
) -> None:
    """Show the user that a token belongs to."""
    with _errors_as_statuses(json=json), BlockingProxyAuthClient(url) as client:
        user = dict(client.get_me(_read(token)))
        if json:
            print_json(user)
            return
        for name, value in user.items():
            if value not in (None, [], {}):
                print_line(f"{name}: {format_value(value)}")


@app.command(epilog=STATUSES.format(yes="granted", no="denied, or a rejected token"))
def check(
    permission: Annotated[str, typer.Argument(help="The name of the permission.")],
    token: Token = None,
    url: Url = None,
    json: Json = False,  # noqa: FBT002 (Typer makes it an option)
) -> None:
    """Check whether the bearer of a token has a permission."""
    with _errors_as_statuses(json=json), BlockingProxyAuthClient(url) as client:
        granted = client.test_permission(_read(token), permission)
        if json:
            reason = {} if granted else {"reason": "permission_denied"}
            print_json({"permission": permission, "granted": granted, **reason})
        else:
            print_line(f"{permission}: {'granted' if granted else 'denied'}")
        raise typer.Exit(0 if granted else REFUSED)


@app.command(context_settings=PASS_ON, add_help_option=False)
def mock(context: typer.Context) -> None:
    """Serve a mock of the proxy, as oxaigen-auth-mock does (mock --help)."""
    from oxaigen_auth_mock.cli.main import main  # noqa: PLC0415 (a tool of its own)

    raise typer.Exit(main(context.args))


@app.command(context_settings=PASS_ON, add_help_option=False)
def load(context: typer.Context) -> None:
    """Load-test the SDK or an app, as oxaigen-auth-load does (load --help)."""
    from oxaigen_auth_load import main  # noqa: PLC0415 (a tool of its own)

    raise typer.Exit(main(context.args))


def _read(argument: str | None) -> str:
    token = read_token(argument)
    if argument not in (None, "-"):
        print_warning(
            "the process list and the shell's history show a token that is an argument: pipe it to "
            f"stdin, or set {TOKEN_VARIABLE}"
        )
    return token


@contextmanager
def _errors_as_statuses(*, json: bool) -> Iterator[None]:
    """Print an error, and exit with its status."""
    try:
        yield
    except (TokenError, ValueError, OxaigenAuthConfigurationError) as error:
        found: Exception = error
        kind, status = "usage", USAGE
    except OxaigenAuthUpstreamError as error:  # the log says why
        found, kind, status = error, "unavailable", UNAVAILABLE
    except OxaigenAuthError as error:
        found, kind, status = error, "rejected", REFUSED
    else:
        return
    if not json:
        print_error(f"{kind}: {found}")
    elif isinstance(found, OxaigenAuthError):
        print_json({"error": kind, "message": str(found), "reason": found.reason})
    else:
        print_json({"error": kind, "message": str(found)})
    raise typer.Exit(status)
