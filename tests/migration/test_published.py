"""One app, one scripted proxy, the published package and this one.

A difference is a row of docs/migration.md, or an error.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

import anyio
import attrs
import pytest

import oxaigen_auth
from benchmarks.harness import NotMeasuredError
from benchmarks.package_process import published_python
from tests.migration import answer_cases, request_cases, use_cases
from tests.migration.case import Case, Differs, differs
from tests.migration.exchange import Result, ScriptedProxy, app_of, exchange, scripted_proxy
from tests.support.paths import ROOT
from tests.support.tokens import MARK

PAGE = (ROOT / "docs/migration.md").read_text()
ROWS = re.findall(r"^\| (.+)$", PAGE, re.MULTILINE)
LAXER = PAGE.partition("## Where this package accepts more")[2].partition("\n## ")[0]

OPTIONS = {
    "OXAIGEN_AUTH_PROXY_TIMEOUT_SECONDS": "2",
    "OXAIGEN_AUTH_BREAKER": "0",  # many answers are failures
}
FIXED = {"OXAIGEN_AUTH_PROXY_URL_OVERRIDE": "{proxy}"}
DEV = {"OXAIGEN_AUTH_DEV_MODE": "Yes", "OXAIGEN_AUTH_DEV_PROXY_URL": "{proxy}/"}
UNCACHED = {
    "OXAIGEN_AUTH_ACCESS_TOKEN_COOKIE_NAME": "my_token",
    "OXAIGEN_AUTH_CACHE_TTL_SECONDS": "0",
    "OXAIGEN_AUTH_NEGATIVE_CACHE_TTL_SECONDS": "0",
}
SUITES: dict[str, tuple[dict[str, str], list[Case]]] = {
    "requests": (
        FIXED,
        [*request_cases.CREDENTIALS, *request_cases.CROSS_SITE, *request_cases.WEBSOCKETS],
    ),
    "answers": (
        FIXED,
        [
            *answer_cases.REJECTIONS,
            *answer_cases.PERMISSIONS,
            *answer_cases.FAILURES,
            *answer_cases.PROFILES,
        ],
    ),
    "use": (FIXED, [*use_cases.RESPONSES, *use_cases.OVERRIDES, *use_cases.CODE]),
    "hosts": ({"OXAIGEN_AUTH_PROXY_SCHEME": "http"}, request_cases.HOSTS),
    "variables": (DEV | UNCACHED, request_cases.VARIABLES),
    "blank override": (
        DEV | {"OXAIGEN_AUTH_PROXY_URL_OVERRIDE": " "},
        request_cases.BLANK_OVERRIDE,
    ),
}
PACKAGE = Case("the package", "/package", headers=())
CASES = [case for _, cases in SUITES.values() for case in cases]


def rows_of(case: Case) -> list[str]:
    assert case.difference
    return [row for row in ROWS if row.startswith(case.difference.row)]


def faults_of(case: Case, published: Result, ours: Result) -> list[str]:
    """Return how two results contradict the page."""
    names = [field.name for field in attrs.fields(Result)]
    seen = {it: getattr(ours, it) for it in names if getattr(ours, it) != getattr(published, it)}
    expected = case.difference.ours if case.difference else {}
    faults = []
    if seen != expected:
        faults.append(f"{case.name}: {published} became {ours}, expected {expected or 'the same'}")
    if ours.is_admitted and not published.is_admitted and not _may_admit(case):
        faults.append(f"{case.name}: admitted, but not by the published package")
    return faults


def _may_admit(case: Case) -> bool:
    return case.difference is not None and f"| {rows_of(case)[0]}\n" in LAXER


@pytest.fixture(scope="module")
def published() -> str:
    try:
        return published_python()
    except NotMeasuredError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


async def results_of(
    case: Case, number: int, ports: dict[str, int], proxy: ScriptedProxy
) -> dict[str, Result]:
    results: dict[str, Result] = {}

    async def run(name: str, port: int) -> None:
        results[name] = await exchange(port, proxy, case, f"{MARK}-{name}-{number}.")

    async with anyio.create_task_group() as group:
        for name, port in ports.items():
            group.start_soon(run, name, port)
    return results


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("suite", SUITES)
async def test_every_difference_is_a_row_of_the_page_and_none_admits_more(
    suite: str, published: str
) -> None:
    variables, cases = SUITES[suite]
    faults: list[str] = []
    async with scripted_proxy() as proxy:
        environ = {k: v.replace("{proxy}", proxy.url) for k, v in (OPTIONS | variables).items()}
        with app_of(published, environ) as theirs, app_of(sys.executable, environ) as ours:
            ports = {"published": theirs, "ours": ours}
            packages = await results_of(PACKAGE, 0, ports, proxy)
            assert packages["published"].body.startswith(str(Path(published).parents[1]))
            assert packages["ours"].body == oxaigen_auth.__file__
            for number, case in enumerate(cases, 1):
                results = await results_of(case, number, ports, proxy)
                faults += faults_of(case, results["published"], results["ours"])
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("difference", "published", "ours", "faults"),
    [
        (None, Result(200, "a"), Result(200, "a"), 0),
        (None, Result(200, "a"), Result(200, "b"), 1),
        (None, Result(401, "a"), Result(200, "a"), 2),
        (differs("token rejected (401)", body="b"), Result(200, "a"), Result(200, "b"), 0),
        (differs("token rejected (401)", body="b"), Result(200, "a"), Result(200, "c"), 1),
        (differs("token rejected (401)", body="b"), Result(200, "b"), Result(200, "b"), 1),
        (differs("token rejected (401)", body="b"), Result(200, "a"), Result(401, "b"), 1),
        (differs("token rejected (401)", status=200), Result(401, "a"), Result(200, "a"), 1),
        (differs("WebSocket routes", status=101), Result(500, "a"), Result(101, "a"), 0),
        (
            differs("token rejected (401)", body={"user": "a"}),
            Result(200, {"user": None}),
            Result(200, {"user": "a"}),
            1,
        ),
    ],
)
def test_a_contradiction_of_the_page_is_reported(
    difference: Differs | None, published: Result, ours: Result, faults: int
) -> None:
    assert len(faults_of(Case("it", difference=difference), published, ours)) == faults


def test_each_case_has_a_name_of_its_own_and_names_one_row() -> None:
    assert len(CASES) >= 100
    assert not [name for name, times in Counter(it.name for it in CASES).items() if times > 1]
    for case in CASES:
        assert case.difference is None or len(rows_of(case)) == 1, case
