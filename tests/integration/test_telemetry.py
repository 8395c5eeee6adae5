"""Our spans and metrics beside those of other instrumentations, under real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import anyio
import pytest
from anyio.to_thread import run_sync
from opentelemetry.instrumentation import httpx as httpx_instrumentation
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.trace import SpanKind

from oxaigen_auth import OxaigenAuthMiddleware, ProxyAuthClient, aclose_client
from oxaigen_auth._upstream.http_library import httpx  # the one whose instrumentation is tested
from oxaigen_auth.telemetry import instrument, uninstrument
from oxaigen_auth_mock.server.hypercorn import serving as under_hypercorn
from oxaigen_auth_mock.server.sockets import listen
from tests.integration.test_servers import under_uvicorn
from tests.support.apps import GOOD, make_app
from tests.support.fake_proxy import FakeProxy
from tests.support.paths import ROOT
from tests.support.raw_server import serving
from tests.support.telemetry import Telemetry, scope, span_id, trace_id
from tests.support.telemetry import telemetry as telemetry  # noqa: PLC0414
from tests.support.tokens import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

pytestmark = pytest.mark.anyio

TIMEOUT = 60.0  # seconds
NEW_FASTAPI = pytest.mark.skipif(
    find_spec("fastapi.telemetry") is None, reason="this FastAPI has no telemetry of its own"
)
INSTRUMENTORS = {
    "httpx": httpx_instrumentation.HTTPXClientInstrumentor,
    "httpx2": httpx_instrumentation.HTTPX2ClientInstrumentor,
}


@pytest.fixture
def http_instrumentation(telemetry: Telemetry) -> Iterator[None]:
    """Instrument the HTTP library of the SDK, for all clients of this process."""
    instrumentor = INSTRUMENTORS[httpx.__name__]()
    instrumentor.instrument(
        tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider
    )
    yield
    instrumentor.uninstrument()


def contrib_app(telemetry: Telemetry) -> FastAPI:
    app = make_app()
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider
    )
    return app


def native_app(telemetry: Telemetry) -> FastAPI:
    """The newest FastAPI has a telemetry of its own, with spans for dependencies."""
    return make_app(
        telemetry={
            "tracer_provider": telemetry.tracer_provider,
            "meter_provider": telemetry.meter_provider,
        }
    )


async def burst(url: str, size: int) -> None:
    """Send requests from threads, with a library that is not instrumented."""

    def ask() -> None:
        headers = GOOD | {"baggage": "tenant=7"}
        request = Request(f"{url}/me", headers=headers)  # noqa: S310 (our own server)
        with urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
            assert response.status == 200

    async with anyio.create_task_group() as group:
        for _ in range(size):
            group.start_soon(run_sync, ask)


@contextmanager
def our_instrumentation(telemetry: Telemetry) -> Iterator[None]:
    instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
    yield
    uninstrument()


@pytest.mark.usefixtures("http_instrumentation")
@pytest.mark.parametrize("make", [contrib_app, pytest.param(native_app, marks=NEW_FASTAPI)])
@pytest.mark.parametrize("middleware", [True, False], ids=["middleware", "no middleware"])
@pytest.mark.parametrize("server", [under_hypercorn, under_uvicorn])
async def test_a_burst_has_one_lookup_below_a_request_and_nothing_is_counted_twice(  # noqa: PLR0913, PLR0917
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    anyio_backend_name: str,
    server: Any,
    middleware: bool,  # noqa: FBT001
    make: Any,
) -> None:
    if server is under_uvicorn and anyio_backend_name == "trio":
        pytest.skip("uvicorn runs on asyncio only")
    app = make(telemetry)
    if middleware:
        app.add_middleware(OxaigenAuthMiddleware)
    with our_instrumentation(telemetry):
        async with serving(FakeProxy(delay=0.3)) as proxy:
            monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", proxy.url)
            async with server(app, listen()) as url:
                await burst(url, 10)
                await aclose_client()
    (lookup,) = telemetry.lookups
    assert dict(lookup.attributes or {})["http.response.status_code"] == 200
    servers = [it for it in telemetry.ended if it.kind is SpanKind.SERVER]
    assert len(servers) == 10
    # No span but those of requests is a root, and all of them are below one.
    assert [it for it in telemetry.ended if it.parent is None] == servers
    ids = {span_id(it) for it in telemetry.ended}
    assert {it.parent.span_id for it in telemetry.ended if it.parent is not None} <= ids
    # Nine callers link to the lookup; their spans are those of the requests, or below them.
    links = [link.context for it in telemetry.ended for link in it.links]
    assert links == [lookup.context] * 9
    assert [scope(it) for it in telemetry.ended if it.kind is SpanKind.CLIENT] == ["oxaigen_auth"]
    assert telemetry.points("http.client.request.duration") == []
    assert telemetry.points("http.client.duration") == []
    assert telemetry.values("lookup.duration") == {"accepted /_oxa_auth/get-me": 1}
    (request,) = [it for it in proxy.requests if it]
    assert b"baggage" not in request.lower()


@pytest.mark.usefixtures("http_instrumentation")
async def test_without_our_telemetry_the_http_instrumentation_reports_an_orphan(
    telemetry: Telemetry,
) -> None:
    """What the other test asserts the absence of."""
    async with serving(FakeProxy()) as proxy, ProxyAuthClient(proxy.url) as client:
        with telemetry.tracer.start_as_current_span("app"):
            await client.get_me(TOKEN)
    orphan, app = telemetry.ended
    assert (scope(orphan), orphan.parent) == ("opentelemetry.instrumentation.httpx", None)
    assert trace_id(app) != trace_id(orphan)


@pytest.mark.skipif(httpx.__name__ == "httpx", reason="the other tests use it already")
def test_the_same_holds_with_httpx_if_httpx2_is_not_installed() -> None:
    code = (
        "import sys, pytest\n"
        "sys.modules['httpx2'] = None\n"
        f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {__file__!r}, '-k', 'not same']))"
    )
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, check=False, capture_output=True, text=True, cwd=ROOT)  # noqa: S603
    assert result.returncode == 0, result.stdout
    assert "passed" in result.stdout


@pytest.mark.parametrize("command", [[], ["opentelemetry-instrument"]])
def test_the_command_of_opentelemetry_finds_us(command: list[str]) -> None:
    code = (
        "from oxaigen_auth._validation.observer import process_observers as found\n"
        "print([type(it).__name__ for it in found])"
    )
    env = os.environ | {f"OTEL_{it}_EXPORTER": "none" for it in ("TRACES", "METRICS", "LOGS")}
    program = [str(Path(sys.executable).with_name(name)) for name in command]
    run = [*program, sys.executable, "-c", code]
    result = subprocess.run(run, check=True, capture_output=True, text=True, env=env)  # noqa: S603
    assert result.stdout.split() == (["['TelemetryObserver']"] if command else ["[]"])
