"""The machine-readable reason of each refusal: in the state, the exceptions and the log."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from httpx import ASGITransport, AsyncClient

from oxaigen_auth import (
    OxaigenAuthError,
    OxaigenAuthHTTPError,
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    User,
    get_current_user,
    require_permission,
)
from tests.support.apps import COOKIE, GOOD, get
from tests.support.clock import clock as clock  # noqa: PLC0414
from tests.support.fake_proxy import (
    ADA,
    BROKEN,
    DENIED,
    GRANTED,
    LATE,
    MOCKED,
    REVOKED,
    FakeProxy,
    profile,
    refusal,
)
from tests.support.tokens import OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxaigen_auth.observers import Reason
    from tests.support.clock import Clock
    from tests.support.fake_proxy import Reply

pytestmark = pytest.mark.anyio

BASE = "https://app.example.com"
HTML = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"
TWO_TOKENS = [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {OTHER}")]


def app_of(
    proxy: FakeProxy, clock: Callable[[], float] = time.monotonic, **settings: Any
) -> FastAPI:
    """Return an app that shows the reason in each way in which an app can read it."""
    app = FastAPI()
    client = proxy.client(settings=OxaigenAuthSettings(**settings), clock=clock)
    app.add_middleware(OxaigenAuthMiddleware, client=client)

    @app.get("/state")
    async def state(request: Request) -> Any:
        return request.state.auth_reason

    @app.get("/me")
    async def me(_: User = Depends(get_current_user)) -> None: ...

    @app.get("/audit")
    async def audit(_: User = Depends(require_permission("audit"))) -> None: ...

    @app.exception_handler(OxaigenAuthHTTPError)
    async def refuse(_: Request, error: OxaigenAuthHTTPError) -> JSONResponse:
        return JSONResponse(error.reason, error.status_code, error.headers)

    return app


@pytest.mark.parametrize(
    ("reply", "headers", "reason"),
    [
        (ADA, {}, "missing_token"),
        (ADA, {"authorization": "Bearer a b"}, "malformed_token"),
        (ADA, TWO_TOKENS, "several_tokens"),
        (REVOKED, GOOD, "invalid_token"),
        (profile(is_authenticated=False), GOOD, "not_authenticated"),
        (refusal(403, "Not for you"), GOOD, "app_forbidden"),
        (BROKEN, GOOD, "error_status"),
        (HTML, GOOD, "unusable_answer"),
        (LATE, GOOD, LATE.reason),
        (MOCKED, GOOD, MOCKED.reason),
    ],
)
async def test_the_state_and_the_http_error_have_the_reason(
    reply: Reply, headers: Any, reason: Reason
) -> None:
    app = app_of(FakeProxy(reply))
    assert (await get(app, "/state", headers)).json() == reason
    assert (await get(app, "/me", headers)).json() == reason


async def test_an_accepted_caller_has_no_reason() -> None:
    assert (await get(app_of(FakeProxy()), "/state", GOOD)).json() is None


async def test_a_stale_user_has_a_reason_beside_it(clock: Clock) -> None:
    proxy = FakeProxy()
    app = app_of(proxy, clock, stale_if_error_seconds=60.0)
    assert (await get(app, "/state", GOOD)).json() is None
    proxy.user = BROKEN
    clock.now += 31
    assert (await get(app, "/state", GOOD)).json() == "stale"


async def test_a_denied_permission_is_the_reason_of_its_route_only() -> None:
    app = app_of(FakeProxy(permission=DENIED))
    assert (await get(app, "/audit", GOOD)).json() == "permission_denied"
    assert (await get(app, "/state", GOOD)).json() is None


async def test_an_invalid_host_is_the_reason() -> None:
    app = app_of(FakeProxy(), allowed_hosts=("other.example.com",))
    assert (await get(app, "/state", GOOD)).json() == "invalid_host"
    assert (await get(app, "/me", GOOD)).json() == "invalid_host"


async def test_a_cross_site_request_has_its_own_reason() -> None:
    app = app_of(FakeProxy())

    @app.post("/state")
    async def change(request: Request) -> Any:
        return request.state.auth_reason

    async with AsyncClient(transport=ASGITransport(app), base_url=BASE) as client:
        headers = {**COOKIE, "origin": "https://evil.example.com"}
        assert (await client.post("/state", headers=headers)).json() == "cross_site"


async def test_a_rate_limited_address_has_its_own_reason() -> None:
    app = app_of(FakeProxy(REVOKED), max_rejected_per_minute=1)
    await get(app, "/state", GOOD)
    headers = {"authorization": f"Bearer {OTHER}"}
    reasons = [(await get(app, "/state", headers)).json() for _ in range(2)]
    assert reasons[-1] == "rate_limited"
    assert (await get(app, "/me", headers)).status_code == 429


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        (FakeProxy(REVOKED), "invalid_token"),
        (FakeProxy(refusal(403, "Not for you")), "app_forbidden"),
        (FakeProxy(BROKEN), "error_status"),
    ],
)
async def test_the_errors_of_the_client_have_the_reason(proxy: FakeProxy, reason: Reason) -> None:
    async with proxy.client(BASE) as client:
        with pytest.raises(OxaigenAuthError) as caught:
            await client.get_me(TOKEN)
    assert caught.value.reason == reason


async def test_a_client_without_a_token_says_so() -> None:
    async with FakeProxy().client(BASE) as client:
        with pytest.raises(OxaigenAuthError) as caught:
            await client.get_me(None)  # type: ignore[arg-type]  # as `extract_bearer_token` returns
    assert caught.value.reason == "missing_token"


async def test_a_lookup_with_a_bug_or_a_closed_client_has_its_own_reason() -> None:
    async with FakeProxy(ValueError("a bug")).client(BASE) as client:
        with pytest.raises(OxaigenAuthError) as caught:
            await client.get_me(TOKEN)
    assert caught.value.reason == "internal_error"


async def test_one_exception_for_several_refusals_needs_the_same_answer_not_the_same_reason() -> (
    None
):
    app = FastAPI()
    client = FakeProxy(BROKEN).client(BASE)
    app.add_middleware(OxaigenAuthMiddleware, client=client)

    @app.get("/both")
    async def both() -> None:
        errors: list[OxaigenAuthError] = []
        for fake in (FakeProxy(BROKEN), FakeProxy(HTML)):
            try:
                await fake.client(BASE).get_me(TOKEN)
            except OxaigenAuthError as error:
                errors.append(error)
        assert len({error.reason for error in errors}) == 2
        raise ExceptionGroup("both", errors)

    assert (await get(app, "/both")).status_code == 502


class Levels:
    """The fields of our log records, without those that every record has."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "oxaigen_auth")
        self._caplog = caplog

    def __call__(self) -> list[tuple[str, dict[str, str]]]:
        ours = [it for it in self._caplog.records if it.name == "oxaigen_auth"]
        return [(it.levelname, fields(it)) for it in ours if hasattr(it, "auth_event")]


def fields(record: logging.LogRecord) -> dict[str, str]:
    found = {name: value for name, value in vars(record).items() if name.startswith("auth_")}
    token = found.pop("auth_token", None)
    assert token is None or len(token) == 12
    return found


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Levels:
    return Levels(caplog)


async def ask(proxy: FakeProxy, token: str = TOKEN, **settings: Any) -> None:
    """Ask twice, so that the second answer may come from the cache."""
    async with proxy.client(BASE, settings=OxaigenAuthSettings(**settings)) as client:
        for _ in range(2):
            with suppress(OxaigenAuthError):
                await client.test_permission(token, "audit")


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
async def test_each_refusal_is_logged_with_its_reason(level: str, logged: Levels) -> None:
    await ask(FakeProxy(REVOKED), refusal_log_level=level)
    assert (
        logged()
        == [
            (
                level,
                {
                    "auth_event": "refused",
                    "auth_reason": "invalid_token",
                    "auth_base_url": BASE,
                },
            )
        ]
        * 2
    )


async def test_a_denied_permission_is_logged_with_its_name(logged: Levels) -> None:
    await ask(FakeProxy(permission=DENIED))
    assert (
        logged()
        == [
            (
                "DEBUG",
                {
                    "auth_event": "denied",
                    "auth_reason": "permission_denied",
                    "auth_base_url": BASE,
                    "auth_permission": "audit",
                },
            )
        ]
        * 2
    )


async def test_an_outage_is_logged_once_for_each_lookup(logged: Levels) -> None:
    await ask(FakeProxy(BROKEN))
    assert (
        logged()
        == [
            (
                "WARNING",
                {
                    "auth_event": "unavailable",
                    "auth_reason": "error_status",
                    "auth_base_url": BASE,
                },
            )
        ]
        * 2
    )


async def test_a_granted_permission_logs_nothing(logged: Levels) -> None:
    await ask(FakeProxy(permission=GRANTED))
    assert logged() == []


async def test_a_refusal_without_a_question_is_logged_without_its_fields(logged: Levels) -> None:
    await get(app_of(FakeProxy()), "/state", TWO_TOKENS)
    assert logged() == [("DEBUG", {"auth_event": "refused", "auth_reason": "several_tokens"})]


async def test_opening_and_closing_a_circuit_is_logged(logged: Levels, clock: Clock) -> None:
    proxy = FakeProxy(LATE)
    async with proxy.client(BASE, clock=clock) as client:
        for number in range(5):
            with pytest.raises(OxaigenAuthError):
                await client.get_me(f"{TOKEN}-{number}")
        with pytest.raises(OxaigenAuthError) as caught:
            await client.get_me(TOKEN)
        assert caught.value.reason == "circuit_open"
        clock.now += 1
        proxy.user = ADA
        await client.get_me(TOKEN)
        await client.get_me(OTHER)
    circuit = [it for it in logged() if it[1]["auth_event"].startswith("circuit")]
    assert circuit == [
        ("WARNING", {"auth_event": "circuit_open", "auth_base_url": BASE}),
        ("INFO", {"auth_event": "circuit_closed", "auth_base_url": BASE}),
    ]
