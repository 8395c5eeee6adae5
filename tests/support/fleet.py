"""Runs a fleet: several worker processes of `docs/examples/fleet.py`, and the mock that they ask.

Each worker has a port of its own, so that a test can ask every one of them. Everything is on the
loopback interface, and each process ends with the block that started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from itertools import cycle
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
from attrs import define, field

from tests.support.example_servers import free_port
from tests.support.hosts import HERE, Host
from tests.support.paths import ROOT
from tests.support.processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_TIMEOUT = 60.0  # seconds: more than a process needs, however busy the machine
EMPTY: Mapping[str, str] = MappingProxyType({})
SECRET = {"X-Back-Channel-Secret": "the secret of the tests"}

# Each serves the app with one process, or with one worker below a parent.
SERVERS = {
    "asyncio": "hypercorn --workers 0 --bind {host}:{port}",
    "trio": "hypercorn --workers 0 --worker-class trio --bind {host}:{port}",
    "uvicorn": "uvicorn --no-access-log --log-level error --host {host} --port {port}",
    "granian": "granian --interface asgi --log-level error --host {host} --port {port}",
}
# Each serves it with two workers on one port.
SHARED_PORT = {
    f"{name} with two workers": command.replace("--workers 0 ", "") + " --workers 2"
    for name, command in SERVERS.items()
}
EIGHT = ("asyncio", "trio", "uvicorn", "granian") * 2


@define(eq=False)
class Server:
    """A process that serves HTTP at `url`."""

    url: str
    process: subprocess.Popen[bytes]
    http: httpx.Client = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, timeout=START_TIMEOUT)

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.http.get("/health").raise_for_status()
            except httpx.TransportError:
                assert self.process.poll() is None, "the server has ended"
                assert time.monotonic() < end, "the server did not start"
                time.sleep(0.05)
            else:
                return

    def end(self) -> None:
        """Kill the process and those that it started."""
        self.http.close()
        kill_group(self.process.pid)
        self.process.wait()


@define(eq=False)
class Worker(Server):
    """One worker of the app. Under granian, its parent is another process."""

    def stats(self) -> dict[str, int]:
        """Return the counts of the worker's client, and its `pid`."""
        answer = self.http.get("/back-channel/worker", headers=SECRET).raise_for_status()
        counts: dict[str, int] = answer.json()
        return counts

    def sign_out(self, token: str) -> None:
        self.http.post("/v1/sign-out", headers=bearer(token)).raise_for_status()


@define(eq=False)
class Mock:
    """The mock proxy in a process of its own, with numbered users; it can be started again."""

    personas: Path
    latency: float
    host: Host
    port: int = field(factory=free_port, init=False)
    server: Server = field(init=False)

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{self.port}"

    def start(self) -> None:
        command = ["oxaigen_auth_mock", "--host", self.host.address, "--port", str(self.port)]
        command += ["--allow-remote"] if self.host.namespace else []
        command += ["--personas", str(self.personas), "--latency", str(self.latency)]
        self.server = Server(self.url, _start(command, self.host, stdout=subprocess.DEVNULL))
        self.server.wait_until_ready()

    def end(self) -> None:
        """Kill the mock. What was counted and revoked is lost."""
        self.server.end()

    def calls(self, token: str | None = None) -> int:
        """Return how often the proxy was asked who the user is, in total or for one token."""
        report = self._api("GET", "calls").json()
        if token is not None:
            report = report["tokens"].get(sha256(token.encode()).hexdigest()[:12], {})
        return int(report.get("endpoints", {}).get("get-me", 0))

    def clear_calls(self) -> None:
        self._api("DELETE", "calls")

    def revoke(self, token: str) -> None:
        self._api("POST", "revocations", json={"token": token})

    def delay(self, seconds: float) -> None:
        """Delay each answer from now on."""
        fault = {"kind": "latency", "distribution": "fixed", "seconds": seconds}
        self._api("PUT", "faults", json=[fault] if seconds else [])

    def _api(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.server.http.request(method, f"/_mock/api/{path}", **options).raise_for_status()


def token_of(user: int) -> str:
    return f"fleet-token-{user}"


def user_id_of(user: int) -> int:
    return 1000 + user


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def mock_process(
    folder: Path, *, users: int = 100, latency: float = 0, host: Host = HERE
) -> Iterator[Mock]:
    """Run a mock that knows the tokens of this many users."""
    personas = [
        {"name": f"user{it}", "id": user_id_of(it), "token": token_of(it)} for it in range(users)
    ]
    file = folder / "personas.json"
    file.write_text(json.dumps({"personas": personas}))
    mock = Mock(file, latency, host)
    mock.start()
    try:
        yield mock
    finally:
        mock.end()


@contextmanager
def fleet(
    servers: Sequence[str],
    mock: Mock,
    settings: Mapping[str, str] = EMPTY,
    *,
    places: Sequence[Host] = (HERE,),
) -> Iterator[list[Worker]]:
    """Run a worker for each name of `SERVERS` or `SHARED_PORT`, with these settings of the SDK.

    `places` are the hosts, in turn.
    """
    settings = {**settings, "DEV_MODE": "1", "DEV_PROXY_URL": mock.url}
    with ExitStack() as stack:
        workers = []
        for server, host in zip(servers, cycle(places), strict=False):
            port = free_port()
            command = (SERVERS | SHARED_PORT)[server].format(host=host.address, port=port).split()
            process = _start([*command, "docs.examples.fleet:app"], host, settings)
            workers.append(Worker(f"http://{host.address}:{port}", process))
            stack.callback(workers[-1].end)
        for worker in workers:
            worker.wait_until_ready()
        yield workers


def _start(
    command: Sequence[str],
    host: Host,
    settings: Mapping[str, str] = EMPTY,
    *,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    ours = {name: it for name, it in os.environ.items() if not name.startswith("OXAIGEN_AUTH_")}
    return subprocess.Popen(  # noqa: S603 (our own code)
        [*host.prefix, sys.executable, "-m", *command],
        cwd=ROOT,
        env={
            **ours,
            "BACK_CHANNEL_SECRET": SECRET["X-Back-Channel-Secret"],
            **{f"OXAIGEN_AUTH_{name}": value for name, value in settings.items()},
        },
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        start_new_session=True,
    )
