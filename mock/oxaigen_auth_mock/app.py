"""Puts a mock together: one app, with the state of one mock."""

from fastapi import FastAPI

from oxaigen_auth_mock.checks import checks_router
from oxaigen_auth_mock.control import control_router
from oxaigen_auth_mock.proxy import MockProxy
from oxaigen_auth_mock.settings import MockSettings


def create_app(settings: MockSettings | None = None) -> FastAPI:
    """Build a mock of its own: no two apps share counts or personas.

    Args:
        settings: None reads the environment.

    Raises:
        MockConfigurationError: the environment holds what it may not.
    """
    app = FastAPI(title="Oxaigen auth proxy (mock)", redirect_slashes=False)
    app.state.proxy = MockProxy(MockSettings.from_env() if settings is None else settings)
    app.include_router(checks_router())
    app.include_router(control_router())
    return app
