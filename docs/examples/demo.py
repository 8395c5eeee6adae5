"""A demo of the SDK with a mock proxy and an app, over real sockets. Prints a table.

Run it with `just demo`, or `just demo --backend asyncio`. The exit status is 1 if a row of the
table differs from the expectation.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from attrs import define

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
else:
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx

HERE = Path(__file__).parent
GOOD, COLD, UNKNOWN = "mock-dev-token", "demo-cold-token", "demo-unknown-token"
BURST = 1000
COOKIE = "OxaigenPlatformAuthAccessToken"

# Runs a module as `python -m` does, and ends when stdin is closed, because the demo has ended.
LAUNCH = """
import os, runpy, signal, sys, threading
def end():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=end, daemon=True).start()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@contextmanager
def server(*command: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a server that prints its URL, and yield the URL and the process."""
    with subprocess.Popen(  # noqa: S603 (our own commands)
        [sys.executable, "-c", LAUNCH, *command],
        cwd=HERE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield _wait_for_url(process), process
        finally:
            stop(process)


def _wait_for_url(process: subprocess.Popen[str]) -> str:
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if match := re.search(r"(?:Listening|Running) on (http://\S+)", line):
            return match[1]
    raise SystemExit(f"A server did not start. Its output:\n{''.join(lines)}")


def stop(process: subprocess.Popen[str]) -> None:
    """Terminate a server; kill it after ten seconds."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


@define
class Demo:
    """The app, its mock, and whether a row differed from the expectation."""

    http: httpx.AsyncClient
    app: str
    mock: str
    differs: bool = False

    def row(self, label: str, expected: str, got: str) -> None:
        same = expected == got
        self.differs |= not same
        print(f"{'   ' if same else 'NO '}{label:<38}{expected:<34}{got}", flush=True)

    async def get(self, path: str, token: str = "", cookie: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
        return await self.http.get(f"{self.app}{path}", headers=headers)

    async def upstream_calls(self, token: str) -> int:
        """Return the number of calls for a token. The mock lists tokens by fingerprint."""
        calls = (await self.http.get(f"{self.mock}/_mock/api/calls")).json()
        fingerprint = hashlib.sha256(token.encode()).hexdigest()[:12]
        return int(calls["tokens"][fingerprint]["endpoints"]["get-me"])

    async def answers(self) -> None:
        """Show the responses to each kind of caller."""
        r = await self.get("/v1/me")
        self.row("no token", "401 Bearer", f"{r.status_code} {r.headers['www-authenticate']}")
        r = await self.get("/v1/me", GOOD)
        self.row("good token", "200 devuser", f"{r.status_code} {r.json().get('user_name')}")
        r = await self.get("/v1/me", cookie=GOOD)
        self.row(
            "cookie instead of header",
            "200 devuser",
            f"{r.status_code} {r.json().get('user_name')}",
        )
        r = await self.get("/v1/audit", GOOD)
        self.row(
            "permission granted", "200 dev@localhost", f"{r.status_code} {r.json().get('seen_by')}"
        )
        r = await self.get("/v1/billing", GOOD)
        self.row(
            "permission missing",
            "403 Missing permission: billing",
            f"{r.status_code} {r.json()['detail']}",
        )

    async def coalescing(self) -> None:
        """Show the number of calls to the proxy."""
        got = [(await self.get("/v1/me", UNKNOWN)).status_code for _ in range(2)]
        calls = await self.upstream_calls(UNKNOWN)
        self.row(
            "unknown token, twice", "[401, 401], 1 upstream call", f"{got}, {calls} upstream call"
        )
        statuses: Counter[int] = Counter()

        async def ask() -> None:
            statuses[(await self.get("/v1/me", COLD)).status_code] += 1

        async with anyio.create_task_group() as group:
            for _ in range(BURST):
                group.start_soon(ask)
        calls = await self.upstream_calls(COLD)
        self.row(
            f"{BURST} at once with one uncached token",
            f"{{200: {BURST}}}, 1 upstream call",
            f"{dict(statuses)}, {calls} upstream call",
        )

    async def outage(self) -> None:
        """Show the responses after the proxy has stopped."""
        r = await self.get("/v1/me", "demo-another-token")
        self.row(
            "mock stopped: protected route",
            "502 Auth service unavailable",
            f"{r.status_code} {r.json()['detail']}",
        )
        r = await self.get("/health")
        self.row("mock stopped: public route", "200 ok", f"{r.status_code} {r.json()['status']}")


async def run(app: str, mock: str, mock_process: subprocess.Popen[str]) -> bool:
    """Print the table, and return whether any row differs from the expectation."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60) as http:
        demo = Demo(http, app, mock)
        print(f"   {'':<38}{'expected':<34}actual")
        await demo.answers()
        await demo.coalescing()
        await anyio.to_thread.run_sync(stop, mock_process)
        await demo.outage()
    return demo.differs


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a demo of the SDK.")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="trio")
    backend = parser.parse_args().backend
    tokens = f"{GOOD},{COLD}"
    with server(
        "oxaigen_auth_mock", "--port", "0", "--latency", "0.05", OXAIGEN_AUTH_MOCK_TOKENS=tokens
    ) as (mock, mock_process):
        # In one process. On a busy machine, a burst of connections waits for a long time.
        options = f"--workers 0 --worker-class {backend} --keep-alive 60 --backlog 4096"
        command = ["hypercorn", *options.split(), "--bind", "127.0.0.1:0", "app:app"]
        with server(*command, OXAIGEN_AUTH_DEV_MODE="1", OXAIGEN_AUTH_DEV_PROXY_URL=mock) as (
            app,
            _,
        ):
            print(f"The app, under {backend}, is at {app}; the mock proxy is at {mock}.\n")
            differs = anyio.run(run, app, mock, mock_process)
    print("\nSome rows differ from the expectation." if differs else "\nAll as expected.")
    sys.exit(differs)


if __name__ == "__main__":
    main()
