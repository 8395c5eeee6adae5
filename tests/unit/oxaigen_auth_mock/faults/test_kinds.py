"""What each fault answers: called in the process, in virtual time."""

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from anyio import create_memory_object_stream, create_task_group, current_time, move_on_after, sleep
from httpx import ASGITransport, AsyncClient, Response
from starlette.types import Message, Receive, Scope, Send

from oxaigen_auth_mock.faults.base import inject_faults
from oxaigen_auth_mock.faults.kinds import (
    Close,
    Drip,
    Fault,
    GzipBomb,
    Hang,
    Html,
    Oversized,
    Redirect,
    Reset,
    SetCookie,
    Status,
    TruncatedJson,
    WrongContentType,
    WrongShape,
)
from oxaigen_auth_mock.faults.latency import Latency
from tests.support.broken_mock import BrokenMock, healthy_app
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio

GET_ME = "/_oxa_auth/get-me"
DEV = {"Authorization": "Bearer mock-dev-token"}


async def call(app: Any, path: str = GET_ME) -> Response:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        return await client.get(path, headers=DEV)


async def answer_to(*faults: Fault) -> Response:
    response = await call(BrokenMock(faults))
    assert response.headers["X-Marked"] == "1"
    return response


async def healthy_answer() -> Response:
    return await call(healthy_app())


async def test_without_faults_the_app_answers() -> None:
    response, healthy = await answer_to(), await healthy_answer()
    assert (response.status_code, response.content) == (200, healthy.content)


@pytest.mark.parametrize(
    ("fault", "headers"),
    [
        (Status(status=500), {}),
        (Status(status=429, retry_after=0, detail='No "more"'), {"Retry-After": "0"}),
        (Status(status=401), {"WWW-Authenticate": "Bearer"}),
    ],
)
async def test_a_status_comes_with_its_detail(fault: Status, headers: dict[str, str]) -> None:
    response = await answer_to(fault)
    assert (response.status_code, response.json()) == (fault.status, {"detail": fault.detail})
    names = ("Retry-After", "WWW-Authenticate")
    assert {name: response.headers[name] for name in names if name in response.headers} == headers


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("list", ["not", "what", "you", "expect"]),
        ("text", "not what you expect"),
        ("null", None),
        ("object", {"id": {"no": "number"}}),
    ],
)
async def test_a_wrong_shape_is_valid_json(shape: Any, value: object) -> None:
    response = await answer_to(WrongShape(shape=shape))
    assert (response.status_code, response.json()) == (200, value)
    assert response.headers["Content-Type"] == "application/json"


async def test_html_is_a_page_with_status_200() -> None:
    response = await answer_to(Html())
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>" in response.text


async def test_a_redirect_names_its_location_as_it_was_given() -> None:
    response = await answer_to(Redirect(status=307, location="//other.invalid/a?b=<c>"))
    assert (response.status_code, response.content) == (307, b"")
    assert response.headers["Location"] == "//other.invalid/a?b=<c>"


@pytest.mark.parametrize("fault", [Status(), WrongShape(), Html(), Redirect(), GzipBomb(size=1)])
async def test_answers_of_faults_are_not_cached(fault: Fault) -> None:
    assert (await answer_to(fault)).headers["Cache-Control"] == "no-store"


async def test_a_wrong_content_type_is_the_only_thing_wrong() -> None:
    response, healthy = await answer_to(WrongContentType()), await healthy_answer()
    assert response.headers.get_list("Content-Type") == ["text/plain; charset=utf-8"]
    assert (response.status_code, response.content) == (200, healthy.content)
    assert response.headers["Content-Length"] == healthy.headers["Content-Length"]


async def test_a_stray_cookie_comes_with_the_answer() -> None:
    response, healthy = await answer_to(SetCookie(name="a", value="b")), await healthy_answer()
    assert response.headers.get_list("Set-Cookie") == ["a=b; Path=/"]
    assert (response.status_code, response.content) == (200, healthy.content)


async def test_latencies_and_cookies_are_added_to_the_answer_of_another_fault() -> None:
    start = current_time()
    response = await answer_to(
        SetCookie(name="a"), Latency(seconds=1), Status(), Latency(seconds=2), SetCookie(name="b")
    )
    assert response.status_code == 503
    assert sorted(response.cookies) == ["a", "b"]
    assert current_time() - start == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(("when", "reached"), [("before", 0), ("after", 1)])
async def test_a_latency_waits_before_the_side_effect_or_after_it(when: Any, reached: int) -> None:
    mock = BrokenMock([Latency(seconds=9, when=when)])
    start = current_time()
    async with create_task_group() as tasks:
        tasks.start_soon(call, mock)
        await sleep(8)
        assert mock.side_effects == reached
    assert mock.side_effects == 1
    assert current_time() - start == pytest.approx(9, abs=0.1)


@pytest.mark.parametrize(
    "answering",
    [Status, WrongShape, Html, Redirect, GzipBomb],
    ids=lambda kind: kind.__name__,
)
async def test_a_fault_prevents_the_side_effect_unless_it_comes_after(
    answering: Callable[..., Fault],
) -> None:
    prevented, done = BrokenMock([answering()]), BrokenMock([answering(when="after")])
    before, after = await call(prevented), await call(done)
    assert (prevented.side_effects, done.side_effects) == (0, 1)
    assert (before.status_code, before.headers) == (after.status_code, after.headers)


@pytest.mark.parametrize("fault", [Status(), Html(), Reset(), Close()])
async def test_a_call_is_received_to_its_end_before_it_is_answered(fault: Fault) -> None:
    requests: list[Message] = [
        {"type": "http.request", "body": b"12", "more_body": True},
        {"type": "http.request", "body": b"34", "more_body": True},
        {"type": "http.request"},
    ]

    async def receive() -> Message:
        return requests.pop(0)

    sending, sent = create_memory_object_stream[Message](10)
    with sending, sent, suppress(ConnectionError):
        await inject_faults([fault], healthy_app(), {"type": "http"}, receive, sending.send)
    assert requests == []


async def test_a_dripping_answer_takes_its_time_and_is_whole() -> None:
    healthy = await healthy_answer()
    start = current_time()
    response = await answer_to(Drip(chunk=100, seconds=2))
    assert response.content == healthy.content
    assert response.headers["Content-Length"] == healthy.headers["Content-Length"]
    pieces = -(-len(healthy.content) // 100)
    assert current_time() - start == pytest.approx(2 * pieces, abs=0.1)


async def test_a_dripping_answer_ends_when_the_caller_leaves() -> None:
    received = [{"type": "http.request"}]
    sent: list[Message] = []

    async def receive() -> Message:
        if received:
            return received.pop()
        await sleep(3.5)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"123456"})

    start = current_time()
    await inject_faults([Drip()], app, {"type": "http"}, receive, send)
    assert current_time() - start == pytest.approx(3.5, abs=0.1)
    assert [message.get("body") for message in sent] == [None, b"1", b"2", b"3"]


@pytest.mark.parametrize("size", [1, 1000, 2**16 + 1000, 2**20])
async def test_an_oversized_answer_is_the_real_one_padded_with_spaces(size: int) -> None:
    response, healthy = await answer_to(Oversized(size=size)), await healthy_answer()
    assert len(response.content) == max(size, len(healthy.content))
    assert response.headers["Content-Length"] == str(len(response.content))
    assert response.content.rstrip(b" ") == healthy.content


@pytest.mark.parametrize("size", [1, 2, 2**16 + 1, 2**16 + 2, 10**6])
async def test_a_gzip_bomb_expands_to_its_size_of_valid_json(size: int) -> None:
    mock = BrokenMock([GzipBomb(size=size)])
    async with AsyncClient(transport=ASGITransport(mock), base_url="http://mock") as client:
        async with client.stream("GET", GET_ME) as response:
            packed = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 30 + size / 500
    assert len(gzip.decompress(packed)) == size
    assert json.loads(gzip.decompress(packed)) == 0


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_hanging_call_is_never_answered(when: Any) -> None:
    mock = BrokenMock([Hang(when=when)])
    with move_on_after(10**6) as waiting:
        await call(mock)
    assert waiting.cancelled_caught
    assert mock.side_effects == (when == "after")


@pytest.mark.parametrize("fault", [Hang(when="after"), Drip(), Oversized(), TruncatedJson()])
async def test_after_a_disconnect_there_is_no_answer_to_alter(fault: Fault) -> None:
    received: list[Message] = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return received.pop(0)

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    sending, sent = create_memory_object_stream[Message](10)
    with sending, sent:
        await inject_faults([fault], app, {"type": "http"}, receive, sending.send)
        assert sent.statistics().current_buffer_used == 0
    assert received == []


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (Reset, ConnectionResetError, "reset the connection"),
        (Close, ConnectionAbortedError, "closed the connection"),
    ],
)
@pytest.mark.parametrize(("when", "side_effects"), [("before", 0), ("after", 1)])
async def test_breaking_a_missing_connection_is_an_error(
    kind: Any, error: type[Exception], words: str, when: str, side_effects: int
) -> None:
    mock = BrokenMock([kind(when=when)])
    with pytest.raises(error, match=words):
        await call(mock)
    assert mock.side_effects == side_effects


async def test_truncating_without_a_connection_is_an_error() -> None:
    with pytest.raises(ConnectionAbortedError, match="closed the connection"):
        await answer_to(TruncatedJson())
