"""Assemble the mock: an app with the state, the routes and the middleware of one mock."""

import time
from collections.abc import Callable, Iterable

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount
from starlette.status import HTTP_503_SERVICE_UNAVAILABLE
from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth_mock.asgi.body_limit import BodyLimitMiddleware
from oxaigen_auth_mock.asgi.middleware import (
    JournalMiddleware,
    PrivateNetworkMiddleware,
    outer_middleware,
)
from oxaigen_auth_mock.config.initial_state import build_initial_state
from oxaigen_auth_mock.config.settings import MockSettings, log_warning
from oxaigen_auth_mock.control import MockControl
from oxaigen_auth_mock.identity_provider.static import StaticProvider
from oxaigen_auth_mock.identity_provider.strict import StrictProvider
from oxaigen_auth_mock.journal.clock import Clock
from oxaigen_auth_mock.journal.journal import ChangeFeed, Journal
from oxaigen_auth_mock.journal.warnings import Warnings
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.routes.login import (
    AUTHORIZE,
    SignInRoute,
    authorize,
    login_router,
    route_path,
)
from oxaigen_auth_mock.routes.session import session_router
from oxaigen_auth_mock.routes.token import token_router
from oxaigen_auth_mock.scenarios.model import Scenario
from oxaigen_auth_mock.state import MockState
from oxaigen_auth_mock.web import api
from oxaigen_auth_mock.web.pages import control_page_router

EXPOSED_HEADERS = ("Retry-After", "WWW-Authenticate", "X-Oxaigen-Mock")


class MockApp(FastAPI):
    """The ASGI app of one mock.

    Attributes:
        mock_state: the state of the mock.
        control: changes the mock while it runs.
    """

    def __init__(self, state: MockState, scenario: Scenario | None) -> None:
        super().__init__(
            title="Oxaigen auth proxy (mock)",
            redirect_slashes=False,
            openapi_url="/_mock/api/openapi.json",
            docs_url=None,  # its page would load files from other hosts
            redoc_url=None,
            exception_handlers=api.EXCEPTION_HANDLERS,
        )
        self.mock_state = self.state.mock = state
        self.control: MockControl = MockControl(state)
        if scenario is not None:
            self.control.play(scenario)
        self.state.control = self.control
        self._wrapped = _with_middleware(super().__call__, state)
        self.router.routes.extend(token_router.routes)  # faster than an included router
        self.include_router(api.health_router)
        self.include_router(api.router)
        self.include_router(login_router)
        path = route_path(state.settings.authorize_path)
        if path != AUTHORIZE:
            self.router.add_api_route(
                path, authorize, route_class_override=SignInRoute, include_in_schema=False
            )
        self.include_router(session_router)
        self.include_router(control_page_router())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._wrapped(scope, receive, send)


def create_app(
    settings: MockSettings | None = None,
    *,
    personas: Iterable[Persona] = (),
    clock: Callable[[], float] = time.time,
    warn: Callable[[str], object] = log_warning,
) -> MockApp:
    """Create a mock. Two mocks share nothing.

    Args:
        settings: None reads the environment.
        personas: personas besides the built-in ones and those of the settings' file.
        clock: returns Unix time in seconds; tests in virtual time pass `anyio.current_time`.
        warn: called once with each distinct problem of a sign-in, in a sentence.

    Raises:
        MockConfigurationError: an environment variable, or a file that the settings name, has an
            invalid value.
    """
    settings = MockSettings.from_env() if settings is None else settings
    store, faults, scenario = build_initial_state(settings, personas)
    changes, mock_clock = ChangeFeed(), Clock(clock)
    provider = (
        StrictProvider(settings, store, mock_clock)
        if settings.strict
        else StaticProvider(settings, store)
    )
    state = MockState(
        settings=settings,
        clock=mock_clock,
        changes=changes,
        personas=store,
        provider=provider,
        journal=Journal(mock_clock, changes),
        warnings=Warnings(warn),
        auto_login=settings.auto_login,
    )
    state.faults.replace(faults)
    return MockApp(state, scenario)


def unavailable_app(detail: str, *, allow_remote: bool) -> ASGIApp:
    """Create an app that answers every call with 503, in place of a mock with invalid files."""
    answer = JSONResponse({"detail": detail}, HTTP_503_SERVICE_UNAVAILABLE)
    return outer_middleware(Starlette(routes=[Mount("/", answer)]), allow_remote=allow_remote)


def _with_middleware(app: ASGIApp, state: MockState) -> ASGIApp:
    """Wrap the app in its middleware.

    With the default `*`, pages of any origin may call the proxy, but the control API gets no CORS
    headers, and pages on the internet are not allowed into a private network: without listed
    origins, only the browser's refusal keeps them out.
    """
    settings = state.settings
    journal = BodyLimitMiddleware(
        JournalMiddleware(app, state, route_path(settings.authorize_path))
    )
    any_origin = settings.cors_origins == ("*",)
    cors: ASGIApp = CORSMiddleware(
        journal,
        allow_origins=() if any_origin else settings.cors_origins,
        allow_origin_regex=".*" if any_origin else None,  # echoed: credentials rule out a plain *
        allow_credentials=True,
        allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED_HEADERS,
    )
    if not any_origin:
        return outer_middleware(PrivateNetworkMiddleware(cors), allow_remote=settings.allow_remote)

    async def without_cors_for_control(scope: Scope, receive: Receive, send: Send) -> None:
        is_control = scope["type"] == "http" and scope["path"].startswith("/_mock")
        await (journal if is_control else cors)(scope, receive, send)

    return outer_middleware(without_cors_for_control, allow_remote=settings.allow_remote)
