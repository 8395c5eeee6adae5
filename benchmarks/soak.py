"""Mixed traffic against a mock with random faults: looks for wrong answers and for leaks.

    python -m benchmarks.soak --minutes 10

Each backend runs in a process of its own, against a mock in another process. Users are numbered:
an answer that belongs to another number than the token is wrong.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import httpx
from attrs import define, field
from fastapi import Depends, FastAPI

from benchmarks.parent import exit_with_parent
from benchmarks.proxy_process import SPAWN, serving_process
from oxaigen_auth import (
    OxaigenAuthMiddleware,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
    User,
    get_current_user,
)
from oxaigen_auth_mock import MockSettings, Persona, create_app
from oxaigen_auth_mock.server.hypercorn import serving
from oxaigen_auth_mock.server.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

USERS = 300
CALLERS = 16
PAUSE = 0.02  # seconds that each caller waits between two calls, on average
WARM_UP = 0.2  # a fraction of the run
MAX_GROWTH = 3 * 2**20  # bytes
MAX_SOCKETS = 16  # connections to the proxy at once
SETTINGS = OxaigenAuthSettings(
    proxy_timeout_seconds=0.5,
    cache_ttl_seconds=1.0,
    cache_max_entries=USERS // 2,
    max_connections=MAX_SOCKETS,
    refresh_ahead_seconds=0.2,
    stale_if_error_seconds=1.0,
)
FAULTS: Sequence[dict[str, Any]] = (
    {"kind": "status", "status": 503, "retry_after": 1, "probability": 0.02},
    {"kind": "latency", "distribution": "uniform", "low": 0, "high": 0.3, "probability": 0.1},
    {"kind": "hang", "probability": 0.005},
    {"kind": "reset", "probability": 0.02},
    {"kind": "close", "probability": 0.02},
    {"kind": "drip", "probability": 0.005},
    {"kind": "truncated-json", "probability": 0.01},
    {"kind": "wrong-shape", "probability": 0.01},
    {"kind": "html", "probability": 0.01},
    {"kind": "redirect", "probability": 0.01},
    {"kind": "oversized", "probability": 0.002},
    {"kind": "gzip-bomb", "probability": 0.002},
    {"kind": "set-cookie", "probability": 0.02},
)


def token(number: int) -> str:
    return f"soak-token-{number}"


def permission(number: int) -> str:
    """Return the permission of a user: each has one of two."""
    return ("audit", "export")[number % 2]


@define(frozen=True)
class Sample:
    memory: int  # bytes resident
    sockets: int

    @classmethod
    def take(cls) -> Sample:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), _open_sockets())


def _open_sockets() -> int:
    links = []
    for file in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(file.readlink()))
        except FileNotFoundError:
            continue  # the descriptor that listed the folder
    return sum(link.startswith("socket:") for link in links)


class ErrorLog(logging.Handler):
    """Collects the messages of all errors that are logged, by the SDK, the event loop or others.

    Also collects exceptions that cannot be raised, such as the warning of a socket left open.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def add_unraisable(self, args: sys.UnraisableHookArgs) -> None:
        self.messages.append(repr(args.exc_value))


@define(eq=False)
class Soak:
    """The callers on one backend, and their results."""

    client: ProxyAuthClient
    app: httpx.AsyncClient
    mock: httpx.AsyncClient
    random: Random
    outcomes: Counter[str] = field(factory=Counter)
    wrong: list[str] = field(factory=list)

    async def call_until(self, end: float) -> None:
        weights = {
            self.user: 40,
            self.grant: 20,
            self.request: 20,
            self.invalid_token: 5,
            self.cancelled: 10,
            self.revoked: 5,
        }
        while anyio.current_time() < end:
            action = self.random.choices([*weights], weights=[*weights.values()])[0]
            try:
                await action(int(USERS * self.random.random() ** 2))
            except OxaigenAuthUpstreamError:
                self.outcomes["unavailable"] += 1
            except Exception as error:  # noqa: BLE001 (any other error is a failure)
                self.wrong.append(f"{action.__name__}: {error!r}")
            await anyio.sleep(self.random.expovariate(1 / PAUSE))

    async def user(self, number: int) -> None:
        if self.random.random() < 0.05:
            self.client.forget(token(number))
        fresh = self.random.random() < 0.05
        user = await self.client.get_me(token(number), fresh=fresh)
        self.check("user", user.user_name == f"person{number}", f"{number}: {user.user_name}")

    async def grant(self, number: int) -> None:
        name = self.random.choice(["audit", "export"])
        granted = await self.client.test_permission(token(number), name)
        self.check("permission", granted == (name == permission(number)), f"{number}: {name}")

    async def request(self, number: int) -> None:
        """Send a request to an app with the middleware."""
        got = await self.app.get("/me", headers={"authorization": f"Bearer {token(number)}"})
        if got.status_code == 502:
            raise OxaigenAuthUpstreamError(got.text)
        self.check("request", got.json() == {"user": f"person{number}"}, f"{number}: {got.text}")

    async def invalid_token(self, number: int) -> None:
        try:
            user = await self.client.get_me(f"invalid-{number}-{self.random.random()}")
        except OxaigenAuthUnauthenticatedError:
            self.outcomes["invalid token"] += 1
        else:
            self.wrong.append(f"an invalid token was accepted as {user.user_name}")

    async def cancelled(self, number: int) -> None:
        with anyio.move_on_after(self.random.uniform(0, 0.01)) as scope:
            await self.user(number)
        self.outcomes["cancelled"] += scope.cancelled_caught

    async def revoked(self, number: int) -> None:
        """Revoke a token that no other action uses, and check that it is rejected."""
        revoked = token(USERS + number)
        response = await self.mock.post("/_mock/api/revocations", json={"token": revoked})
        response.raise_for_status()
        self.client.forget(revoked)
        try:
            user = await self.client.get_me(revoked)
        except (OxaigenAuthUnauthenticatedError, OxaigenAuthPermissionDeniedError):
            self.outcomes["revoked"] += 1
        else:
            self.wrong.append(f"a revoked token was accepted as {user.user_name}")

    def check(self, kind: str, correct: bool, detail: str) -> None:  # noqa: FBT001 (next to its detail)
        self.outcomes[kind] += 1
        if not correct:
            self.wrong.append(f"{kind} {detail}")


@define(frozen=True)
class Report:
    backend: str
    outcomes: dict[str, int]
    upstream_calls: int
    samples: list[Sample]
    sockets_left: int
    failures: list[str]

    def lines(self) -> list[str]:
        before, after = _steady(self.samples)
        most = max(sample.sockets for sample in self.samples)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.outcomes.items()))
        return [
            f"{self.backend}: {counts}; {self.upstream_calls:,} calls to the proxy",
            f"  memory {before / 2**20:.1f} MiB after warm-up, {after / 2**20:.1f} MiB at the end",
            f"  sockets: {most} at most, {self.sockets_left} left at the end",
            *[f"  FAILED: {failure}" for failure in self.failures[:20]],
        ]


def _steady(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return the memory in the first and in the last fifth after the warm-up."""
    warm = [sample.memory for sample in samples[int(len(samples) * WARM_UP) :]]
    fifth = max(1, len(warm) // 5)
    return median(warm[:fifth]), median(warm[-fifth:])


def soak(backend: str, minutes: float, seed: int) -> Report:
    """Run one backend in this process."""
    with serving_process(_serve_mock, backend) as url:
        return anyio.run(_soak, backend, url, minutes * 60, seed, backend=backend)


async def _soak(backend: str, url: str, seconds: float, seed: int) -> Report:
    errors = ErrorLog()
    logging.getLogger().addHandler(errors)
    sys.unraisablehook = errors.add_unraisable
    logging.getLogger("oxaigen_auth").setLevel(logging.ERROR)  # it warns of the injected faults
    before = _open_sockets()
    samples: list[Sample] = []
    async with (
        httpx.AsyncClient(base_url=url) as mock,
        ProxyAuthClient(url, settings=SETTINGS) as client,
    ):
        in_process = httpx.ASGITransport(_app(client))
        async with (
            httpx.AsyncClient(transport=in_process, base_url="http://app.example.com") as app,
            anyio.create_task_group() as callers,
        ):
            soak = Soak(client, app, mock, Random(seed))  # noqa: S311 (must be repeatable)
            end = anyio.current_time() + seconds
            for _ in range(CALLERS):
                callers.start_soon(soak.call_until, end)
            while anyio.current_time() < end:
                samples.append(Sample.take())
                await anyio.sleep(1)
        calls = client.stats().upstream_calls
    left = _open_sockets() - before
    gc.collect()
    failures = [*soak.wrong, *(f"logged: {message}" for message in errors.messages)]
    failures += _check(samples, left, soak.outcomes)
    return Report(backend, dict(soak.outcomes), calls, samples, left, failures)


def _check(samples: Sequence[Sample], left: int, outcomes: Counter[str]) -> list[str]:
    before, after = _steady(samples)
    kinds = (
        "user",
        "permission",
        "request",
        "invalid token",
        "cancelled",
        "revoked",
        "unavailable",
    )
    found = [f"no result of the kind {kind!r}" for kind in kinds if not outcomes[kind]]
    if after - before > MAX_GROWTH:
        found.append(f"memory grew by {(after - before) / 2**20:.1f} MiB")
    if max(sample.sockets for sample in samples) > 2 * MAX_SOCKETS:
        found.append("more than twice as many sockets as MAX_CONNECTIONS allows")
    if left:
        found.append(f"{left} sockets left at the end")
    return found


def _app(client: ProxyAuthClient) -> FastAPI:
    app = FastAPI()
    app.add_middleware(OxaigenAuthMiddleware, client=client)

    @app.get("/me")
    async def me(user: Annotated[User, Depends(get_current_user)]) -> dict[str, str | None]:
        return {"user": user.user_name}

    return app


def _serve_mock(ready: Connection, backend: str) -> None:
    personas = [
        Persona(
            name=f"person{number}",
            token=token(number),
            user_name=f"person{number}",
            permissions=(permission(number),),
        )
        for number in range(2 * USERS)
    ]
    app = create_app(MockSettings(), personas=personas)
    for fault in FAULTS:
        app.control.fault(**fault)
    anyio.run(_serve_until_terminated, app, ready, backend=backend)


async def _serve_until_terminated(app: Any, ready: Connection) -> None:
    async with serving(app, listen()) as url:
        ready.send(url)
        await anyio.sleep_forever()


def main() -> int:
    parser = argparse.ArgumentParser(description="Look for leaks and for faults that need minutes.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--backend", choices=["asyncio", "trio", "both"], default="both")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    backends = ["asyncio", "trio"] if args.backend == "both" else [args.backend]
    with ProcessPoolExecutor(len(backends), SPAWN, exit_with_parent) as pool:
        runs = [pool.submit(soak, backend, args.minutes, args.seed) for backend in backends]
        reports = [run.result() for run in runs]
    for report in reports:
        print("\n".join(report.lines()), flush=True)
    return int(any(report.failures for report in reports))


if __name__ == "__main__":
    sys.exit(main())
