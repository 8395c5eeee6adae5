"""Prints the banner, the warnings and the errors of the command."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from oxaigen_auth_mock.state import MockState

PROGRAM: Final = "oxaigen-auth-mock"
TRUST: Final = "Trust it: set SSL_CERT_FILE={0} for the app; curl --cacert {0}"
REMOTE_WARNING: Final = (
    "--allow-remote accepts connections from other machines; anyone who can reach this mock can "
    "sign in as any persona to the apps that use it, and can change its responses"
)


def print_banner(urls: Sequence[str], state: MockState, *, ca_file: str | None = None) -> None:
    """Print where the mock listens, its special modes, and its personas."""
    rows = [("PERSONA", "TOKEN", "STATE", "PERMISSIONS")]
    rows += [
        (each.name, each.token, each.state, ", ".join(sorted(each.permissions)) or "none")
        for each in state.personas
    ]
    lines = [*(f"Listening on {url}" for url in urls), f"Control page: {urls[0]}/_mock/"]
    if ca_file is not None:
        lines += [f"CA certificate: {ca_file} (deleted at exit)", TRUST.format(ca_file)]
    lines += _notes(state)
    _write(sys.stdout, "".join(f"{line}\n" for line in lines) + format_table(rows))
    if state.settings.allow_remote:
        print_warning(REMOTE_WARNING)


def print_warning(warning: str) -> None:
    print_errors(f"warning: {warning}")


def print_errors(*problems: str) -> None:
    """Print each problem on a line of its own."""
    _write(sys.stderr, "".join(f"{PROGRAM}: {problem}\n" for problem in problems))


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Align all columns but the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"  {line}\n" for line in lines)


def _notes(state: MockState) -> Iterable[str]:
    if state.settings.strict:
        yield "Strict: tokens expire, and codes work once."
    faults = len(state.faults.report())
    if faults:
        yield f"{faults} fault{'s' if faults > 1 else ''} in place."
    if state.settings.cookie_suffix is not None:
        cookie = state.settings.access_cookie
        yield f"Cookie: {cookie}; set OXAIGEN_AUTH_ACCESS_TOKEN_COOKIE_NAME={cookie} for the app."
    if state.play is not None:
        yield f"Plays the scenario {state.play.scenario.name}."
    if state.settings.reload:
        yield "Restarts when a source, persona, fault or scenario file changes."


def _write(stream: TextIO, text: str) -> None:
    """Write and flush; characters that the stream cannot encode are escaped."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
