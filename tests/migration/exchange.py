"""Sends a request to the app of a package, and returns what the caller and the proxy see."""

from __future__ import annotations

import json
import socket
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field, frozen
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.processes import started
from tests.support.raw_server import RawServer, answer, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from tests.migration.case import Case

TIMEOUT = 60.0  # seconds: more than any answer takes, however busy the machine
UNKNOWN = answer(401, b'{"detail": "Invalid token"}')

FOLDER = str(Path(__file__).parent.parent)


@frozen
class Result:
    """What a request led to."""

    status: int
    body: Any
    challenge: str | None = None
    retry_after: str | None = None
    calls: tuple[str, ...] = ()

    @property
    def is_admitted(self) -> bool:
        """Whether the request got more than an error or the answer for nobody."""
        is_nobody = isinstance(self.body, dict) and self.body.get("user", "") is None
        return self.status < 400 and not is_nobody


@define(eq=False)
class ScriptedProxy:
    """A proxy whose answers depend on the token."""

    cases: dict[str, Case] = field(factory=dict)
    calls: dict[str, list[str]] = field(factory=dict)
    url: str = ""

    async def respond(self, request: bytes) -> bytes | None:
        head = request.decode("latin-1")
        method, path, _ = head.split(" ", 2)
        token = head.partition("Bearer ")[2].partition("\r\n")[0]
        self.calls.setdefault(token, []).append(f"{method} {path}")
        if (case := self.cases.get(token)) is None:
            return UNKNOWN
        await anyio.sleep(case.delay)
        return case.user if path.endswith("/get-me") else case.permission


@asynccontextmanager
async def scripted_proxy() -> AsyncGenerator[ScriptedProxy]:
    proxy = ScriptedProxy()
    server: RawServer
    async with serving(proxy.respond) as server:
        proxy.url = server.url
        yield proxy


@contextmanager
def app_of(python: str, environ: Mapping[str, str]) -> Iterator[int]:
    """Serve the app with the package of a Python interpreter, and return the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        number = listener.fileno()
        # -P: the working directory has this package.
        run = ["-P", "-m", "uvicorn", "migration.app:app", "--app-dir", FOLDER, "--fd", str(number)]
        options = ["--http", "h11", "--ws", "websockets-sansio", "--log-level", "critical"]
        with started(python, *run, *options, env=environ, pass_fds=[number]):
            yield listener.getsockname()[1]


async def exchange(port: int, proxy: ScriptedProxy, case: Case, token: str) -> Result:
    """Send the request of a case, as often as it says, and return the last result."""
    proxy.cases[token] = case
    send = _connect if case.path.endswith("/ws") else _request
    fill = partial(case.fill, token=token, proxy=proxy.url)
    with anyio.fail_after(TIMEOUT):
        for _ in range(case.times - 1):
            await send(port, case, fill)
        result = await send(port, case, fill)
    calls = tuple(it for key, made in proxy.calls.items() if token in key for it in made)
    return Result(**result, calls=calls)


async def _request(port: int, case: Case, fill: Any) -> dict[str, Any]:
    lines = [f"{case.method} {case.path} HTTP/1.1", *case.head(), "Connection: close", "", ""]
    data = b""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(fill("\r\n".join(lines)).encode("latin-1") + case.body)
        async for part in stream:
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    headers = dict(it.split(": ", 1) for it in rest)  # uvicorn writes names in lower case
    return {
        "status": int(line.split()[1]),
        "body": _value(body.decode(), fill("{token}"), fill("{proxy}")),
        "challenge": headers.get("www-authenticate"),
        "retry_after": headers.get("retry-after"),
    }


async def _connect(port: int, case: Case, fill: Any) -> dict[str, Any]:
    headers = [tuple(fill(line).split(": ", 1)) for line in case.headers]
    try:
        async with connect(f"ws://127.0.0.1:{port}{case.path}", additional_headers=headers) as ws:
            return {"status": 101, "body": json.loads(await ws.recv())}
    except InvalidStatus as error:
        return {"status": error.response.status_code, "body": None}


def _value(body: str, token: str, proxy: str) -> Any:
    text = body.replace(token, "{token}").replace(proxy, "{proxy}")
    try:
        return json.loads(text)
    except ValueError:
        return text
