"""The page about spans and metrics, its example, and the dashboard agree."""

from __future__ import annotations

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from oxaigen_auth.observers import Accepted, Question, Unavailable
from oxaigen_auth_mock import MockSettings, running_mock
from oxaigen_auth_mock.server.sockets import listen
from tests.support.paths import ROOT
from tests.support.processes import started
from tests.support.telemetry import Telemetry
from tests.support.telemetry import telemetry as telemetry  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = ROOT / "docs/examples/metrics"
PAGE = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8")
TIMEOUT = 60.0  # seconds


def section(title: str) -> str:
    return re.split(r"^#+ ", PAGE.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table in a section, without its head."""
    lines = re.findall(r"^\|([^-].*)\|$", section(title), re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines[1:]]


def get(url: str, token: str = "") -> str:
    request = Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 (our own server)
    with suppress(HTTPError), urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
        return str(response.read().decode())
    return ""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the example under hypercorn's command, call it, and return its page /metrics."""
    folder = tmp_path_factory.mktemp("store")
    with ExitStack() as stack:
        mock = stack.enter_context(running_mock(MockSettings(latency=0.3)))
        listener = stack.enter_context(listen())
        command = (sys.executable, "-m", "hypercorn", "--bind", f"fd://{listener.fileno()}")
        stack.enter_context(
            started(
                *(*command, "app:app"),
                cwd=EXAMPLE,
                env=os.environ
                | {
                    "OXAIGEN_AUTH_PROXY_URL_OVERRIDE": mock.url,
                    "OXAIGEN_AUTH_SHARED_STORE": f"sqlite:///{folder}/auth.db",
                },
                pass_fds=[listener.fileno()],
            )
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        get(f"{url}/metrics")  # the app has started
        tokens = ["mock-dev-token", "mock-dev-token", "mock-guest-token", "invalid"]
        with ThreadPoolExecutor(len(tokens)) as pool:
            list(pool.map(lambda token: get(f"{url}/v1/audit", token), tokens))
        mock.fault("status", status=500)
        get(f"{url}/v1/audit", "other")
        yield get(f"{url}/metrics")


def test_the_page_lists_each_metric_with_its_attributes(telemetry: Telemetry) -> None:
    question = Question(b"", "https://app.example.com")
    observer = telemetry.observer
    observer.on_start(question, "lookup", background=False)
    observer.on_coalesced(question, "lookup")
    observer.on_end(question, "lookup", Unavailable("no answer"))
    observer.on_miss(question)
    observer.on_result(question, Accepted(True))  # noqa: FBT003
    observer.on_refusal(question, "timeout")
    observer.on_shared_miss(question)
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: sorted(
            {key for point in metric.data.data_points for key in point.attributes or ()}
        )
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert {
        name[1:-1]: sorted(re.findall(r"`(.*?)`", it)) for name, _, it, _ in rows("Metrics")
    } == found


def test_the_example_exports_the_names_and_labels_of_the_page(exported: str) -> None:
    listed = rows("Prometheus")
    assert [name for name, _ in listed] == [name for name, *_ in rows("Metrics")]
    for _, names in listed:
        name, *labels = re.findall(r"(?<=[`{ ])\w+", names)
        lines = [line for line in exported.splitlines() if line.startswith(name)]
        assert lines, name
        for label in labels:
            assert any(f'{label}="' in line for line in lines), (name, label)


def test_the_dashboard_has_the_queries_of_the_page(exported: str) -> None:
    dashboard = json.loads((EXAMPLE / "dashboard.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    shown = [query.replace("$__rate_interval", "5m") for query in queries]
    for query in re.findall(r"`(.*?)`", " ".join(cells[1] for cells in rows("A dashboard"))):
        assert query in shown
    for query in shown:
        for name in re.findall(r"(?:rate|sum|max)\((oxaigen_auth_\w+)", query):
            assert f"\n{name}" in exported


def test_the_page_shows_the_essential_lines_of_the_example() -> None:
    (block,) = [
        it for it in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "Prometheus" in it
    ]
    example = (EXAMPLE / "app.py").read_text(encoding="utf-8")
    for part in re.split(r"\n{2,}", block.strip())[1:]:
        assert part in example
