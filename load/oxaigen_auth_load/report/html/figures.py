"""The table of figures, one column per run, and the table of what was expected of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from oxaigen_auth_load.report.html.distribution import look
from oxaigen_auth_load.report.html.markup import Markup, tag
from oxaigen_auth_load.report.units import SPACE, number, seconds, with_share

Run = Mapping[str, Any]
T = TypeVar("T")


@frozen
class Row:
    """A figure of all runs.

    Attributes:
        key: its name in the report, by which expectations ask for it.
        label: its name for people.
        write: turns the figure of a run into text.
        is_bad: tells whether the figure of a run calls for attention.
    """

    key: str
    label: str
    write: Callable[[Run], str] = field(kw_only=True)
    is_bad: Callable[[Run], bool] = field(kw_only=True, default=lambda _: False)


def figures(runs: Sequence[Run], expectations: Sequence[Mapping[str, Any]]) -> Markup:
    """Write the figures of all runs, side by side; those that failed expectations stand out."""
    failed = {(each["run"], each["figure"]) for each in expectations if not each["met"]}
    groups = [
        ("Load", _load_rows()),
        ("Latency of answers", _latency_rows(runs)),
        ("Errors", _error_rows(runs)),
        ("Work saved", _saving_rows()),
    ]
    if any(any(run["errors"].values()) for run in runs):
        groups.insert(3, ("Latency of errors", _error_latency_rows(runs)))
    heads = (tag("th", _key(run), run["name"], scope="col") for run in runs)
    return tag(
        "table",
        tag("caption", "Figures of each run", class_="unseen"),
        tag("thead", tag("tr", tag("th", "Figure", scope="col"), *heads)),
        *(_group(title, rows, runs, failed) for title, rows in groups),
        class_="figures",
    )


def expected(expectations: Sequence[Mapping[str, Any]]) -> Markup:
    """Write what was expected and what came of it; nothing if nothing was expected."""
    if not expectations:
        return Markup()
    failed = sum(not each["met"] for each in expectations)
    told = f"{failed} of {len(expectations)} failed" if failed else f"all {len(expectations)} met"
    heads = (tag("th", each, scope="col") for each in ("Expected", "Run", "Measured", "Outcome"))
    table = tag(
        "table",
        tag("caption", "Expectations and what came of them", class_="unseen"),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *map(_outcome, expectations)),
    )
    title = tag(
        "h2", "Expectations ", tag("span", told, class_="tag bad" if failed else "tag good")
    )
    return tag("section", title, tag("div", table, class_="card scroll"))


def _load_rows() -> Iterator[Row]:
    yield Row("seconds", "Duration", write=lambda run: seconds(run["seconds"]))
    yield Row("lookups", "Lookups", write=_count("lookups"))
    yield Row("unfinished", "Unfinished lookups", write=_count("unfinished"))
    yield Row("throughput", "Answers per second", write=_count("throughput_per_second"))
    yield Row("most_at_once", "Most at once", write=_count("most_at_once"))


def _latency_rows(runs: Sequence[Run]) -> Iterator[Row]:
    for name in _names(runs, "latency_seconds"):
        yield Row(name, name, write=_part("latency_seconds", name, seconds))


def _error_latency_rows(runs: Sequence[Run]) -> Iterator[Row]:
    for name in _names(runs, "error_latency_seconds"):
        write = _part("error_latency_seconds", name, seconds)
        yield Row(f"error {name}", name, write=write)


def _error_rows(runs: Sequence[Run]) -> Iterator[Row]:
    yield Row("errors", "All errors", write=_all_errors)
    for name in _names(runs, "errors"):
        label = name.replace("_", " ").capitalize()
        yield Row(
            name, label, write=_part("errors", name, number), is_bad=_part("errors", name, bool)
        )
    yield Row("rejected", "Rejected, as it should be", write=_share("rejected"))


def _saving_rows() -> Iterator[Row]:
    yield Row("cache_hits", "Answered from the cache", write=_share("cache_hits"))
    yield Row("joined", "Joined a call under way", write=_share("joined"))
    yield Row("upstream_calls", "Upstream calls", write=_count("upstream_calls"))
    yield Row("upstream_calls_per_token", "… per token", write=_count("upstream_calls_per_token"))


def _count(key: str) -> Callable[[Run], str]:
    return lambda run: number(run[key])


def _part(key: str, name: str, read: Callable[[Any], T]) -> Callable[[Run], T]:
    return lambda run: read(run[key].get(name))


def _share(key: str) -> Callable[[Run], str]:
    return lambda run: with_share(run[key], run["lookups"])


def _all_errors(run: Run) -> str:
    return with_share(sum(run["errors"].values()), run["lookups"])


def _names(runs: Sequence[Run], key: str) -> Iterable[str]:
    """Give the names that any run has there, in the order in which they first appear."""
    return dict.fromkeys(name for run in runs for name in run[key])


def _group(
    title: str, rows: Iterable[Row], runs: Sequence[Run], failed: set[tuple[str, str]]
) -> Markup:
    head = tag("tr", tag("th", title, scope="rowgroup", colspan=len(runs) + 1, class_="group"))
    return tag("tbody", head, *(_row(row, runs, failed) for row in rows))


def _row(row: Row, runs: Sequence[Run], failed: set[tuple[str, str]]) -> Markup:
    return tag("tr", tag("th", row.label, scope="row"), *(_cell(row, run, failed) for run in runs))


def _cell(row: Row, run: Run, failed: set[tuple[str, str]]) -> Markup:
    if (run["name"], row.key) in failed:
        mark = tag("span", f"✗{SPACE}", tag("span", "failed: ", class_="unseen"), class_="mark")
        return tag("td", mark, row.write(run), class_="bad")
    return tag("td", row.write(run), class_="bad" if row.is_bad(run) else None)


def _key(run: Run) -> Markup:
    line = tag("path", d="M0 6H26", class_=f"line {look(run)}")
    return tag("svg", line, class_="swatch", aria_hidden="true")


def _outcome(expectation: Mapping[str, Any]) -> Markup:
    outcome = (f"✓{SPACE}met", "good") if expectation["met"] else (f"✗{SPACE}failed", "bad")
    return tag(
        "tr",
        tag("th", expectation["text"], scope="row"),
        tag("td", expectation["run"]),
        tag("td", expectation["measured"]),
        tag("td", outcome[0], class_=outcome[1]),
        class_=None if expectation["met"] else "failed",
    )
