"""A long working day in minutes: mixed traffic, random faults, and nothing may grow or be wrong.

    python -m benchmarks.soak --minutes 10

Each backend runs in a process of its own, against a mock in another. Whoever calls is known by
number: a user, a permission or a rejection that belongs to another number is a wrong answer.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import random
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import httpx
from attrs import define, field
from fastapi import Depends, FastAPI

from benchmarks.orphans import end_with_parent
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

PEOPLE = 300
CALLERS = 16
PAUSE = 0.02  # seconds that each caller waits between two calls, on average
WARM_UP = 0.2  # of the whole time
MOST_GROWTH = 3 * 2**20  # bytes
MOST_SOCKETS = 16  # connections to the proxy at once
SETTINGS = OxaigenAuthSettings(
    proxy_timeout_seconds=0.5,
    cache_ttl_seconds=1.0,
    cache_max_entries=PEOPLE // 2,
    max_connections=MOST_SOCKETS,
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
    """Return the one of two permissions that this person has."""
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
            continue  # the one that listed them
    return sum(link.startswith("socket:") for link in links)


class ErrorsLogged(logging.Handler):
    """Keeps what is logged as an error: by the SDK, by the event loop, by anybody.

    Also what nobody can catch, such as the warning of a socket that nobody closed.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())

    def note_unraisable(self, what: sys.UnraisableHookArgs) -> None:
        self.said.append(repr(what.exc_value))


@define(eq=False)
class Soak:
    """The callers of one backend, and what came of them."""

    client: ProxyAuthClient
    app: httpx.AsyncClient
    mock: httpx.AsyncClient
    dice: random.Random
    outcomes: Counter[str] = field(factory=Counter)
    wrong: list[str] = field(factory=list)

    async def call_until(self, end: float) -> None:
        kinds = [self.user, self.grant, self.request, self.junk, self.hasty, self.revoked]
        while anyio.current_time() < end:
            kind = self.dice.choices(kinds, weights=[40, 20, 20, 5, 10, 5])[0]
            try:
                await kind(int(PEOPLE * self.dice.random() ** 2))
            except OxaigenAuthUpstreamError:
                self.outcomes["unavailable"] += 1
            except Exception as error:  # noqa: BLE001 (whatever it is, it is a breach)
                self.wrong.append(f"{kind.__name__}: {error!r}")
            await anyio.sleep(self.dice.expovariate(1 / PAUSE))

    async def user(self, number: int) -> None:
        if self.dice.random() < 0.05:
            self.client.forget(token(number))
        fresh = self.dice.random() < 0.05
        user = await self.client.get_me(token(number), fresh=fresh)
        self.check("user", user.user_name == f"person{number}", f"{number}: {user.user_name}")

    async def grant(self, number: int) -> None:
        name = self.dice.choice(["audit", "export"])
        granted = await self.client.test_permission(token(number), name)
        self.check("permission", granted == (name == permission(number)), f"{number}: {name}")

    async def request(self, number: int) -> None:
        """Ask by way of an app and its middleware."""
        got = await self.app.get("/me", headers={"authorization": f"Bearer {token(number)}"})
        if got.status_code == 502:
            raise OxaigenAuthUpstreamError(got.text)
        self.check("request", got.json() == {"user": f"person{number}"}, f"{number}: {got.text}")

    async def junk(self, number: int) -> None:
        try:
            user = await self.client.get_me(f"junk-{number}-{self.dice.random()}")
        except OxaigenAuthUnauthenticatedError:
            self.outcomes["junk"] += 1
        else:
            self.wrong.append(f"junk became {user.user_name}")

    async def hasty(self, number: int) -> None:
        with anyio.move_on_after(self.dice.uniform(0, 0.01)) as scope:
            await self.user(number)
        self.outcomes["cancelled"] += scope.cancelled_caught

    async def revoked(self, number: int) -> None:
        """Sign somebody out, whom no other caller knows: nobody is let in with that token."""
        theirs = token(PEOPLE + number)
        await self._tell_the_mock("POST", {"token": theirs})
        self.client.forget(theirs)
        try:
            user = await self.client.get_me(theirs)
        except (OxaigenAuthUnauthenticatedError, OxaigenAuthPermissionDeniedError):
            self.outcomes["revoked"] += 1
        else:
            self.wrong.append(f"revoked, and still {user.user_name}")

    async def _tell_the_mock(self, method: str, order: dict[str, str]) -> None:
        (await self.mock.request(method, "/_mock/api/revocations", json=order)).raise_for_status()

    def check(self, kind: str, right: bool, what: str) -> None:  # noqa: FBT001 (read with its text)
        self.outcomes[kind] += 1
        if not right:
            self.wrong.append(f"{kind} {what}")


@define(frozen=True)
class Report:
    backend: str
    outcomes: dict[str, int]
    upstream_calls: int
    samples: list[Sample]
    sockets_left: int
    breaches: list[str]

    def lines(self) -> list[str]:
        before, after = _steady(self.samples)
        most = max(sample.sockets for sample in self.samples)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.outcomes.items()))
        return [
            f"{self.backend}: {counts}; {self.upstream_calls:,} calls to the proxy",
            f"  memory {before / 2**20:.1f} MiB after warm-up, {after / 2**20:.1f} MiB at the end",
            f"  sockets: {most} at most, {self.sockets_left} left at the end",
            *[f"  BREACH: {breach}" for breach in self.breaches[:20]],
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
    errors = ErrorsLogged()
    logging.getLogger().addHandler(errors)
    sys.unraisablehook = errors.note_unraisable
    logging.getLogger("oxaigen_auth").setLevel(logging.ERROR)  # faults are what it warns of
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
            own = Soak(client, app, mock, random.Random(seed))  # noqa: S311 (to be repeatable)
            end = anyio.current_time() + seconds
            for _ in range(CALLERS):
                callers.start_soon(own.call_until, end)
            while anyio.current_time() < end:
                samples.append(Sample.take())
                await anyio.sleep(1)
        calls = client.stats().upstream_calls
    left = _open_sockets() - before
    gc.collect()
    breaches = [*own.wrong, *(f"logged: {said}" for said in errors.said)]
    breaches += _judge(samples, left, own.outcomes)
    return Report(backend, dict(own.outcomes), calls, samples, left, breaches)


def _judge(samples: Sequence[Sample], left: int, outcomes: Counter[str]) -> list[str]:
    before, after = _steady(samples)
    kinds = ("user", "permission", "request", "junk", "cancelled", "revoked", "unavailable")
    found = [f"nothing came of {kind}" for kind in kinds if not outcomes[kind]]
    if after - before > MOST_GROWTH:
        found.append(f"memory grew by {(after - before) / 2**20:.1f} MiB")
    if max(sample.sockets for sample in samples) > 2 * MOST_SOCKETS:
        found.append("sockets: more than twice the connections that are allowed")
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


def _serve_mock(tell: Connection, backend: str) -> None:
    people = [
        Persona(
            name=f"person{number}",
            token=token(number),
            user_name=f"person{number}",
            permissions=(permission(number),),
        )
        for number in range(2 * PEOPLE)
    ]
    app = create_app(MockSettings(), personas=people)
    for fault in FAULTS:
        app.control.fault(**fault)
    anyio.run(_serve_until_terminated, app, tell, backend=backend)


async def _serve_until_terminated(app: Any, tell: Connection) -> None:
    async with serving(app, listen()) as url:
        tell.send(url)
        await anyio.sleep_forever()


def main() -> int:
    parser = argparse.ArgumentParser(description="Look for what goes wrong only after a while.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--backend", choices=["asyncio", "trio", "both"], default="both")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    backends = ["asyncio", "trio"] if args.backend == "both" else [args.backend]
    with ProcessPoolExecutor(len(backends), SPAWN, end_with_parent) as pool:
        runs = [pool.submit(soak, backend, args.minutes, args.seed) for backend in backends]
        reports = [run.result() for run in runs]
    for report in reports:
        print("\n".join(report.lines()), flush=True)
    return int(any(report.breaches for report in reports))


if __name__ == "__main__":
    sys.exit(main())
