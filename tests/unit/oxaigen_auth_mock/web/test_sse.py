import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import (
    connect_tcp,
    create_memory_object_stream,
    create_task_group,
    current_time,
    fail_after,
    sleep_forever,
)
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectReceiveStream
from httpx import ASGITransport, AsyncClient

from oxaigen_auth_mock import MockApp, MockSettings, Persona, create_app, running_mock
from oxaigen_auth_mock.journal.counts import fingerprint
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio

ME = "/_oxa_auth/get-me"
DEV = {"Authorization": "Bearer mock-dev-token"}
Chunks = MemoryObjectReceiveStream[bytes]


@pytest.fixture
def app() -> MockApp:
    return create_app(MockSettings())


@asynccontextmanager
async def watching(app: MockApp) -> AsyncGenerator[Chunks]:
    """Be a page that listens to the events: in process, where httpx would wait for the end."""
    sending, chunks = create_memory_object_stream[bytes](100)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await sending.send(message["body"])

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/_mock/api/events",
        "headers": [],
        "query_string": b"",
        "root_path": "",
    }
    requests = iter([{"type": "http.request"}])

    async def receive() -> Any:
        message = next(requests, None)
        if message is None:
            await sleep_forever()
        return message

    async with create_task_group() as tasks, sending, chunks:
        tasks.start_soon(app, scope, receive, send)
        yield chunks
        tasks.cancel_scope.cancel()


async def next_event(chunks: Chunks) -> tuple[str, Any]:
    name, data = (await chunks.receive()).decode().rstrip("\n").split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def call(app: MockApp, times: int = 1) -> None:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        for _ in range(times):
            await client.get(ME, headers=DEV)


async def test_a_new_page_receives_the_whole_state(app: MockApp) -> None:
    await call(app)
    async with watching(app) as chunks:
        name, state = await next_event(chunks)
        assert (name, state["default"]) == ("state", "devuser")
        name, news = await next_event(chunks)
        assert (name, news["oldest"]) == ("calls", 1)
        assert [each["endpoint"] for each in news["calls"]] == ["get-me"]
        assert news["counts"]["total"] == 1


async def test_later_events_hold_only_changes(app: MockApp) -> None:
    async with watching(app) as chunks:
        await next_event(chunks)
        await next_event(chunks)
        await call(app)
        name, news = await next_event(chunks)
        assert (name, [each["number"] for each in news["calls"]]) == ("calls", [1])
        app.control.revoke("mock-dev-token")
        name, state = await next_event(chunks)
        assert (name, state["revoked"]) == ("state", ["8b6eec6e51ae"])


async def test_all_calls_of_a_burst_are_sent(app: MockApp) -> None:
    async with watching(app) as chunks:
        await next_event(chunks)
        await next_event(chunks)
        await call(app, times=50)
        told: list[int] = []
        while len(told) < 50:
            _, news = await next_event(chunks)
            told += [each["number"] for each in news["calls"]]
        assert sorted(set(told)) == list(range(1, 51))
        assert chunks.statistics().current_buffer_used == 0


async def test_an_applied_fault_is_counted_live(app: MockApp) -> None:
    app.control.fault("status", status=500)
    async with watching(app) as chunks:
        await next_event(chunks)
        await next_event(chunks)
        await call(app)
        name, state = await next_event(chunks)
        assert (name, state["faults"][0]["hits"]) == ("state", 1)


async def test_a_keepalive_is_sent_every_fifteen_seconds(app: MockApp) -> None:
    async with watching(app) as chunks:
        await next_event(chunks)
        await next_event(chunks)
        start = current_time()
        assert await chunks.receive() == b":\n\n"
        assert await chunks.receive() == b":\n\n"
        assert current_time() - start == pytest.approx(30, abs=1)


async def test_the_steps_of_a_scenario_are_sent_at_their_times() -> None:
    app = create_app(MockSettings(), clock=current_time)
    started_at = current_time()
    app.control.play([{"at": 20, "until": 50.5, "revoke": "guest"}])
    seen: list[tuple[float, str, list[str]]] = []
    async with watching(app) as chunks:
        while len(seen) < 3:
            event = await chunks.receive()
            if event.startswith(b"event: state"):
                state = json.loads(event.partition(b"data: ")[2])
                time = round(current_time() - started_at, 1)
                seen.append((time, state["scenario"]["steps"][0]["status"], state["revoked"]))
    guest = [fingerprint("mock-guest-token")]
    assert seen == [(0, "coming", []), (20, "running", guest), (50.5, "done", [])]


async def test_a_step_that_is_due_on_a_clock_that_stands_still_costs_little() -> None:
    app = create_app(MockSettings(), clock=lambda: 1000.0)
    app.control.play([{"at": 0.001, "revoke": "guest"}])
    async with watching(app) as chunks:
        await next_event(chunks)
        await next_event(chunks)
        start = current_time()
        for _ in range(10):
            await chunks.receive()
        assert current_time() - start >= 0.9


async def test_clearing_the_calls_is_an_event(app: MockApp) -> None:
    await call(app)
    async with watching(app) as chunks:
        await next_event(chunks)
        await next_event(chunks)
        app.control.clear_calls()
        assert (await next_event(chunks))[1] == {
            "oldest": 2,
            "calls": [],
            "counts": {
                "total": 0,
                "endpoints": {},
                "max_concurrency": 0,
                "tokens": {},
                "token_count": 0,
                "personas": {},
            },
        }


class TestOnASocket:
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        backend: str = request.param
        return backend

    async def test_a_page_receives_events_live_and_may_disconnect(self) -> None:
        async with running_mock() as mock, AsyncClient(base_url=mock.url) as client:
            port = int(mock.url.rpartition(":")[2])
            with fail_after(60):
                async with await connect_tcp("127.0.0.1", port) as page:
                    await page.send(b"GET /_mock/api/events HTTP/1.1\r\nHost: mock\r\n\r\n")
                    stream = BufferedByteReceiveStream(page)
                    head = await stream.receive_until(b"\r\n\r\n", 10_000)
                    assert b"content-type: text/event-stream" in head
                    assert b"cache-control: no-store" in head
                    await stream.receive_until(b"event: state\n", 10_000)
                    mock.revoke("mock-guest-token")
                    await stream.receive_until(b'"revoked": ["', 100_000)
                assert (await client.get("/health")).status_code == 200

    async def test_an_open_page_does_not_delay_the_shutdown(self) -> None:
        client = AsyncClient()
        with fail_after(60):
            async with running_mock() as mock:
                request = client.build_request("GET", f"{mock.url}/_mock/api/events")
                response = await client.send(request, stream=True)
            await response.aclose()
        await client.aclose()

    async def test_a_page_that_stops_reading_does_not_delay_the_shutdown(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with fail_after(60):
            async with running_mock() as mock:
                mock.put(Persona(name="big", extra={"text": "x" * 16_000_000}))
                page = await connect_tcp("127.0.0.1", int(mock.url.rpartition(":")[2]))
                await page.send(b"GET /_mock/api/events HTTP/1.1\r\nHost: mock\r\n\r\n")
                await page.receive(1)
        await page.aclose()
        assert caplog.records == []
