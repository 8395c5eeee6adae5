"""The pytest plugin of oxaigen-auth: fixtures, and the marker `oxaigen`.

A module outside of the package, because pytest imports it in every run: the SDK is imported when a
fixture or the marker is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oxaigen_auth.testing import FakeProxy, SignIn
    from oxaigen_auth_mock import RunningMock

_MARKER = "oxaigen(user=None, *, permissions=[…], roles=[…], **profile)"
_APP = """\
@pytest.mark.oxaigen needs a fixture that returns the app; write

    @pytest.fixture
    def app():
        return my_app

or, without the marker, oxaigen_user(my_app, permissions=[…]) in the test."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{_MARKER}: sign this user in to the app of the fixture `app` (oxaigen-auth)"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and item.get_closest_marker("oxaigen"):
        item.fixturenames.append("_oxaigen_marked")


@pytest.fixture
def _oxaigen_marked(request: pytest.FixtureRequest, oxaigen_user: SignIn) -> None:
    marker: Any = request.node.get_closest_marker("oxaigen")
    try:
        app = request.getfixturevalue("app")
    except pytest.FixtureLookupError as error:
        if error.argname != "app":
            raise
        pytest.fail(_APP, pytrace=False)
    oxaigen_user(app, *marker.args, **marker.kwargs)


@pytest.fixture
def oxaigen_user() -> Iterator[SignIn]:
    """Signs a user in to an app until the test ends: `oxaigen_user(app, permissions=["audit"])`.

    The arguments and the result are those of `oxaigen_auth.testing.as_user`.
    """
    from oxaigen_auth.testing import as_user  # noqa: PLC0415

    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(as_user(*args, **options))


@pytest.fixture
def oxaigen_fresh() -> Iterator[None]:
    """New settings, a new default client and empty caches, for this test only."""
    from oxaigen_auth.testing import reset  # noqa: PLC0415

    reset()
    yield
    reset()


@pytest.fixture
def oxaigen_proxy() -> Iterator[FakeProxy]:
    """A `FakeProxy` that the default client asks during the test. The settings are read anew."""
    from oxaigen_auth.testing import FakeProxy  # noqa: PLC0415

    with FakeProxy().installed() as proxy:
        yield proxy


@pytest.fixture
def oxaigen_mock(monkeypatch: pytest.MonkeyPatch, oxaigen_fresh: None) -> Iterator[RunningMock]:
    """A mock on a free local port that the default client asks during the test.

    A thread serves it, so it works in synchronous and asynchronous tests.
    """
    del oxaigen_fresh
    from oxaigen_auth_mock import running_mock  # noqa: PLC0415

    with running_mock() as mock:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", mock.url)
        monkeypatch.setenv("OXAIGEN_AUTH_ENVIRONMENT", "test")  # production refuses a mock
        monkeypatch.delenv("OXAIGEN_AUTH_SHARED_STORE", raising=False)  # it may be in use elsewhere
        yield mock
