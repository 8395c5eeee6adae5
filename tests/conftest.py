"""Runs every async test on both backends, and resets process-wide state after each test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from oxaigen_auth.testing import reset

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long an example takes depends on the load of the machine. Extends the profile in force.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

pytest_plugins = ["tests.support.leftovers", "tests.support.token_leaks"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="run simulations and fuzzers in their long form"
    )


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether simulations and fuzzers run in their long form."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, {}


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ours = [name for name in os.environ if name.startswith("OXAIGEN_AUTH_")]
    for name in [*ours, "OXAIGEN_AUTH_DEV_MODE"]:
        monkeypatch.delenv(name, raising=False)
    yield
    reset()
