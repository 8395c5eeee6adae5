"""The results of a load as one page that needs nothing else: no script, no other file, no network.

Made of the document that `report.py` describes.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from oxaigen_auth_load.charts import Decades, Linear, Nines, Series, chart
from oxaigen_auth_load.display import FIGURES, written
from oxaigen_auth_load.report import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMELINE = {"arrivals": "arrivals", "upstream_calls": "upstream calls", "errors": "errors"}


def page(report: Mapping[str, Any]) -> str:
    """Return the page as HTML."""
    style = files("oxaigen_auth_load").joinpath("page.css").read_text("utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    plan, tool = report["plan"], report["tool"]
    title = escape(f"Load: {plan['shape']}, {plan['lookups']:,} lookups")
    said = (
        f"{report['target']}. {plan['tokens']:,} tokens, {plan['bad_tokens']:,} of them bad; seed "
        f"{plan['seed']}, Zipf {plan['zipf']:g}. oxaigen-auth {tool['oxaigen_auth']} with "
        f"{tool['http_library']} on {tool['backend']}, Python {tool['python']}, {tool['cpus']} "
        f"processors. {report['started'][:16].replace('T', ' ')} UTC."
    )
    runs = report["runs"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{escape(said)}</p>
{_partial(report)}{_expectations(report)}
<h2>Figures</h2>
{_figures(runs)}
<h2>Latency</h2>
<p>So many of all lookups took no longer than that, from the moment when they were to start.</p>
{_latency(runs)}
<h2>In the course of time</h2>
{"".join(_time_line(run, runs) for run in runs)}
</body>
</html>
"""


def _partial(report: Mapping[str, Any]) -> str:
    said = report["partial"]
    return f'<p class="partial"><strong>Partial:</strong> {escape(said)}.</p>' if said else ""


def _expectations(report: Mapping[str, Any]) -> str:
    def row(each: Mapping[str, Any]) -> str:
        name = each["text"].split()[0].rstrip("<>=")
        verdict = "met" if each["met"] else "failed"
        was = written(name, each["value"])
        return f'<li class="{verdict}">{verdict}: {escape(each["text"])} (it was {was})</li>'

    rows = "".join(map(row, report["expectations"]))
    return f"<ul>{rows}</ul>" if rows else ""


def _figures(runs: Sequence[Mapping[str, Any]]) -> str:
    numbers = [figures(run) for run in runs]
    rows = [
        [words, *(written(name, each[name]) for each in numbers)] for name, words in FIGURES.items()
    ]
    kinds = sorted({kind for run in runs for kind in run["errors"]})
    rows += [
        [f"errors: {kind}", *(f"{r['errors'].get(kind, 0):,}" for r in runs)] for kind in kinds
    ]
    return _table(["", *(run["name"] for run in runs)], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(text)}</td>" for text in rest)
        + "</tr>"
        for first, *rest in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _details(table: str) -> str:
    return f"<details><summary>The same as numbers</summary>{table}</details>"


def _legend(series: Sequence[Series]) -> str:
    keys = (f'<span class="{one.colour}"><i></i>{escape(one.name)}</span>' for one in series)
    return f"<figcaption>{''.join(keys)}</figcaption>"


def _latency(runs: Sequence[Mapping[str, Any]]) -> str:
    series = [
        Series(run["name"], f"run{number}", run["distribution"]) for number, run in enumerate(runs)
    ]
    seconds = [latency for one in series for _, latency in one.points if latency > 0]
    last = max(p for one in series for p, _ in one.points if p < 100)  # noqa: PLR2004
    x, y = Nines(last), Decades(min(seconds, default=1e-3), max(seconds, default=1e-3))
    drawn = chart(series, x, y, ("share of all lookups", "latency"))
    places = sorted({p for one in series for p, _ in one.points})
    rows = [[x.write(p), *(_at(one, p, y) for one in series)] for p in places]
    table = _table(["share", *(one.name for one in series)], rows)
    return f"<figure>{_legend(series)}{drawn}</figure>{_details(table)}"


def _at(series: Series, percentile: float, scale: Decades) -> str:
    return next((scale.write(s) for p, s in series.points if p == percentile), "")


def _time_line(run: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    series = _rates(run)
    every = [point for each in runs for one in _rates(each) for point in one.points]
    x = Linear(max((at for at, _ in every), default=1.0), " s")
    y = Linear(max((rate for _, rate in every), default=1.0))
    drawn = chart(series, x, y, ("time since the beginning", "per second"))
    length = len(series[0].points)
    rows = [
        [x.write(series[0].points[n][0]), *(y.write(one.points[n][1]) for one in series)]
        for n in range(length)
    ]
    table = _table(["from", *(one.name for one in series)], rows)
    name = escape(run["name"])
    return f"<h3>{name}</h3><figure>{_legend(series)}{drawn}</figure>{_details(table)}"


def _rates(run: Mapping[str, Any]) -> list[Series]:
    line = run["timeline"]
    interval = line["interval_seconds"]
    return [
        Series(
            words,
            name,
            [
                (round(n * interval, 3), round(count / interval, 1))
                for n, count in enumerate(line[name])
            ],
        )
        for name, words in _TIMELINE.items()
        if line[name] is not None
    ]
