"""A mock for tests, served on a real socket while a block runs."""

import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial, wraps
from typing import Any, cast

from anyio import AsyncContextManagerMixin, ContextManagerMixin
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import define, field

from oxaigen_auth_mock.app import create_app
from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.control import MockControl
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen, port_of
from oxaigen_auth_mock.server.tls import temporary_certificate


@define(eq=False)
class RunningMock(MockControl):
    """Control a mock that is served at `url`, which has no trailing slash.

    Attributes:
        ca_file: path of the certificate that clients have to trust; None without TLS.
    """

    url: str = field(kw_only=True)
    ca_file: str | None = field(default=None, kw_only=True)


class running_mock(AsyncContextManagerMixin, ContextManagerMixin):  # noqa: N801 - used as a function
    """Serve a mock on a free loopback port, with `async with` or with `with`.

    `async with` serves it on the running event loop. The block may end in another task than it
    began in, as fixtures do. `with` is for synchronous tests: it serves the mock in a thread, on
    the event loop that `settings.backend` names, and runs each method of the handle in that thread.

    Unlike `create_app`, it does not read the environment. At the end of the block, running calls
    have half a second to finish.

    Args:
        settings: None for the defaults; `host` and `port` are ignored.
        personas: personas besides the built-in ones.
        clock: returns Unix time in seconds, by which issued codes and tokens expire.

    Raises:
        MockConfigurationError: a file that the settings name is invalid.
        ModuleNotFoundError: the settings ask for TLS without the extra `tls`.

    >>> import anyio, httpx
    >>> async def call_twice():
    ...     async with running_mock() as mock, httpx.AsyncClient(base_url=mock.url) as client:
    ...         headers = {"Authorization": "Bearer mock-dev-token"}
    ...         before = await client.get("/_oxa_auth/get-me", headers=headers)
    ...         mock.revoke("mock-dev-token")
    ...         after = await client.get("/_oxa_auth/get-me", headers=headers)
    ...         return before.status_code, after.status_code, len(mock.calls(endpoint="get-me"))
    >>> anyio.run(call_twice, backend="trio")
    (200, 401, 2)
    >>> with running_mock() as mock:
    ...     httpx.get(f"{mock.url}/health").status_code
    200
    """

    def __init__(
        self,
        settings: MockSettings | None = None,
        *,
        personas: Iterable[Persona] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings or MockSettings()
        self._personas = tuple(personas)
        self._clock = clock

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[RunningMock]:
        with listen() as listener, ExitStack() as stack:
            settings = self._settings.model_copy(update={"port": port_of(listener)})
            app = create_app(settings, personas=self._personas, clock=self._clock)
            certificate = (
                stack.enter_context(temporary_certificate("localhost")) if settings.tls else None
            )
            async with serving(app, listener, certificate=certificate) as url:
                ca_file = certificate.ca_file if certificate else None
                yield RunningMock(app.mock_state, url=url, ca_file=ca_file)

    @contextmanager
    def __contextmanager__(self) -> Generator[RunningMock]:
        with (
            start_blocking_portal(self._settings.backend) as portal,
            portal.wrap_async_context_manager(self) as mock,
        ):
            yield cast("RunningMock", _HandleInThread(mock, portal))


@define(eq=False)
class _HandleInThread:
    """The handle of a mock whose event loop runs in another thread."""

    _handle: RunningMock
    _portal: BlockingPortal

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the handle, or a method that runs in the mock's thread."""
        attribute = getattr(self._handle, name)
        if not callable(attribute):
            return attribute

        @wraps(attribute)
        def run_in_thread(*args: Any, **kwargs: Any) -> Any:
            return self._portal.call(partial(attribute, *args, **kwargs))

        return run_in_thread
