"""The load tool, compared with wrk and with a bare loop. Needs wrk."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import anyio

from benchmarks.harness import Figure, NotMeasuredError, alternate_calls, measured, ratios
from benchmarks.proxy_process import local_proxy, serving_process
from benchmarks.route import TOKEN
from benchmarks.server import serve
from oxaigen_auth import ProxyAuthClient
from oxaigen_auth_load.servers import embedded_mock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

ROUNDS, SECONDS, CONNECTIONS = 5, 6, 50
LOAD = [sys.executable, "-c", "import sys, oxaigen_auth_load; sys.exit(oxaigen_auth_load.main())"]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
SHARES = (0.05, 0.075, 0.1, 0.125, 0.15)  # of the rate of a bare loop


class Result(NamedTuple):
    """Requests per second, and latencies in seconds."""

    rate: float
    p50: float
    p99: float


def measure() -> list[Figure]:
    return [
        *(figure for backend in ("asyncio", "trio") for figure in _compared_with_wrk(backend)),
        *measured(
            [
                Figure("generator: closed, fast app ÷ wrk -t1", at_least=0.4),
                Figure("generator: closed, processor share at that rate"),
            ],
            _against_fast_app,
        ),
        *measured(
            [
                Figure("generator: most answers per second, closed, asyncio", digits=0),
                Figure("generator: most answers per second, closed, trio", digits=0),
                Figure("generator: most answers per second, wrk -t1", digits=0),
            ],
            _against_bytes,
        ),
        *measured([Figure("generator: client ÷ bare loop of hits", at_least=0.1)], _client),
    ]


def _compared_with_wrk(backend: str) -> list[Figure]:
    name = f"generator: closed ÷ wrk, {backend} app"
    figures = [Figure(f"{name}, {figure}") for figure in ("answers per second", "p50", "p99")]
    return measured(figures, partial(_against_app, backend))


def _against_app(backend: str) -> Iterator[tuple[float, ...]]:
    with local_proxy() as proxy, serving_process(serve, backend, proxy.url) as url:
        ours, theirs = alternate(f"{url}/protected")
        for figure in range(len(Result._fields)):
            yield ratios([each[figure] for each in ours], [each[figure] for each in theirs])


def _against_fast_app() -> list[tuple[float, ...]]:
    shares: list[float] = []
    with serving_process(_serve_fast) as url:
        ours, theirs = alternate(url, shares)
    return [ratios([each.rate for each in ours], [each.rate for each in theirs]), tuple(shares)]


def _against_bytes() -> Iterator[tuple[float, ...]]:
    """Yield the rates at a server that is no bottleneck."""
    with serving_process(_serve_bytes) as url:
        ours, theirs = alternate(url)
        on_trio, _ = alternate(url, backend="trio")
    for results in (ours, on_trio, theirs):
        yield tuple(each.rate for each in results)


def alternate(
    url: str, shares: list[float] | None = None, backend: str = "asyncio"
) -> tuple[list[Result], list[Result]]:
    """Return what the load tool and wrk measured, in rounds that alternate."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise NotMeasuredError("needs wrk")
    ours: list[Result] = []
    theirs: list[Result] = []

    def load() -> float:
        words = f"closed --connections {CONNECTIONS} --seconds {SECONDS} --backend {backend}"
        run = _load(f"{words} --target app {url}")
        latency = run["latency_seconds"]
        ours.append(Result(run["throughput_per_second"], latency["p50"], latency["p99"]))
        if shares is not None:
            shares.append(run["generator"]["processor_share"])
        return 0.0

    def ask_wrk() -> float:
        theirs.append(_wrk(wrk, url))
        return 0.0

    alternate_calls(ROUNDS, load, ask_wrk)
    return ours, theirs


def _load(words: str) -> dict[str, Any]:
    """Return the report of a load with one token, from one process."""
    with TemporaryDirectory() as folder:
        report, tokens = Path(folder, "load.json"), Path(folder, "tokens")
        tokens.write_text(TOKEN)
        files = ["--json", str(report), "--tokens-file", str(tokens)]
        command = [*LOAD, *words.split(), "--workers", "1", *files]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        run: dict[str, Any] = json.loads(report.read_text())["runs"][0]
    if run["errors"]:
        raise RuntimeError(run["errors"])
    return run


def _wrk(wrk: str, url: str) -> Result:
    words = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency"]
    words += ["-H", f"Authorization: Bearer {TOKEN}", url]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout  # noqa: S603
    rate = re.search(r"Requests/sec: +([\d.]+)", output)
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    return Result(float(rate[1]), _latency(output, 50), _latency(output, 99))


def _latency(output: str, percentile: int) -> float:
    found = re.search(rf"{percentile}% +([\d.]+)(us|ms|s)", output)
    if found is None:
        raise RuntimeError(output)
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]


def _client() -> list[tuple[float, ...]]:
    """Return the highest share of the bare rate at which the load tool is not saturated."""
    values: list[float] = []
    with embedded_mock([TOKEN], latency=0, faults=[], backend="asyncio") as proxy:
        for _ in range(ROUNDS):
            bare = anyio.run(_bare_rate, proxy)
            values.append(max(_unsaturated(proxy, bare), default=0.0))
    return [tuple(values)]


def _unsaturated(url: str, bare: float) -> Iterator[float]:
    for share in SHARES:
        words = f"steady --rate {share * bare:.0f} --seconds {SECONDS} --proxy {url}"
        run = _load(words)
        if not run["generator"]["saturated"]:
            yield run["throughput_per_second"] / bare


async def _bare_rate(url: str, hits: int = 100_000) -> float:
    async with ProxyAuthClient(url) as client:
        await client.get_me(TOKEN)
        began = perf_counter()
        for _ in range(hits):
            await client.get_me(TOKEN)
        return hits / (perf_counter() - began)


def _serve_fast(ready: Connection) -> None:
    """Serve an app that does nothing, on uvicorn with uvloop if that is installed."""
    import socket  # noqa: PLC0415

    import uvicorn  # noqa: PLC0415

    listener = socket.create_server(("127.0.0.1", 0))
    ready.send(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    config = uvicorn.Config(_fast_app, log_level="critical", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


def _serve_bytes(ready: Connection) -> None:
    """Send the same answer to each request, without parsing it."""

    class Answers(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)

        def data_received(self, data: bytes) -> None:
            self.transport.write(ANSWER * data.count(b"\r\n\r\n"))

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
        ready.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await server.serve_forever()

    asyncio.run(serve())


async def _fast_app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
    headers: Sequence[tuple[bytes, bytes]] = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})
