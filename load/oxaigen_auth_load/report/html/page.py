"""Renders the report of a load as one HTML document.

The document includes its style and its script, which its Content-Security-Policy names by their
hashes; it loads nothing.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from oxaigen_auth_load.generator import SATURATED
from oxaigen_auth_load.report.events import WORKER_COLUMNS, worker_rows
from oxaigen_auth_load.report.html.charts import css_class, latency_plot
from oxaigen_auth_load.report.html.figures import figure_groups, generator_groups
from oxaigen_auth_load.report.html.time_plots import time_plots
from oxaigen_auth_load.units import format_number, format_time

LABELS: Final = {
    "oxaigen_auth": "oxaigen-auth",
    "http_library": "HTTP library",
    "cpus": "CPUs",
    "warmup_seconds": "Warm-up seconds",
}


def render_page(report: Mapping[str, Any]) -> str:
    """Render a report as a self-contained HTML document, to be saved as UTF-8.

    Args:
        report: as `--json` writes it.
    """
    loader = PackageLoader("oxaigen_auth_load.report.html")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "css_class": css_class,
        "time": format_time,
        "worker_rows": worker_rows,
    }
    style, script = (loader.get_source(environment, it)[0] for it in ("style.css", "plot.js"))
    return environment.get_template("page.html").render(
        report=report,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704 (our own files)
        script=Markup(script),  # noqa: S704
        facts=dict(_facts({**report["plan"], **report["tool"]})),
        saturated=SATURATED,
        figures=figure_groups(report["runs"], report["plan"]["scenario"]),
        events=[(run["name"], run["event"]) for run in report["runs"] if run.get("event")],
        worker_columns=WORKER_COLUMNS,
        generator=generator_groups(report["runs"]),
        failed=[(it["run"], it["figure"]) for it in report["expectations"] if not it["met"]],
        latency=latency_plot(report["runs"]),
        over_time=time_plots(report["runs"], report["plan"]["scenario"]),
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _facts(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the label and the text of each known property of the plan and the tool."""
    for name, value in known.items():
        if value is not None:
            text = str(value) if name == "seed" else _format(value)
            yield LABELS.get(name, name.replace("_", " ").capitalize()), text


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_format, value))
    return format_number(value) if isinstance(value, int | float) else str(value)
