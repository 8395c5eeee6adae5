"""What the command says: where the mock is and whom it knows, its warnings, and what is wrong."""

import sys
from collections.abc import Sequence
from typing import TextIO

from oxaigen_auth_mock.cli.flags import PROGRAM, table
from oxaigen_auth_mock.state import MockProxy

WARNING = (
    "--allow-remote lets other machines in; whoever reaches this mock can be anybody to "
    "the apps that ask it, and can change what it answers"
)


def print_banner(urls: Sequence[str], proxy: MockProxy) -> None:
    """Tell people that the mock at these URLs answers now."""
    _say(sys.stdout, _greeting(urls, proxy))
    if proxy.settings.allow_remote:
        print_warning(WARNING)


def print_warning(warning: str) -> None:
    print_errors(f"warning: {warning}")


def print_errors(*problems: str) -> None:
    """Write each problem on a line of its own."""
    _say(sys.stderr, "".join(f"{PROGRAM}: {problem}\n" for problem in problems))


def _greeting(urls: Sequence[str], proxy: MockProxy) -> str:
    rows = [("PERSONA", "TOKEN", "STATE", "PERMISSIONS")]
    rows += [
        (each.name, each.token, each.state, ", ".join(sorted(each.permissions)) or "none")
        for each in proxy.roster.personas
    ]
    notes = "".join(f"{note}\n" for note in _notes(proxy))
    listening = "".join(f"Listening on {url}\n" for url in urls)
    return f"{listening}Control page: {urls[0]}/_mock/\n{notes}{table(rows)}"


def _notes(proxy: MockProxy) -> list[str]:
    notes: list[str] = []
    if proxy.settings.strict:
        notes.append("Strict: tokens end, and codes work once.")
    faults = len(proxy.faults.report())
    if faults:
        notes.append(f"{faults} fault{'s' if faults > 1 else ''} in place.")
    if proxy.settings.reload:
        notes.append("Starts anew when a source, persona or fault file changes.")
    return notes


def _say(stream: TextIO, text: str) -> None:
    """Write at once; what the stream cannot show is written as its escape."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
