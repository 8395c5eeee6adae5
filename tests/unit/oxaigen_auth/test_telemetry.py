"""The spans and metrics of a client, with a real OpenTelemetry SDK; in virtual time."""

from __future__ import annotations

import importlib
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from opentelemetry import baggage, context, metrics, trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from oxaigen_auth import OxaigenAuthError, OxaigenAuthSettings, ProxyAuthClient
from oxaigen_auth._default_client import default_client
from oxaigen_auth._telemetry.metrics import CIRCUIT_MEMORY, MAX_CIRCUITS, OpenCircuits
from oxaigen_auth.observers import Observer, Question
from oxaigen_auth.telemetry import (
    OxaigenAuthInstrumentor,
    TelemetryObserver,
    instrument,
    uninstrument,
)
from oxaigen_auth.testing import FakeProxy as ProxyOfTests
from tests.support.clock import clock as clock  # noqa: PLC0414
from tests.support.fake_proxy import ADA, BASE, BROKEN, DENIED, DOWN, REVOKED, FakeProxy
from tests.support.fleet_clients import fleet_client
from tests.support.memory_store import MemoryServer, MemoryStore
from tests.support.raw_server import serving
from tests.support.telemetry import Telemetry, span_id, trace_id
from tests.support.telemetry import telemetry as telemetry  # noqa: PLC0414
from tests.support.tokens import MARK, OTHER, TOKEN
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span

    from tests.support.clock import Clock

pytestmark = pytest.mark.anyio


def client_of(proxy: FakeProxy, telemetry: Telemetry, **options: Any) -> ProxyAuthClient:
    return proxy.client(BASE, observers=[telemetry.observer], **options)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_id(span: ReadableSpan) -> int | None:
    return span.parent and span.parent.span_id


@contextmanager
def called_by(telemetry: Telemetry, name: str) -> Iterator[Span]:
    """Run a block in a span of the app, with baggage."""
    token = context.attach(baggage.set_baggage("tenant", name))
    try:
        with telemetry.tracer.start_as_current_span(name) as span:
            yield span
    finally:
        context.detach(token)


async def test_a_lookup_has_a_client_span_below_that_of_its_caller(telemetry: Telemetry) -> None:
    async with client_of(FakeProxy(), telemetry) as client:
        with called_by(telemetry, "app") as caller:
            await client.test_permission(TOKEN, "audit")
    assert [it.name for it in telemetry.lookups] == [
        "GET /_oxa_auth/get-me",
        "POST /_oxa_auth/test-app-permission/{name}",
    ]
    for span in telemetry.lookups:
        assert span.kind is SpanKind.CLIENT
        assert parent_id(span) == caller.get_span_context().span_id
        assert span.status.status_code is StatusCode.UNSET
    assert attributes(telemetry.lookups[1]) == {
        "http.request.method": "POST",
        "server.address": "app.example.com",
        "server.port": 443,
        "url.full": f"{BASE}/_oxa_auth/test-app-permission/audit",
        "url.template": "/_oxa_auth/test-app-permission/{name}",
        "oxaigen_auth.permission": "audit",
        "oxaigen_auth.callers.coalesced": 0,
        "oxaigen_auth.verdict": "accepted",
    }


async def test_a_hit_has_no_span(telemetry: Telemetry) -> None:
    async with client_of(FakeProxy(), telemetry) as client:
        for _ in range(3):
            await client.get_me(TOKEN)
    assert len(telemetry.ended) == 1
    assert telemetry.values("verdicts") == {"hit accepted": 2, "miss accepted": 1}


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("http://proxy", "proxy", 80),
        ("https://proxy:8443/base/", "proxy", 8443),
        ("http://[::1]:8000", "::1", 8000),
    ],
)
async def test_the_span_has_the_address_of_the_proxy(
    telemetry: Telemetry, host: str, address: str, port: int
) -> None:
    async with FakeProxy().client(host, observers=[telemetry.observer]) as client:
        await client.get_me(TOKEN)
    found = attributes(telemetry.lookups[0])
    assert (found["server.address"], found["server.port"]) == (address, port)
    assert found["url.full"] == host.rstrip("/") + "/_oxa_auth/get-me"


@pytest.mark.parametrize("is_open", [True, False])
async def test_callers_of_a_burst_link_to_the_one_span_of_their_lookup(
    telemetry: Telemetry,
    is_open: bool,  # noqa: FBT001
) -> None:
    async def call(name: str) -> None:
        with called_by(telemetry, name):
            await client.get_me(TOKEN)

    client = client_of(FakeProxy(delay=1), telemetry)
    async with anyio.create_task_group() as group:
        if is_open:
            await client.__aenter__()
        group.start_soon(call, "first")
        await anyio.wait_all_tasks_blocked()
        for number in range(9):
            group.start_soon(call, f"joined {number}")
        await anyio.wait_all_tasks_blocked()
        assert telemetry.values("callers.waiting") == {"": 10}
        assert telemetry.values("lookups.in_flight") == {"": 1}
    await client.aclose()
    lookup, *callers = sorted(telemetry.ended, key=lambda it: it.name)
    first, joined = callers[0], callers[1:]
    assert parent_id(lookup) == span_id(first)
    assert first.links == ()
    assert [[link.context for link in it.links] for it in joined] == [[lookup.context]] * 9
    assert attributes(lookup)["oxaigen_auth.callers.coalesced"] == 9
    assert telemetry.values("callers.coalesced") == {"": 9}
    assert telemetry.values("callers.waiting") == {"": 0}
    assert telemetry.values("lookups.in_flight") == {"": 0}
    assert telemetry.values("verdicts") == {"miss accepted": 10}


async def test_a_caller_whose_span_has_ended_is_not_linked(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    async def call() -> None:
        await client.get_me(TOKEN)

    async with client_of(FakeProxy(delay=1), telemetry) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            with called_by(telemetry, "ends early") as span:
                span.end()
                group.start_soon(call)
                await anyio.wait_all_tasks_blocked()
    assert telemetry.values("callers.coalesced") == {"": 1}
    assert [it for it in caplog.records if "Calling" not in it.getMessage()] == []


async def test_a_lookup_outlives_the_span_of_a_first_caller_that_is_cancelled(
    telemetry: Telemetry,
) -> None:
    async def give_up() -> None:
        with called_by(telemetry, "first"), anyio.move_on_after(1):
            await client.get_me(TOKEN)

    async with client_of(FakeProxy(delay=3), telemetry) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(give_up)
            await anyio.wait_all_tasks_blocked()
            with called_by(telemetry, "second"):
                await client.get_me(TOKEN)
    first, lookup, second = telemetry.ended
    assert parent_id(lookup) == span_id(first)
    assert [link.context for link in second.links] == [lookup.context]
    assert attributes(lookup)["oxaigen_auth.verdict"] == "accepted"
    assert telemetry.values("verdicts") == {"miss accepted": 1, "miss cancelled": 1}


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_lookup_that_nobody_waits_for_ends_as_cancelled_and_is_no_error(
    telemetry: Telemetry,
    is_open: bool,  # noqa: FBT001
) -> None:
    client = client_of(FakeProxy(delay=9), telemetry)
    if is_open:
        await client.__aenter__()
    with anyio.move_on_after(1):
        await client.get_me(TOKEN)
    await anyio.wait_all_tasks_blocked()
    (span,) = telemetry.lookups
    assert attributes(span)["oxaigen_auth.verdict"] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET
    assert telemetry.values("lookups.in_flight") == telemetry.values("callers.waiting") == {"": 0}
    assert telemetry.values("lookup.duration") == {"cancelled /_oxa_auth/get-me": 1}
    await client.aclose()


async def test_a_client_that_is_closed_ends_its_spans(telemetry: Telemetry) -> None:
    client = client_of(FakeProxy(delay=9), telemetry)
    async with anyio.create_task_group() as group:
        await client.__aenter__()
        group.start_soon(failing, client)
        await anyio.wait_all_tasks_blocked()
        await client.aclose()
    assert attributes(telemetry.lookups[0])["oxaigen_auth.verdict"] == "cancelled"
    assert telemetry.values("callers.refused") == {"client_closed": 1}
    assert telemetry.values("lookups.in_flight") == telemetry.values("callers.waiting") == {"": 0}


async def failing(client: ProxyAuthClient, token: str = TOKEN, **options: Any) -> None:
    with pytest.raises(OxaigenAuthError):
        await client.get_me(token, **options)


class Seen(Observer):
    """Records what a lookup sees of the caller's context."""

    def __init__(self) -> None:
        self.contexts: list[dict[str, object]] = []
        self.spans: list[int] = []

    def on_lookup(self, _: Question, __: Hashable, /) -> None:
        self.see()

    def on_upstream_call(self) -> None:
        self.see()

    def see(self) -> None:
        self.contexts.append(dict(baggage.get_all()))
        self.spans.append(trace.get_current_span().get_span_context().span_id)


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_lookup_sees_its_span_and_no_baggage(
    telemetry: Telemetry,
    is_open: bool,  # noqa: FBT001
) -> None:
    seen = Seen()
    client = FakeProxy().client(BASE, observers=[telemetry.observer, seen])
    if is_open:
        await client.__aenter__()
    with called_by(telemetry, "app") as span:
        for token in (TOKEN, OTHER):
            await client.get_me(token)
        assert trace.get_current_span() is span
        assert baggage.get_all() == {"tenant": "app"}
    await client.aclose()
    assert seen.contexts == [{}] * 4
    one, two = (span_id(it) for it in telemetry.lookups)
    assert seen.spans == [one, one, two, two]


async def test_lookups_that_wait_for_each_other_do_not_inherit_spans(telemetry: Telemetry) -> None:
    settings = OxaigenAuthSettings(max_connections=1)
    async with client_of(FakeProxy(delay=1), telemetry, settings=settings) as client:
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(client.get_me, f"{TOKEN}-{number}")
    assert [it.parent for it in telemetry.lookups] == [None] * 3
    assert len({trace_id(it) for it in telemetry.lookups}) == 3


async def test_a_refresh_is_a_root_span_that_links_to_the_caller(
    telemetry: Telemetry, clock: Clock
) -> None:
    settings = OxaigenAuthSettings(refresh_ahead_seconds=10.0)
    async with client_of(FakeProxy(), telemetry, settings=settings, clock=clock) as client:
        await client.get_me(TOKEN)
        clock.now += 25
        with called_by(telemetry, "app") as caller:
            await client.get_me(TOKEN)
            await anyio.wait_all_tasks_blocked()
        clock.now += 25
        await client.get_me(TOKEN)
        await anyio.wait_all_tasks_blocked()
    _, linked, alone = telemetry.lookups
    assert linked.parent is None
    assert trace_id(linked) != caller.get_span_context().trace_id
    assert [it.context for it in linked.links] == [caller.get_span_context()]
    assert alone.links == ()
    assert telemetry.values("lookup.duration") == {"accepted /_oxa_auth/get-me": 3}


@pytest.mark.parametrize(
    ("reply", "name", "reason", "status"),
    [
        (REVOKED, "rejected", "invalid_token", StatusCode.UNSET),
        (DOWN, "unavailable", "error_status", StatusCode.ERROR),
        (RuntimeError, "unavailable", "internal_error", StatusCode.ERROR),
    ],
)
async def test_only_a_lookup_without_an_answer_is_an_error(
    telemetry: Telemetry, reply: Any, name: str, reason: str, status: StatusCode
) -> None:
    proxy = FakeProxy(reply() if reply is RuntimeError else reply)
    async with client_of(proxy, telemetry) as client:
        await failing(client)
    (span,) = telemetry.lookups
    assert span.status.status_code is status
    found = attributes(span)
    assert (found["oxaigen_auth.verdict"], found["oxaigen_auth.reason"]) == (name, reason)
    assert found.get("error.type") == (reason if status is StatusCode.ERROR else None)
    assert telemetry.values("callers.refused") == {reason: 1}
    assert telemetry.values("verdicts") == {f"miss {name}": 1}
    error = f"{reason} " if status is StatusCode.ERROR else ""
    assert telemetry.values("lookup.duration") == {f"{error}{name} /_oxa_auth/get-me": 1}


async def test_a_denied_permission_is_counted_with_its_own_name(telemetry: Telemetry) -> None:
    async with client_of(FakeProxy(permission=DENIED), telemetry) as client:
        for _ in range(2):
            assert not await client.test_permission(TOKEN, "audit")
    assert telemetry.values("verdicts") == {
        "miss accepted": 1,
        "hit accepted": 1,
        "miss denied": 1,
        "hit denied": 1,
    }
    assert telemetry.values("callers.refused") == {"permission_denied": 2}


async def test_a_stale_verdict_is_counted_and_its_lookup_is_an_error(
    telemetry: Telemetry, clock: Clock
) -> None:
    proxy = FakeProxy()
    settings = OxaigenAuthSettings(stale_if_error_seconds=60.0)
    async with client_of(proxy, telemetry, settings=settings, clock=clock) as client:
        await client.get_me(TOKEN)
        clock.now += 40
        proxy.user = BROKEN
        await client.get_me(TOKEN)
    assert telemetry.values("verdicts") == {"miss accepted": 1, "miss stale": 1}
    assert telemetry.values("callers.refused") == {}
    assert telemetry.lookups[1].status.status_code is StatusCode.ERROR


async def test_an_open_circuit_is_a_gauge_and_short_circuited_lookups_have_spans(
    telemetry: Telemetry, clock: Clock
) -> None:
    proxy = FakeProxy(DOWN)
    async with client_of(proxy, telemetry, clock=clock) as client:
        assert telemetry.values("circuits.open") == {"": 0}
        for number in range(6):
            await failing(client, f"{TOKEN}-{number}")
        assert telemetry.values("circuits.open") == {"": 1}
        proxy.user = ADA
        clock.now += 1
        await client.get_me(TOKEN)
    assert telemetry.values("circuits.open") == {"": 0}
    assert attributes(telemetry.lookups[5])["error.type"] == "circuit_open"
    assert telemetry.values("callers.refused") == {"error_status": 5, "circuit_open": 1}


def test_a_circuit_that_no_lookup_meets_any_more_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(
        "oxaigen_auth._telemetry.metrics.monotonic", lambda: now
    )  # it has no argument for a clock
    circuits = OpenCircuits()

    def count() -> float:
        (observation,) = circuits.observe(metrics.CallbackOptions())
        return observation.value

    for number in range(MAX_CIRCUITS + 9):
        circuits.add(f"https://{number}.example.com")
    assert count() == MAX_CIRCUITS
    now += CIRCUIT_MEMORY - 1
    circuits.add("https://0.example.com")
    now += 2
    assert count() == 1
    circuits.remove("https://0.example.com")
    circuits.remove("https://unknown.example.com")
    assert count() == 0


async def test_a_lookup_that_gets_no_turn_is_an_error_of_the_queue(telemetry: Telemetry) -> None:
    settings = OxaigenAuthSettings(max_connections=1, proxy_timeout_seconds=1.0)
    async with client_of(FakeProxy(delay=9), telemetry, settings=settings) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.get_me, TOKEN)
            await anyio.wait_all_tasks_blocked()
            await failing(client, OTHER)
            group.cancel_scope.cancel()
    waited, _ = telemetry.lookups
    assert attributes(waited)["error.type"] == "overloaded"
    assert waited.status.status_code is StatusCode.ERROR


async def test_a_caller_whose_token_is_forgotten_meanwhile_has_two_lookups(
    telemetry: Telemetry,
) -> None:
    async with client_of(FakeProxy(delay=1), telemetry) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.get_me, TOKEN)
            await anyio.wait_all_tasks_blocked()
            client.forget(TOKEN)
    assert len(telemetry.lookups) == 2
    assert telemetry.values("verdicts") == {"miss accepted": 1}
    assert telemetry.values("callers.waiting") == telemetry.values("lookups.in_flight") == {"": 0}


async def test_refusals_without_a_lookup_are_counted(telemetry: Telemetry) -> None:
    async with client_of(FakeProxy(), telemetry) as client:
        await failing(client, "a malformed token")
    assert telemetry.values("callers.refused") == {"malformed_token": 1}
    assert telemetry.ended == []


async def test_no_metric_has_a_host_a_permission_or_a_token(telemetry: Telemetry) -> None:
    client = FakeProxy(permission=DENIED).client(observers=[telemetry.observer])
    async with client:
        for number in range(9):
            host = f"https://tenant-{number}.example.com"
            await client.test_permission(TOKEN, f"name-{number}", proxy_base_url=host)
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    text = data.to_json()
    for secret in ("tenant-", "name-", "example.com", MARK):
        assert secret not in text


async def test_no_span_has_a_token_or_its_fingerprint(telemetry: Telemetry) -> None:
    seen: list[Question] = []

    class Fingerprints(Observer):
        def on_miss(self, question: Question, /) -> None:
            seen.append(question)

    async with serving(FakeProxy(REVOKED)) as server:
        observers = [telemetry.observer, Fingerprints()]
        async with ProxyAuthClient(server.url, observers=observers) as client:
            await failing(client)
            server.respond = FakeProxy(None)
            await failing(client, OTHER)
    text = "".join(it.to_json() for it in telemetry.ended)
    assert MARK not in text
    for question in seen:
        assert question.fingerprint.hex()[:12] not in text
    assert [attributes(it).get("http.response.status_code") for it in telemetry.ended] == [
        401,
        None,
    ]


async def test_durations_refer_to_the_span_of_their_lookup(telemetry: Telemetry) -> None:
    """Also that of a lookup which ends in the context of its caller, as it never got a turn."""
    settings = OxaigenAuthSettings(max_connections=1)
    async with client_of(FakeProxy(delay=9), telemetry, settings=settings) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.get_me, TOKEN)
            await anyio.wait_all_tasks_blocked()
            with called_by(telemetry, "app"), anyio.move_on_after(1):
                await client.get_me(OTHER)
            group.cancel_scope.cancel()
    (point,) = telemetry.points("oxaigen_auth.lookup.duration")
    lookups = {span_id(it) for it in telemetry.lookups}
    assert point.count == len(lookups) == 2
    assert {it.span_id for it in point.exemplars} <= lookups
    assert point.explicit_bounds[0] == 0.005


async def test_span_processors_see_no_baggage_of_the_caller(telemetry: Telemetry) -> None:
    """Some of them copy it into each span that starts."""
    seen: dict[str, Any] = {}

    class Processor(SpanProcessor):
        def on_start(self, span: Any, parent_context: context.Context | None = None) -> None:
            seen[span.name] = dict(baggage.get_all(parent_context))

    telemetry.tracer_provider.add_span_processor(Processor())
    async with client_of(FakeProxy(), telemetry) as client:
        with called_by(telemetry, "app"):
            await client.get_me(TOKEN)
    assert seen == {"app": {"tenant": "app"}, "GET /_oxa_auth/get-me": {}}


@pytest.fixture
async def instrumented(telemetry: Telemetry) -> AsyncIterator[Telemetry]:
    instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
    yield telemetry
    uninstrument()


async def test_instrument_concerns_the_clients_made_afterwards(instrumented: Telemetry) -> None:
    async with FakeProxy().client(BASE) as client:
        await client.get_me(TOKEN)
    assert len(instrumented.lookups) == 1
    uninstrument()
    async with FakeProxy().client(BASE) as client:
        await client.get_me(TOKEN)
    assert len(instrumented.lookups) == 1


async def test_instrument_warns_that_the_client_of_the_dependencies_exists_already(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", BASE)
    instrument()
    assert caplog.text == ""
    default_client()
    instrument()
    assert "instrument() was called too late" in caplog.text
    uninstrument()


async def test_a_second_call_of_instrument_replaces_the_providers(instrumented: Telemetry) -> None:
    other = Telemetry()
    OxaigenAuthInstrumentor().instrument(tracer_provider=other.tracer_provider, skip_dep_check=True)
    async with FakeProxy().client(BASE) as client:
        await client.get_me(TOKEN)
    assert (len(other.lookups), instrumented.lookups) == (1, [])
    OxaigenAuthInstrumentor().uninstrument()
    async with FakeProxy().client(BASE) as client:
        await client.get_me(TOKEN)
    assert len(other.lookups) == 1
    other.shutdown()


async def test_a_client_with_its_own_observer_is_not_counted_twice(instrumented: Telemetry) -> None:
    class Own(TelemetryObserver):
        pass

    own = Own(
        tracer_provider=instrumented.tracer_provider, meter_provider=instrumented.meter_provider
    )
    async with FakeProxy().client(BASE, observers=[own, Observer()]) as client:
        await client.get_me(TOKEN)
    assert len(instrumented.lookups) == 1
    assert instrumented.values("verdicts") == {"miss accepted": 1}


async def test_observers_of_one_provider_report_the_sum(telemetry: Telemetry) -> None:
    second = TelemetryObserver(meter_provider=telemetry.meter_provider)
    for observer, host in (
        (telemetry.observer, "https://a.example"),
        (second, "https://b.example"),
    ):
        observer.on_circuit_open(host, 1.0)
    assert telemetry.values("circuits.open") == {"": 2}


def fleet_of(telemetry: Telemetry, count: int) -> tuple[list[ProxyAuthClient], MemoryStore]:
    """Return clients that share a store, and the store as the first one sees it."""
    proxy, server = ProxyOfTests(), MemoryServer(anyio.current_time)
    proxy.add_user("a-token", id=1)
    stores = [MemoryStore(server) for _ in range(count)]
    observers = (telemetry.observer,)
    return [fleet_client(it, proxy, anyio.current_time, observers=observers) for it in stores], (
        stores[0]
    )


async def test_a_lookup_that_the_shared_store_answers_is_a_hit_there_and_has_no_status(
    telemetry: Telemetry,
) -> None:
    clients, store = fleet_of(telemetry, 3)
    for client in clients[:2]:
        await client.get_me("a-token")
    assert telemetry.values("shared_store.lookups") == {"hit": 1, "miss": 1}
    asked, shared = map(attributes, telemetry.lookups)
    assert asked["http.response.status_code"] == 200
    assert "oxaigen_auth.shared" not in asked
    assert "http.response.status_code" not in shared
    assert shared["oxaigen_auth.shared"] is True

    for key, (entry, end) in store.server.entries.items():
        store.server.entries[key] = entry._replace(sealed=entry.sealed[::-1]), end
    await clients[2].get_me("a-token")
    assert telemetry.values("shared_store.lookups") == {"hit": 1, "miss": 2, "refused": 2}


async def test_a_failing_shared_store_is_counted_until_it_works_again(telemetry: Telemetry) -> None:
    (client,), store = fleet_of(telemetry, 1)
    assert telemetry.values("shared_store.failing") == {"": 0}
    store.problem = "connection refused"
    for _ in range(3):
        await client.get_me("a-token", fresh=True)
    assert telemetry.values("shared_store.failing") == {"": 1}
    store.problem = ""
    await anyio.sleep(1)
    await client.get_me("a-token", fresh=True)
    assert telemetry.values("shared_store.failing") == {"": 0}


async def test_without_providers_nothing_is_recorded_and_lookups_work() -> None:
    async with FakeProxy().client(BASE, observers=[TelemetryObserver()]) as client:
        assert (await client.get_me(TOKEN)).user_name == "ada"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("tracer_provider", r"tracer_provider=trace\.get_tracer_provider\(\)"),
        ("meter_provider", r"meter_provider=metrics\.get_meter_provider\(\)"),
    ],
)
def test_a_provider_of_the_wrong_type_is_an_error_that_shows_the_right_line(
    name: str, right: str
) -> None:
    wrong: Any = {name: trace.get_tracer("app")}
    for call in (instrument, TelemetryObserver):
        with pytest.raises(TypeError, match=f"{name} must be a .*Provider, not .*: write {right}"):
            call(**wrong)


def test_without_the_extra_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    monkeypatch.delitem(sys.modules, "oxaigen_auth.telemetry")
    with pytest.raises(ImportError, match=r'needs an extra: pip install "oxaigen-auth\[otel\]"$'):
        importlib.import_module("oxaigen_auth.telemetry")


def test_a_client_that_does_not_use_telemetry_does_not_import_it() -> None:
    code = (
        "import sys, fastapi; before = {it for it in sys.modules if 'telemetry' in it}\n"
        "import oxaigen_auth; oxaigen_auth.ProxyAuthClient('http://proxy')\n"
        "sys.exit({it for it in sys.modules if 'telemetry' in it} != before)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (our own code)
