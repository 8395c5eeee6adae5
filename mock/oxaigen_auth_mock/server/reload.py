"""Serves a mock that starts anew when its source, or a file that it was given, changes.

hypercorn's reloader does it: this process watches, and one that it spawns serves, told its settings
by the environment. That one imports this module and runs `app`.
"""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from types import ModuleType
from typing import Any, Final

from anyio import create_task_group, current_time, sleep
from attrs import define, evolve, field
from hypercorn.run import run
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.status import HTTP_404_NOT_FOUND, HTTP_503_SERVICE_UNAVAILABLE
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxaigen_auth_mock.app import create_app
from oxaigen_auth_mock.asgi.middleware import Marked
from oxaigen_auth_mock.cli.console import print_banner, print_errors
from oxaigen_auth_mock.config.settings import MockConfigurationError, MockSettings
from oxaigen_auth_mock.server.hypercorn import GRACE, EndingCalls, configuration
from oxaigen_auth_mock.server.sockets import base_url, host_and_port

POLL: Final = 0.1  # seconds
TELLING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
URLS: Final = "_OXAIGEN_AUTH_MOCK_URLS"  # tells the process that serves where it can be reached
MENDING: Final = "every call is answered with 503 until the files are mended"


def serve_reloading(settings: MockSettings, *listeners: socket.socket) -> int:
    """Watch and serve until SIGINT or SIGTERM; takes over the listeners.

    Returns:
        The exit status: 0 once it was told to stop, 1 when the mock ended by itself.
    """
    port = listeners[0].getsockname()[1]
    os.environ.update(evolve(settings, port=port).to_env())
    os.environ[URLS] = " ".join(base_url(each) for each in listeners)
    for path in filter(None, (settings.personas, settings.faults)):
        sys.modules[f"{__name__}:{path}"] = _Watched(path)
    config = configuration(listeners)
    config.application_path = f"{__name__}:app"
    config.worker_class = settings.backend
    config.use_reloader = True
    with _ending_at_signals(), _hearing() as signals:
        run(config)  # whose result is 0 even where the mock could not be started
        if any(os.read(signals, 100)):
            return 0
    print_errors("the mock ended by itself, for the reason above; mend that and start it again")
    return 1


class _Watched(ModuleType):
    """A file that is watched: hypercorn's reloader watches the `__file__` of every module.

    A file that is not there is not watched, so that its directory stands in for it: many editors
    write anew by removing first.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = Path(path).absolute()

    def __getattr__(self, name: str) -> Any:
        if name != "__file__":
            raise AttributeError(name)
        path = self._path
        while not os.path.exists(path):  # noqa: PTH110 - Path's raises where it may not look
            path = path.parent
        return str(path)


@contextmanager
def _ending_at_signals() -> Generator[None]:
    """End in silence at a signal that comes before hypercorn takes signals over; give them back."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = {each: signal.signal(each, end) for each in TELLING}
    try:
        yield
    finally:
        for each, action in before.items():
            signal.signal(each, action)


@contextmanager
def _hearing() -> Generator[int]:
    """Note signals, whoever minds them; gives a descriptor that has a byte for each, after a 0."""
    reading, writing = os.pipe()
    os.write(writing, b"\0")  # so that reading never waits
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def _is_over() -> bool:
    """Whether hypercorn has told this process to stop, or is gone itself.

    hypercorn waits for running calls without end, and tells nobody but its own server; pages that
    show live what happens keep a call running all day. So this looks at the event that hypercorn
    handed to the process; without one it is bound by `graceful_timeout`, where that is enough.
    """
    arguments = getattr(multiprocessing.current_process(), "_kwargs", {})
    told = arguments.get("shutdown_event")
    parent = multiprocessing.parent_process()
    return (told is not None and told.is_set()) or (parent is not None and not parent.is_alive())


@define(eq=False)
class ReloadedMock:
    """The mock of the environment, made when its server starts: importing it makes none.

    With mistakes in its files it stands in for the mock and says so, and the files stay watched.
    """

    _is_over: Callable[[], bool] = _is_over
    _exit: Callable[[int], object] = os._exit
    _calls: EndingCalls = field(init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._calls(scope, receive, send)
            return
        farewell: list[Message] = []

        async def hold_back(message: Message) -> None:
            """Let the server hear of the end at the end: hypercorn then cancels what still runs."""
            if message["type"] == "lifespan.shutdown.complete":
                farewell.append(message)
            else:
                await send(message)

        self._calls = EndingCalls(_started())
        async with create_task_group() as tasks:
            tasks.start_soon(self._end_when_over)
            await self._calls(scope, receive, hold_back)
            tasks.cancel_scope.cancel()
        for message in farewell:
            await send(message)

    async def _end_when_over(self) -> None:
        """End running calls, and at last the process, so that the next one can start."""
        while not self._is_over():  # noqa: ASYNC110 (another process tells)
            await sleep(POLL)
        self._calls.end_by(current_time() + GRACE)
        last = Timer(3 * GRACE, self._exit, (0,))
        last.daemon = True
        last.start()


def _started() -> ASGIApp:
    settings = MockSettings.from_env(warn=_ignore)
    try:
        mock = create_app(settings)
    except MockConfigurationError as error:
        print_errors(*error.problems, MENDING)
        return _stand_in(error, settings)
    here = f"http://{host_and_port(settings.host, settings.port)}"
    print_banner(os.environ.get(URLS, here).split(), mock.proxy)
    return mock


def _ignore(_warning: str) -> None:
    """Leave out a warning that the watching process has given already."""


def _stand_in(error: MockConfigurationError, settings: MockSettings) -> ASGIApp:
    async def refuse(_request: Request, _missing: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, HTTP_503_SERVICE_UNAVAILABLE)

    app = Starlette(exception_handlers={HTTP_404_NOT_FOUND: refuse})
    return Marked(app, settings.allow_remote)


app: ASGIApp = ReloadedMock()
