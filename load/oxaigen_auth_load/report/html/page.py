"""Turns the report of a load test into one HTML document that needs nothing but itself.

Reads the report only, never measures. The document runs its own script and style, which its
policy names by their hashes, and reaches no network.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any, Final

from oxaigen_auth_load.report.html.distribution import distribution
from oxaigen_auth_load.report.html.figures import expected, figures
from oxaigen_auth_load.report.html.markup import Markup, join, tag
from oxaigen_auth_load.report.html.timeline import timelines
from oxaigen_auth_load.report.units import SPACE, moment, number

NAMES: Final = {"oxaigen_auth": "oxaigen-auth", "http_library": "HTTP library", "cpus": "CPUs"}


def page(report: Mapping[str, Any]) -> str:
    """Write the report of a load test as a self-contained HTML document, to be saved as UTF-8.

    Args:
        report: as `oxaigen-auth-load` writes it as JSON.
    """
    style, script = _file("look.css"), _file("hover.js")
    runs, expectations = report["runs"], report["expectations"]
    names = ", ".join(run["name"] for run in runs)
    return Template(_file("page.html")).substitute(
        policy=_policy(style, script),
        style=style,
        script=script,
        title=join(f"Load report: {report['plan']['shape']}{SPACE}· {names}"),
        banner=_banner(report["partial"]),
        summary=_summary(report),
        facts=tag("dl", *(_fact(name, text) for name, text in _facts(report))),
        expected=expected(expectations),
        figures=figures(runs, expectations),
        notes=join(*(_note(run["name"], note) for run in runs for note in run["notes"])),
        distribution=distribution(runs),
        timelines=timelines(runs),
    )


def _file(name: str) -> Markup:
    """Read a file of the package's folder `page`."""
    return Markup(
        (files("oxaigen_auth_load.report.html") / "assets" / name).read_text(encoding="utf-8")
    )


def _policy(style: str, script: str) -> Markup:
    return join(
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _banner(partial: str | None) -> Markup:
    if partial is None:
        return Markup()
    told = tag("strong", "Partial report")
    return tag(
        "p", told, f": {partial}. The figures are of what was done until then.", class_="banner"
    )


def _note(run: str, note: str) -> Markup:
    return tag("p", f"{run}: {note}.", class_="quiet")


def _summary(report: Mapping[str, Any]) -> Markup:
    time = tag("time", moment(report["started"]), datetime=report["started"])
    return tag("p", time, f" · {report['target']}", class_="quiet")


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what was run, and with what; what is not known is left out."""
    tool, plan = report["tool"], report["plan"]
    known: dict[str, Any] = {**plan, **tool}
    for name, value in known.items():
        if value is not None:
            text = str(value) if name == "seed" else _written(value)
            yield NAMES.get(name, name.replace("_", " ").capitalize()), text


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return number(value) if isinstance(value, int | float) else str(value)


def _fact(name: str, text: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", text))
