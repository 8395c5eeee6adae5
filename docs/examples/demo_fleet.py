"""A demo of a fleet: four workers of one app, which share what they know. Prints a table.

Run it with `just demo-fleet`, or `just demo-fleet --engine redis`. The exit status is 1 if a row of
the table differs from the expectation. The workers serve `fleet.py`, two of them on asyncio and two
on trio; a mock is the proxy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from attrs import define, field

from docs.examples.demo import server, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUESTS = 10_000
CALLERS = 16  # threads that send them
BACKENDS = ("asyncio", "trio", "asyncio", "trio")
SECRET = secrets.token_urlsafe(32)
NAMES = ("first", "cold", "revoked", "deleted", "slow", "known", "new", "newer")
TOKENS = {name: f"demo-{name}-token" for name in NAMES}
IDS = {name: number for number, name in enumerate(NAMES, 1)}
USERS = [{"name": name, "id": IDS[name], "token": TOKENS[name]} for name in NAMES]


def call(url: str, path: str, *, token: str = "", post: Any = None) -> tuple[int, Any]:
    """Send a GET request, or a POST request with JSON. Return the status and the JSON."""
    headers = {"Content-Type": "application/json", "X-Back-Channel-Secret": SECRET}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    with closing(_connection(url)) as http:
        if post is None:
            http.request("GET", path, headers=headers)
        else:
            http.request("POST", path, json.dumps(post), headers)
        response = http.getresponse()
        return response.status, json.loads(response.read() or "null")


def call_often(url: str, token: str, times: int) -> Counter[int]:
    """Send the same request many times over one connection, and count the statuses."""
    statuses: Counter[int] = Counter()
    with closing(_connection(url)) as http:
        for _ in range(times):
            http.request("GET", "/v1/me", headers={"Authorization": f"Bearer {token}"})
            response = http.getresponse()
            response.read()
            statuses[response.status] += 1
    return statuses


def _connection(url: str) -> HTTPConnection:
    return HTTPConnection(url.removeprefix("http://"), timeout=30)


@define(eq=False)
class Demo:
    """The URLs of the workers, the mock, and whether a row differed from the expectation."""

    stack: ExitStack
    personas: Path
    store: str
    mock: str = ""
    workers: list[str] = field(factory=list)
    processes: list[subprocess.Popen[str]] = field(factory=list)
    differs: bool = False

    def row(self, label: str, expected: str, got: str) -> None:
        same = expected == got
        self.differs |= not same
        print(f"{'   ' if same else 'NO '}{label:<58}{expected:<26}{got}", flush=True)

    def start_mock(self, port: str = "0") -> subprocess.Popen[str]:
        options = ["--port", port, "--latency", "0.05", "--personas", str(self.personas)]
        self.mock, process = self.stack.enter_context(server("oxaigen_auth_mock", *options))
        return process

    def start_worker(self, backend: str) -> tuple[str, subprocess.Popen[str]]:
        options = f"--workers 0 --worker-class {backend} --keep-alive 60 --bind 127.0.0.1:0"
        environment = {
            "OXAIGEN_AUTH_DEV_MODE": "1",
            "OXAIGEN_AUTH_DEV_PROXY_URL": self.mock,
            "OXAIGEN_AUTH_SHARED_STORE": self.store,
            "OXAIGEN_AUTH_SHARED_SECRET": SECRET,
            "BACK_CHANNEL_SECRET": SECRET,
        }
        return self.stack.enter_context(
            server("hypercorn", *options.split(), "fleet:app", **environment)
        )

    def start_workers(self) -> None:
        with ThreadPoolExecutor() as pool:
            started = list(pool.map(self.start_worker, BACKENDS))
        self.workers = [url for url, _ in started]
        self.processes = [process for _, process in started]
        self.each("first")  # the first call of a worker takes longer

    def each(self, name: str) -> str:
        """Return the statuses of a request to each worker."""
        statuses = (call(url, "/v1/me", token=TOKENS[name])[0] for url in self.workers)
        return " ".join(map(str, statuses))

    def revoke(self, name: str) -> None:
        call(self.mock, "/_mock/api/revocations", post={"token": TOKENS[name]})

    def calls(self, name: str) -> int:
        """Return how often the proxy was asked about a token. The mock lists fingerprints."""
        fingerprint = hashlib.sha256(TOKENS[name].encode()).hexdigest()[:12]
        tokens = call(self.mock, "/_mock/api/calls")[1]["tokens"]
        return int(tokens[fingerprint]["total"]) if fingerprint in tokens else 0

    def one_lookup(self) -> None:
        statuses: Counter[int] = Counter()
        with ThreadPoolExecutor(CALLERS) as pool:
            urls = self.workers * (CALLERS // len(self.workers))
            share = REQUESTS // CALLERS
            for counts in pool.map(lambda url: call_often(url, TOKENS["cold"], share), urls):
                statuses += counts
        self.row(
            f"{REQUESTS:,} requests with a token that no worker knows",
            f"{{200: {REQUESTS}}}, 1 call",
            f"{dict(statuses)}, {self.calls('cold')} call",
        )

    def sign_out(self) -> None:
        self.row("a user's requests to the four workers", "200 200 200 200", self.each("revoked"))
        self.revoke("revoked")
        call(self.workers[0], "/v1/sign-out", token=TOKENS["revoked"], post={})
        time.sleep(0.5)  # Redis tells the others within 0.1 s, unless the machine is busy
        self.row("… signed out at the first worker", "401 401 401 401", self.each("revoked"))
        before = self.each("deleted")
        self.revoke("deleted")
        call(self.workers[1], f"/back-channel/sign-out/{IDS['deleted']}", post={})
        time.sleep(0.5)
        self.row("another user, known to all workers", "200 200 200 200", before)
        self.row(
            "… deleted, as a service tells the second worker",
            "401 401 401 401",
            self.each("deleted"),
        )

    def kill_while_it_asks(self) -> None:
        """Kill the last worker while it holds the lease and waits for the proxy."""
        call(self.mock, "/_mock/api/faults", post={"kind": "latency", "seconds": 0.5, "times": 1})
        with ThreadPoolExecutor(1) as pool:
            victim = self.workers.pop()
            pool.submit(call, victim, "/v1/me", token=TOKENS["slow"])
            while not self.calls("slow"):
                time.sleep(0.01)
            self.processes.pop().kill()
            self.row(
                "a worker is killed while it asks the proxy: the others",
                "200 200 200",
                self.each("slow"),
            )

    def restart_proxy(self, process: subprocess.Popen[str]) -> None:
        call(self.workers[0], "/v1/me", token=TOKENS["known"])
        stop(process)
        self.row(
            "proxy stopped: a user whom one worker has seen", "200 200 200", self.each("known")
        )
        self.row("proxy stopped: a new user", "502 502 502", self.each("new"))
        self.start_mock(self.mock.rpartition(":")[2])
        self.row("proxy started again: the new user", "200 200 200", self.each("new"))

    def lose_store(self, fail: Callable[[], None]) -> None:
        fail()
        self.row("store lost: a user whom all know", "200 200 200", self.each("known"))
        self.row("store lost: a new user", "200 200 200", self.each("newer"))


@contextmanager
def sqlite(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the setting for a store in this folder, and a function that loses it."""
    file = folder / "auth.db"

    def delete() -> None:
        for each in folder.glob(f"{file.name}*"):
            each.unlink()

    yield f"sqlite:///{file}", delete


@contextmanager
def redis(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Run Redis or Valkey, which listens at a Unix socket only; yield the same."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        sys.exit("The engine redis needs redis-server or valkey-server.")
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            while not socket.exists():
                time.sleep(0.01)
            yield f"unix://{socket}", process.kill
        finally:
            process.kill()


ENGINES = {"sqlite": sqlite, "redis": redis}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a demo of a fleet of workers.")
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    engine = ENGINES[parser.parse_args().engine]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))  # private: only its owner enters
        store, lose = stack.enter_context(engine(folder))
        personas = folder / "personas.json"
        personas.write_text(json.dumps({"personas": USERS}))
        demo = Demo(stack, personas, store)
        mock = demo.start_mock()
        demo.start_workers()
        print(f"Four workers share {store}; the mock proxy is at {demo.mock}.")
        print(
            "Each row has the statuses of one request to each worker. A call is one to the proxy.\n"
        )
        print(f"   {'':<58}{'expected':<26}actual")
        demo.one_lookup()
        demo.sign_out()
        demo.kill_while_it_asks()
        demo.restart_proxy(mock)
        demo.lose_store(lose)
    print("\nSome rows differ from the expectation." if demo.differs else "\nAll as expected.")
    sys.exit(demo.differs)


if __name__ == "__main__":
    main()
