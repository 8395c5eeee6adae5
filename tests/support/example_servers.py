"""Runs the apps of docs/examples under real servers, by their commands."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TIMEOUT = 60.0  # seconds: more than anything takes here, however busy the machine

HTTP_SERVERS = {
    "hypercorn asyncio": ["hypercorn", "--bind", "127.0.0.1:{}"],
    "hypercorn trio": ["hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:{}"],
    "uvicorn": ["uvicorn", "--port", "{}"],
    "granian": ["granian", "--interface", "asgi", "--port", "{}"],
}


@asynccontextmanager
async def example_under(server: list[str], example: str, **environment: str) -> AsyncGenerator[str]:
    """Serve `docs/examples/{example}.py`, with its settings in `environment`.

    Yields the app's host and port, once it answers.
    """
    port = free_port()
    command = [part.format(port) for part in server]
    process = await anyio.open_process(
        [sys.executable, "-m", *command, f"{example}:app"],
        cwd=ROOT / "docs/examples",
        env={**os.environ, **{f"OXAIGEN_AUTH_{name}": it for name, it in environment.items()}},
        stdout=None,
        stderr=None,
    )
    async with process:
        try:
            await _until_it_answers(f"http://127.0.0.1:{port}/")
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            with anyio.move_on_after(10, shield=True):
                await process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


async def _until_it_answers(url: str) -> None:
    with anyio.fail_after(TIMEOUT):
        async with httpx.AsyncClient() as http:
            while True:
                try:
                    await http.get(url)
                except httpx.TransportError:
                    await anyio.sleep(0.05)
                else:
                    return
