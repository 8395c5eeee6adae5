"""Prints results on stdout and problems on stderr; in colour on a terminal only."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from oxaigen_auth.cli.report import SETTINGS, Finding, Report

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def print_json(value: Any) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=2)}\n")


def print_line(*parts: str | tuple[str, str]) -> None:
    """Print a line of texts, or pairs of a text and its style, without wrapping it."""
    Console(highlight=False).print(Text.assemble(*map(_printable, parts)), soft_wrap=True)


def print_warning(text: str) -> None:
    sys.stderr.write(f"oxaigen-auth: warning: {text}\n")


def print_error(text: str) -> None:
    sys.stderr.write(f"oxaigen-auth: {text}\n")


def format_value(value: Any) -> str:
    """Return a value as text on one line."""
    match value:
        case None | ():
            return "unset"
        case tuple():
            return ", ".join(value)
        case float():
            return f"{value:g}"
        case str():
            return value
        case _:
            return json.dumps(value)


def print_report(report: Report) -> None:
    print_line((SETTINGS, "bold"))
    width = max(len(setting.name) for setting in report.settings)
    for setting in report.settings:
        is_default = setting.source == "default"
        text = f"  {setting.name:{width}}  {format_value(setting.value)}  ({setting.source})"
        print_line((text, "dim" if is_default else ""))
    for check, findings in report.by_check().items():
        if check != SETTINGS:
            print_line()
            print_line((check, "bold"))
        for finding in findings:
            _print_finding(finding)
    print_line()
    print_line("Result: ", (report.status, _STYLES[report.status]))


def _print_finding(finding: Finding) -> None:
    print_line((f"  {finding.level:4}  ", _STYLES[finding.level]), finding.text)
    if finding.advice:
        print_line(f"        → {finding.advice}")


def _printable(part: str | tuple[str, str]) -> tuple[str, str]:
    """Escape control characters: names and answers come from elsewhere."""
    text, style = (part, "") if isinstance(part, str) else part
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text), style
