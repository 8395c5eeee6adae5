"""The events that an app's observers receive, in their order; in virtual time."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partialmethod
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import define, field, frozen
from fastapi import Depends, FastAPI

from oxaigen_auth import (
    OxaigenAuthError,
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    OxaigenAuthUpstreamError,
    User,
    get_current_user,
    get_current_user_as,
    require_any_permission,
    require_permission,
    require_role,
)
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.observers import Accepted, Observer, Question, Reason, Rejected, Verdict
from tests.support.apps import GOOD, get
from tests.support.clock import clock as clock  # noqa: PLC0414
from tests.support.fake_proxy import BASE, BROKEN, DENIED, GRANTED, LATE, REVOKED, FakeProxy
from tests.support.raw_server import serving
from tests.support.tokens import MARK, OTHER, TOKEN
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tests.support.clock import Clock
    from tests.support.fake_proxy import Call

pytestmark = pytest.mark.anyio

caller: ContextVar[str] = ContextVar("caller", default="nobody")


@define(eq=False)
class Recorder(Observer):
    """Records the names of the events, and the caller in whose context they happened."""

    events: list[str] = field(factory=list[str])
    contexts: dict[str, str] = field(factory=dict[str, str])
    lookups: set[Hashable] = field(factory=set["Hashable"])
    verdicts: list[Verdict[Any] | None] = field(factory=list["Verdict[Any] | None"])
    outcomes: list[Verdict[Any] | None] = field(factory=list["Verdict[Any] | None"])
    reasons: list[Reason] = field(factory=list[Reason])

    def note(self, event: str) -> None:
        self.events.append(event)
        self.contexts[event] = caller.get()

    def on_hit(self, question: Question, verdict: Verdict[Any], /) -> None:
        assert MARK not in repr(question)
        self.note("hit")
        self.verdicts.append(verdict)

    def on_miss(self, _: Question, /) -> None:
        self.note("miss")

    def on_coalesced(self, _: Question, lookup: Hashable, /) -> None:
        assert lookup in self.lookups
        self.note("coalesced")

    def on_result(self, _: Question, verdict: Verdict[Any] | None, /) -> None:
        self.note("result")
        self.verdicts.append(verdict)

    def on_refusal(self, _: Question | None, reason: Reason, /) -> None:
        self.note("refusal")
        self.reasons.append(reason)

    def on_start(self, _: Question, lookup: Hashable, /, *, background: bool) -> None:
        self.note("background" if background else "start")
        self.lookups.add(lookup)

    def on_lookup(self, _: Question, lookup: Hashable, /) -> None:
        assert lookup in self.lookups
        self.note("lookup")

    def on_upstream_call(self) -> None:
        self.note("call")

    def on_upstream_response(self, status: int, /) -> None:
        self.note(f"response {status}")

    def on_verdict(self, _: Question, __: Verdict[Any], /) -> None:
        self.note("verdict")

    def on_end(self, _: Question, lookup: Hashable, verdict: Verdict[Any] | None, /) -> None:
        self.lookups.remove(lookup)
        self.outcomes.append(verdict)
        self.note("end")

    def on_circuit_open(self, _: str, __: float, /) -> None:
        self.note("open")

    def on_circuit_closed(self, base_url: str, /) -> None:
        assert base_url == BASE
        self.note("closed")

    def on_forget(self) -> None:
        self.note("forget")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_a_lookup_reports_each_step_and_a_hit_only_itself(recorder: Recorder) -> None:
    async with FakeProxy().client(BASE, observers=[recorder]) as client:
        await client.get_me(TOKEN)
        lookup = ["miss", "start", "lookup", "call", "verdict", "end", "result"]
        assert recorder.events == lookup
        await client.get_me(TOKEN)
        assert recorder.events == [*lookup, "hit"]
        client.forget(TOKEN)
        assert recorder.events == [*lookup, "hit", "forget"]
    assert [type(it) for it in recorder.verdicts] == [Accepted, Accepted]
    assert recorder.outcomes == recorder.verdicts[:1]
    assert recorder.reasons == []
    assert recorder.lookups == set()


async def test_the_status_of_the_answer_is_reported(recorder: Recorder) -> None:
    async with serving(FakeProxy()) as server:
        async with ProxyAuthClient(server.url, observers=[recorder]) as client:
            await client.get_me(TOKEN)
    assert recorder.events[2:6] == ["lookup", "call", "response 200", "verdict"]


async def test_callers_report_in_their_own_context_and_lookups_in_none(recorder: Recorder) -> None:
    async def call(name: str) -> None:
        caller.set(name)
        await client.get_me(TOKEN)

    async with FakeProxy(delay=1).client(BASE, observers=[recorder]) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(call, "ann")
            await anyio.wait_all_tasks_blocked()
            group.start_soon(call, "bob")
    assert recorder.events.count("miss") == recorder.events.count("result") == 2
    assert recorder.contexts["start"] == "ann"
    assert recorder.contexts["coalesced"] == "bob"
    for event in ("lookup", "call", "verdict"):
        assert recorder.contexts[event] == "nobody"


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_cancelled_caller_and_its_lookup_are_reported(
    recorder: Recorder,
    is_open: bool,  # noqa: FBT001
) -> None:
    client = FakeProxy(delay=9).client(BASE, observers=[recorder])
    async with anyio.create_task_group() as group:
        if is_open:
            await group.start(stay_open, client)
        with anyio.move_on_after(1):
            await client.get_me(TOKEN)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert sorted(recorder.events) == sorted(["miss", "start", "lookup", "call", "result", "end"])
    assert recorder.verdicts == recorder.outcomes == [None]
    assert recorder.lookups == set()
    await client.aclose()


async def stay_open(client: ProxyAuthClient, *, task_status: Any) -> None:
    async with client:
        task_status.started()
        await anyio.sleep_forever()


async def test_each_refused_caller_is_reported_cached_or_not(recorder: Recorder) -> None:
    proxy = FakeProxy(permission=DENIED)
    async with proxy.client(BASE, observers=[recorder]) as client:
        for _ in range(2):
            assert not await client.test_permission(TOKEN, "audit")
        proxy.user = REVOKED
        for _ in range(2):
            with pytest.raises(OxaigenAuthError):
                await client.get_me(OTHER)
        with pytest.raises(OxaigenAuthError):
            await client.get_me("a malformed token")
    assert recorder.reasons == [
        *["permission_denied"] * 2,
        *["invalid_token"] * 2,
        "malformed_token",
    ]
    assert isinstance(recorder.verdicts[-1], Rejected)


async def test_a_refresh_is_a_lookup_in_the_background(recorder: Recorder, clock: Clock) -> None:
    settings = OxaigenAuthSettings(refresh_ahead_seconds=10.0)
    proxy = FakeProxy()
    async with proxy.client(BASE, settings=settings, clock=clock, observers=[recorder]) as client:
        await client.get_me(TOKEN)
        recorder.events.clear()
        clock.now += 25
        await client.get_me(TOKEN)
        await anyio.wait_all_tasks_blocked()
    assert recorder.events == ["hit", "background", "lookup", "call", "verdict", "end"]


async def test_a_lookup_that_gets_no_turn_starts_and_ends(recorder: Recorder) -> None:
    settings = OxaigenAuthSettings(max_connections=1, proxy_timeout_seconds=1.0)
    proxy = FakeProxy(delay=9)
    async with proxy.client(BASE, settings=settings, observers=[recorder]) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.get_me, TOKEN)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(OxaigenAuthUpstreamError) as caught:
                await client.get_me(OTHER)
            assert caught.value.reason == "overloaded"
            group.cancel_scope.cancel()
    assert recorder.events.count("start") == recorder.events.count("end") == 2
    assert recorder.events.count("lookup") == 1
    assert [it and it.reason for it in recorder.outcomes if not isinstance(it, Accepted)] == [
        "overloaded",
        None,
    ]


async def test_the_circuit_of_a_proxy_is_reported(recorder: Recorder, clock: Clock) -> None:
    proxy = FakeProxy(LATE)
    async with proxy.client(BASE, clock=clock, observers=[recorder]) as client:
        for number in range(5):
            with pytest.raises(OxaigenAuthError):
                await client.get_me(f"{TOKEN}-{number}")
        clock.now += 1
        await ask_until_answered(client, proxy)
    assert [it for it in recorder.events if it in {"open", "closed"}] == ["open", "closed"]


async def ask_until_answered(client: ProxyAuthClient, proxy: FakeProxy) -> None:
    proxy.user = FakeProxy().user
    await client.get_me(TOKEN)


async def test_an_observer_that_fails_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture, recorder: Recorder
) -> None:
    class Broken(Observer):
        def on_hit(self, _: Question, __: Verdict[Any], /) -> None:
            raise ValueError("a bug of the app")

        def on_result(self, _: Question, __: Verdict[Any] | None, /) -> None:
            raise ValueError("another bug of the app")

    async with FakeProxy().client(BASE, observers=[Broken(), recorder]) as client:
        for _ in range(2):
            assert (await client.get_me(TOKEN)).user_name == "ada"
    assert recorder.events[-2:] == ["result", "hit"]
    assert [it.exc_info is not None for it in caplog.records] == [True, True]
    assert "An observer failed in " in caplog.text


async def test_any_callable_may_be_a_handler_and_fail(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        on_miss = partialmethod(fail, "a bug")  # pyright: ignore[reportAssignmentType]

    async with FakeProxy().client(BASE, observers=[Broken()]) as client:
        assert (await client.get_me(TOKEN)).user_name == "ada"
    assert "An observer failed in Broken.on_miss" in caplog.text


def fail(_: object, message: str, *__: object) -> None:
    raise ValueError(message)


async def test_a_handler_may_be_set_on_the_instance(recorder: Recorder) -> None:
    plain = Observer()
    plain.on_forget = recorder.on_forget  # type: ignore[method-assign]
    FakeProxy().client(BASE, observers=[plain]).forget(TOKEN)
    assert recorder.events == ["forget"]


class Async(Observer):
    async def on_forget(self) -> None:  # type: ignore[override]  # the wrong use
        ...


class Misspelt(Observer):
    def on_forgot(self) -> None: ...


class Unknown(Observer):
    def on_xyzzy(self) -> None: ...


@pytest.mark.parametrize(
    ("observer", "message"),
    [
        (Async(), r"Async.on_forget would never run: .* write def on_forget"),
        (Misspelt(), "Misspelt.on_forgot would never be called: did you mean on_forget"),
        (Unknown(), "Unknown.on_xyzzy would never be called: the events are on_hit, on_miss"),
    ],
)
def test_an_observer_that_would_miss_events_is_refused(observer: Observer, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ProxyAuthClient(BASE, observers=[observer])


ANY, BOTH = require_any_permission("boss", "audit"), require_permission("boss", "audit")


@frozen(kw_only=True)
class Own(User):
    tenant: str


@pytest.mark.parametrize(
    ("dependency", "status", "refused"),
    [
        (require_permission("boss"), 403, ("permission_denied", "boss")),
        (require_permission("audit"), 200, None),
        (ANY, 200, None),
        (BOTH, 403, ("permission_denied", "boss audit")),
        (require_any_permission("boss", "king"), 403, ("permission_denied", "boss king")),
        (require_permission("down"), 502, ("error_status", "down")),
        (require_role("owner"), 403, ("role_denied", "")),
        (get_current_user_as(Own), 502, ("unusable_answer", "")),
    ],
)
async def test_each_request_that_is_refused_is_reported_once(
    dependency: Any, status: int, refused: tuple[str, str] | None
) -> None:
    refusals: list[tuple[str, str]] = []

    class Audit(Observer):
        def on_refusal(self, question: Question | None, reason: Reason, /) -> None:
            refusals.append((reason, question.permission if question else "no question"))

    app = FastAPI(dependencies=[Depends(dependency)])
    app.get("/")(lambda: None)
    client = Permissions().client(BASE, observers=[Audit()])
    app.add_middleware(OxaigenAuthMiddleware, client=client)
    for _ in range(2):
        refusals.clear()
        assert (await get(app, "/", GOOD)).status_code == status
        assert refusals == ([] if refused is None else [refused])


async def test_a_missing_role_of_an_overriding_user_is_reported_without_a_question() -> None:
    refusals: list[object] = []

    class Audit(Observer):
        def on_refusal(self, question: Question | None, reason: Reason, /) -> None:
            refusals.append((question, reason))

    app = FastAPI(dependencies=[Depends(require_role("owner"))])
    app.get("/")(lambda: None)
    app.dependency_overrides[get_current_user] = lambda: User(user_name="ada")
    app.add_middleware(
        OxaigenAuthMiddleware,
        client=FakeProxy().client(BASE, observers=[Audit()]),
        exclude=("/*",),
    )
    assert (await get(app, "/", GOOD)).status_code == 403
    assert refusals == [(None, "role_denied")]


class Permissions(FakeProxy):
    """Grants `audit` and denies other permissions; `down` is unavailable."""

    async def respond(self, call: Call) -> Any:
        self.permission = {"audit": GRANTED, "down": BROKEN}.get(call.endpoint[20:], DENIED)
        return await super().respond(call)


def test_a_client_is_given_observers_not_classes() -> None:
    with pytest.raises(TypeError, match=r"not <class .*: write observers=\[AuditTrail\(\)\]"):
        ProxyAuthClient(BASE, observers=[Observer])  # type: ignore[list-item]  # the wrong use
