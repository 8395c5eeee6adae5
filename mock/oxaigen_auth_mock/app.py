"""Puts a mock together: one app, with the state of one mock."""

import time
from collections.abc import Callable, Iterable

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth_mock.asgi.middleware import Marked, PrivateNetworkPreflight, Recorded
from oxaigen_auth_mock.config.initial_state import build_initial_state
from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.control import MockControl
from oxaigen_auth_mock.identity_provider.base import Provider, StaticProvider
from oxaigen_auth_mock.identity_provider.strict import StrictProvider
from oxaigen_auth_mock.journal.clock import Changes, Clock
from oxaigen_auth_mock.journal.journal import Journal
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import PersonaStore
from oxaigen_auth_mock.routes.login import login_router, route_of
from oxaigen_auth_mock.routes.session import sessions_router
from oxaigen_auth_mock.routes.token import add_checks
from oxaigen_auth_mock.state import MockProxy
from oxaigen_auth_mock.web import api
from oxaigen_auth_mock.web.pages import page_router

EXPOSED = ("Retry-After", "WWW-Authenticate", "X-Oxaigen-Mock")


class MockApp(FastAPI):
    """The endpoints, behind what every call passes; its `proxy` is the state of the mock."""

    def __init__(self, proxy: MockProxy) -> None:
        super().__init__(
            title="Oxaigen auth proxy (mock)",
            redirect_slashes=False,
            openapi_url="/_mock/api/openapi.json",
            docs_url=None,  # its page would load files from elsewhere
            redoc_url=None,
            exception_handlers=api.EXCEPTION_HANDLERS,
        )
        self.state.proxy = proxy
        self.state.control = MockControl(proxy)
        self._front = _front(super().__call__, proxy)
        add_checks(self)
        self.include_router(api.health_router)
        self.include_router(api.router)
        self.include_router(login_router(proxy.settings.authorize_path))
        self.include_router(sessions_router())
        self.include_router(page_router())

    @property
    def proxy(self) -> MockProxy:
        proxy: MockProxy = self.state.proxy
        return proxy

    @property
    def control(self) -> MockControl:
        control: MockControl = self.state.control
        return control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)


def create_app(
    settings: MockSettings | None = None,
    *,
    personas: Iterable[Persona] = (),
    clock: Callable[[], float] = time.time,
) -> MockApp:
    """Build a mock of its own: no two apps share counts or personas.

    Args:
        settings: None reads the environment.
        personas: whom it knows besides the built-in ones and those of the settings' file.
        clock: gives Unix time in seconds; tests in virtual time hand over `anyio.current_time`.

    Raises:
        MockConfigurationError: the environment, or a file that the settings name, holds what it
            may not.
    """
    settings = MockSettings.from_env() if settings is None else settings
    roster, faults = build_initial_state(settings, personas)
    changes, mock_clock = Changes(), Clock(clock)
    proxy = MockProxy(
        settings=settings,
        clock=mock_clock,
        changes=changes,
        roster=roster,
        provider=_provider(settings, roster, mock_clock),
        journal=Journal(mock_clock, changes),
        auto_login=settings.auto_login,
    )
    proxy.faults.replace(faults)
    return MockApp(proxy)


def _provider(settings: MockSettings, roster: PersonaStore, clock: Clock) -> Provider:
    if settings.strict:
        return StrictProvider(settings, roster, clock)
    return StaticProvider(settings, roster)


def _front(app: ASGIApp, proxy: MockProxy) -> ASGIApp:
    """Lay CORS around all of it; pages may control the mock only if their origins are listed.

    So it is with pages on the internet that ask to reach a private network: the browser's refusal
    is all that keeps them out where any origin will do.
    """
    recorded = Recorded(app, proxy, route_of(proxy.settings.authorize_path))
    anywhere = proxy.settings.cors_origins == ("*",)
    shared = CORSMiddleware(
        recorded,
        allow_origins=() if anywhere else proxy.settings.cors_origins,
        allow_origin_regex=".*" if anywhere else None,  # echoed: credentials rule out a plain *
        allow_credentials=True,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED,
    )

    cors = shared if anywhere else PrivateNetworkPreflight(shared)

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] == "http" and scope["path"].startswith("/_mock")
        await (recorded if own and anywhere else cors)(scope, receive, send)

    return Marked(routed, proxy.settings.allow_remote)
