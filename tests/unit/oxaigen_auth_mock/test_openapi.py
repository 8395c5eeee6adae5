"""The mock keeps what its OpenAPI document promises: schemathesis makes up calls and checks."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings

from oxaigen_auth_mock import MockSettings, create_app, running_mock

schemathesis = pytest.importorskip("schemathesis", reason="the group `openapi` is not installed")

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "12"))
BEYOND_SCHEMAS = [schemathesis.checks.positive_data_acceptance]  # a state is signed, a code issued
ENDLESS = "/_mock/api/events"


@pytest.fixture(params=["asyncio", "asyncio strict", "trio"], scope="module")
def mock(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Serve a mock from a thread; gives its handle and its loop's portal."""
    backend, _, strict = request.param.partition(" ")
    with (
        start_blocking_portal(backend) as portal,
        portal.wrap_async_context_manager(
            running_mock(MockSettings(strict=bool(strict), forbidden_token="no"))
        ) as handle,
    ):
        yield handle, portal


OPERATIONS = [
    (method, path)
    for path, methods in create_app(MockSettings()).openapi()["paths"].items()
    for method in methods
    if path != ENDLESS
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_documented(mock: Any, method: str, path: str) -> None:
    handle, portal = mock
    document = schemathesis.openapi.from_url(f"{handle.url}/_mock/api/openapi.json")

    @given(document[path][method].as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
    )
    def hold_it_to_that(case: Any) -> None:
        portal.call(handle.reset)  # a fault that the last call placed would answer this one
        case.call_and_validate(excluded_checks=BEYOND_SCHEMAS)

    hold_it_to_that()
